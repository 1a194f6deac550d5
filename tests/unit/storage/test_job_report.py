from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gristmill_storage import job_folder, job_report
from gristmill_storage.files import Store, open_store
from gristmill_storage.job_report import COLUMNS, csv_line, write_report
from gristmill_storage.memory_store import MemoryStore


@pytest.fixture(params=["here", "elsewhere"])
def folder(request, tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "job")) if request.param == "here" else MemoryStore()


def row(number: int, attempt: int = 1) -> str:
    cells = [f"{number:012d}", attempt, "n/process000", "", 2, 2, 0, "0.1", "", "0.1", "RUN_DONE", "", "", "a.txt"]
    return csv_line(cells)


def process(name: str, attempts: int) -> dict[str, Any]:
    return {
        "process": name, "started": "then", "attempts": attempts, "attempts_failed": 1, "total": 2 * attempts,
        "succeeded": attempts, "failed": attempts, "seconds": 0.5,
    }  # fmt: skip


def put(folder: Store, node: str, instance: str, rows: list[str], *processes: dict[str, Any]) -> None:
    folder.replace(job_folder.instance_log(node, instance, job_folder.INSTANCE_ATTEMPTS), "".join(rows).encode())
    sums = {"node": node, "instance": instance, "started": "then", "processes": processes}
    folder.replace(job_folder.instance_log(node, instance, job_folder.INSTANCE_SUMS), json.dumps(sums).encode())


def table(folder: Store, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(folder.read(path).decode())))


@pytest.mark.parametrize("run", [job_report._RUN, 2])
def test_the_attempts_of_all_instances_stand_in_order(folder: Store, run: int, monkeypatch) -> None:
    monkeypatch.setattr(job_report, "_RUN", run)
    put(folder, "n", "n-0-a", [row(11), row(0), row(2)], process("n/process000", 3))
    put(folder, "m", "m-1-b", [row(10), row(0, 2), row(1), "000000000009,1,n/pro"], process("m/process000", 3))

    write_report(folder)

    rows = table(folder, job_folder.ATTEMPTS)
    assert tuple(rows[0]) == COLUMNS
    found = [(row["Mini-batch Id"], row["Picked Count"]) for row in rows]
    assert found == [("0", "1"), ("0", "2"), ("1", "1"), ("2", "1"), ("10", "1"), ("11", "1")]
    assert rows[0]["Mini-batch Detail"] == "a.txt"


def test_processes_and_nodes_are_summed_up(folder: Store) -> None:
    put(folder, "n", "n-0-a", [], process("n/process000", 3), process("n/process001", 4), process("", 1))

    write_report(folder)

    assert [row["Attempts"] for row in table(folder, job_folder.PROCESSES)] == ["3", "4", "1"]
    (node,) = table(folder, job_folder.NODES)
    assert (node["Node"], node["Instance"], node["Processes"], node["Attempts"]) == ("n", "n-0-a", "2", "8")
    assert (node["Total"], node["Succeeded"], node["Run Method Seconds"]) == ("16", "8", "1.5")


def test_a_report_of_too_many_attempts_is_cut_off_and_says_so(folder: Store, monkeypatch) -> None:
    monkeypatch.setattr(job_report, "ROWS_LIMIT", 3)
    put(folder, "n", "n-0-a", [row(n) for n in range(4)], process("n/process000", 10))

    write_report(folder)

    rows = table(folder, job_folder.ATTEMPTS)
    assert [row["Mini-batch Id"] for row in rows] == ["0", "1", "2", ""]
    assert rows[-1]["Status"] == "CUT_OFF"
    assert "3 attempts of 10" in rows[-1]["Error Message"]


def test_a_report_that_just_fits_is_not_called_cut_off(folder: Store, monkeypatch) -> None:
    monkeypatch.setattr(job_report, "ROWS_LIMIT", 3)
    put(folder, "n", "n-0-a", [row(n) for n in range(3)], process("n/process000", 3))

    write_report(folder)

    assert len(table(folder, job_folder.ATTEMPTS)) == 3


def test_sums_that_are_torn_cost_the_report_nothing_else(folder: Store, caplog) -> None:
    put(folder, "n", "n-0-a", [row(0)], process("n/process000", 1))
    for name, text in {"torn": b'{"node": ', "odd": b"[1]", "short": b'{"processes": [{}]}'}.items():
        folder.replace(job_folder.instance_log("n", name, job_folder.INSTANCE_SUMS), text)

    write_report(folder)

    assert len(table(folder, job_folder.ATTEMPTS)) == len(table(folder, job_folder.NODES)) == 1
    assert len(caplog.messages) == 3


def test_a_job_without_attempts_has_a_report_without_rows(folder: Store) -> None:
    write_report(folder)

    assert folder.read(job_folder.ATTEMPTS).decode() == ",".join(COLUMNS) + "\n"


def test_a_report_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "logs/sys").mkdir(parents=True)
    (tmp_path / "logs/sys/job_report").write_text("in its way")

    write_report(open_store(str(tmp_path)))

    assert "the report of its attempts could not be written" in caplog.text


def test_a_row_is_a_line_whatever_stands_in_it() -> None:
    line = csv_line(["a\r\nb", 'say "x", please\n', "\0"])

    assert line.count("\n") == 1
    assert next(csv.reader([line])) == ["a  b", 'say "x", please ', " "]

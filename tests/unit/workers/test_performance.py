from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gristmill_workers import performance
from gristmill_workers.performance import Performance

NAMES = ("node_resource_usage", "node_disk_usage", "processes_resource_usage")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def made(folder: Path, **more: Any) -> Performance:
    given: dict[str, Any] = {"disks": {"job": folder / "not there"}, "processes": dict, **more}
    return Performance(folder, **given)


def test_a_job_has_rows_of_machine_disks_and_processes_however_short_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "perf/n"
    with made(folder, processes=lambda: {"n/process000": os.getpid(), "n/process001": 2**22 + 1}).measured():
        pass

    (node,), (disk,) = table(folder / f"{NAMES[0]}.csv"), table(folder / f"{NAMES[1]}.csv")
    assert float(node["Cpus"]) > 0
    assert disk["Folder"] == "job"
    assert 0 < int(disk["Free Bytes"]) <= int(disk["Total Bytes"])
    if sys.platform == "linux":
        processes = table(folder / f"{NAMES[2]}.csv")
        assert [row["Process"] for row in processes] == ["node", "n/process000"]  # the other one is gone
        assert {int(row["Pid"]) for row in processes} == {os.getpid()}
        assert all(int(row["Memory Bytes"]) > 1_000_000 and int(row["Threads"]) > 0 for row in processes)


def test_rows_come_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(performance, "SECONDS", 0.01)
    path = tmp_path / "perf" / f"{NAMES[0]}.csv"
    with made(tmp_path / "perf").measured():
        deadline = time.monotonic() + 30
        while not path.exists() or len(table(path)) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_file_that_is_large_enough_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance, "MOST_BYTES", 200)
    found = made(tmp_path)
    for _ in range(50):
        found.write()

    assert all((tmp_path / f"{name}.csv").stat().st_size < 1000 for name in NAMES)


def test_a_disk_that_takes_nothing_hurts_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "perf").write_text("in the way of the folder")
    with made(tmp_path / "perf").measured():
        pass

    assert "what was used could not be written" in caplog.text


def test_the_name_of_a_process_may_hold_anything(tmp_path: Path) -> None:
    stat = tmp_path / "7" / "stat"
    stat.parent.mkdir()
    stat.write_text("7 (a) b ( c) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 3 0 9 1000 10 0\n")
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")

    assert made(tmp_path / "perf", proc=tmp_path)._process(7) == [round(300 / tick, 2), 10 * page, 3]

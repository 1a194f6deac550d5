"""verify finds what somebody, or a disk, did to a job's files, and names it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from gristmill.errors import JobNotFound
from gristmill.spec import OutputAction, RowFormat
from gristmill_storage import job_folder
from gristmill_workers.aggregator.verify import main, verify


def complete(bench, **facts):
    """A job of four mini-batches of two items, of which the third and half of the fourth failed."""
    bench.planned(2, 2, 2, 2)
    bench.scored(1, (2, b"b1\nb2\n"), **facts)
    bench.scored(0, (2, b"a1\na2\n"), **facts)
    bench.part()
    bench.scored(2, (2, None), **facts)
    bench.scored(3, (1, b"d1\n"), (1, None), **facts)
    bench.part()
    assert bench.aggregate()["error"] is None
    return bench


@pytest.fixture
def bench(make):
    return complete(make())


def faults(bench) -> list[str]:
    document = verify(bench.folder.url)
    assert document["ok"] is (not document["faults"])
    return document["faults"]


def test_a_complete_job_is_in_order(bench) -> None:
    document = verify(bench.folder.url)

    assert document["faults"] == []
    assert document["status"] == "Completed"
    checked = document["checked"]
    assert (checked["mini_batches"], checked["items"], checked["succeeded"], checked["failed"]) == (4, 8, 5, 3)
    assert (checked["rows"], checked["errors"], checked["bytes"]) == (5, 3, 15)


def test_it_is_found_wherever_it_was_moved(bench, tmp_path) -> None:
    shutil.move(bench.output, tmp_path / "elsewhere")

    assert verify(str(tmp_path / "elsewhere" / ".gristmill" / "j"))["faults"] == []


def change(bench, old: bytes, new: bytes, name: str = "predictions.csv") -> None:
    path = bench.output / name
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))


def test_a_flipped_byte_is_named(bench) -> None:
    change(bench, b"b2", b"c2")

    assert faults(bench) == [
        (
            "predictions.csv: the rows of mini-batch 1 (bytes 6 to 12, items m0001-0.txt, m0001-1.txt) "
            "are not those that were written"
        )
    ]


def test_a_row_that_is_there_twice_is_named(bench) -> None:
    change(bench, b"b1\n", b"b1\nb1\n")

    assert faults(bench) == [
        "predictions.csv: 18 bytes, 15 were written",
        "predictions.csv: before the rows of mini-batch 1 (bytes 6 to 9) stands what nobody wrote",
    ]


def test_a_strange_row_among_those_of_a_mini_batch_is_named(bench) -> None:
    change(bench, b"a1\n", b"a1\nxx\n")

    size, rows = faults(bench)
    assert size == "predictions.csv: 18 bytes, 15 were written"
    assert rows.startswith("predictions.csv: the rows of mini-batch 0 (bytes 0 to 6, ")


def test_a_lost_row_is_named(bench) -> None:
    change(bench, b"b1\n", b"")

    size, rows = faults(bench)
    assert size == "predictions.csv: 12 bytes, 15 were written"
    assert rows.startswith("predictions.csv: the rows of mini-batch 1 (bytes 6 to 12, ")


def test_a_truncated_output_is_named(bench) -> None:
    (bench.output / "predictions.csv").write_bytes(bench.read()[:7])

    size, rows = faults(bench)
    assert size == "predictions.csv: 7 bytes, 15 were written"
    assert rows.startswith("predictions.csv: the rows of mini-batches 1 to 3 (bytes 6 to 15, items m0001-0.txt ... ")


def test_bytes_behind_the_last_row_are_named(bench) -> None:
    (bench.output / "predictions.csv").write_bytes(bench.read() + b"x\n")

    assert faults(bench) == ["predictions.csv: 17 bytes, 15 were written"]


def test_an_output_that_is_gone_is_named(bench) -> None:
    (bench.output / "predictions.csv").unlink()

    assert faults(bench) == [f"predictions.csv: is gone from {bench.output}"]


def test_rows_in_another_order_are_named(bench) -> None:
    change(bench, b"a1\na2\nb1\nb2\n", b"b1\nb2\na1\na2\n")

    (fault,) = faults(bench)
    assert fault.startswith("predictions.csv: the rows of mini-batches 0 to 1 (bytes 0 to 12, ")


def test_an_item_that_is_gone_from_the_errors_is_named(bench) -> None:
    lines = (bench.output / "errors.jsonl").read_bytes().splitlines(keepends=True)
    (bench.output / "errors.jsonl").write_bytes(lines[0] + lines[2])

    assert faults(bench) == [
        "errors.jsonl: mini-batch 2 has 2 failed items, 1 listed (m0002-1.txt missing)",
        "summary.json: says 3 errors, there are 2",
    ]


def test_an_item_that_is_twice_among_the_errors_is_named(bench) -> None:
    lines = (bench.output / "errors.jsonl").read_bytes().splitlines(keepends=True)
    (bench.output / "errors.jsonl").write_bytes(lines[0] * 2 + lines[1] + lines[2])

    assert "errors.jsonl: m0002-0.txt of mini-batch 2 stands there 2 times" in faults(bench)


def test_an_item_among_the_errors_that_is_nobodys_is_named(bench) -> None:
    change(bench, b"m0002-0.txt", b"other.txt", "errors.jsonl")

    assert "errors.jsonl: other.txt is no item of mini-batch 2" in faults(bench)


def test_a_line_of_a_mini_batch_that_did_not_fail_is_named(bench) -> None:
    change(bench, b'"mini_batch": 2', b'"mini_batch": 1', "errors.jsonl")

    assert any("mini-batch 1 has 0 failed items, 1 listed (m0002-0.txt)" in fault for fault in faults(bench))


def test_errors_that_are_gone_are_named(bench) -> None:
    (bench.output / "errors.jsonl").unlink()

    assert any("mini-batch 2 has 2 failed items, 0 listed" in fault for fault in faults(bench))


def test_a_line_of_errors_that_is_no_json_is_named(bench) -> None:
    change(bench, b"{", b"[", "errors.jsonl")

    assert any(fault.startswith("errors.jsonl: line 1 is no error") for fault in faults(bench))


def test_a_manifest_chunk_that_is_gone_is_named(make) -> None:
    bench = make()
    bench.planned(*[1] * 40)
    for number in range(40):
        bench.scored(number, (1, b"x\n"))
    bench.part()
    bench.aggregate()
    chunks = sorted(entry.path for entry in bench.folder.list("manifest"))
    bench.folder.delete(chunks[1])

    (fault,) = faults(bench)
    assert "end.json: says" in fault

    bench.folder.delete(job_folder.MANIFEST_END)
    assert faults(bench) != []
    bench.folder.delete(chunks[0])
    assert faults(bench) != []


def test_a_summary_with_other_numbers_is_named(bench) -> None:
    change(bench, b'"rows": 5', b'"rows": 6', "summary.json")

    assert faults(bench) == ["summary.json: says 6 rows, there are 5"]


@pytest.mark.parametrize("path", [job_folder.INDEX, "manifest/000000000000.jsonl"])
def test_a_flipped_byte_in_what_everything_is_compared_with_is_named(bench, path) -> None:
    data = bytearray(bench.folder.read(path))
    data[12] ^= 1
    bench.folder.replace(path, bytes(data))

    assert any(path in fault for fault in faults(bench))


def test_an_index_that_is_gone_is_named(bench) -> None:
    bench.folder.delete(job_folder.INDEX)

    assert faults(bench) == ["index: is gone: nothing says whose the output's bytes are"]


def test_an_index_of_other_rows_is_named(bench) -> None:
    data = bench.folder.read(job_folder.INDEX)
    lines = data.splitlines(keepends=True)
    bench.folder.replace(job_folder.INDEX, b"".join([lines[0], lines[2], lines[1], *lines[3:]]))

    assert any("index" in fault for fault in faults(bench))


def test_csv_rows_with_line_breaks_are_counted_as_one(make) -> None:
    bench = make(output_format=RowFormat.CSV, header=True, delimiter=",")
    bench.planned(1, 1)
    piece = bench.piece(1, b'"a\nb",1\n', encoding="csv", columns=("x", "y"))
    bench.put(0, b'"a\nb",1\n', (type(piece)(items=1, succeeded=1, rows=1, size=8),), [], encoding="csv")
    bench.scored(1, (1, b"c,2\n"), encoding="csv", columns=("x", "y"))
    bench.part()
    bench.aggregate()

    assert faults(bench) == []


def test_a_count_that_is_not_that_of_the_bytes_is_named(make) -> None:
    bench = make(output_format=RowFormat.JSONL)
    bench.planned(1)
    piece = bench.piece(1, b"{}\n{}\n")
    bench.put(0, b"{}\n{}\n", (type(piece)(items=1, succeeded=1, rows=1, size=6),), [], encoding="jsonl")
    bench.part()
    bench.aggregate()

    assert faults(bench) == ["predictions.csv: mini-batch 0 (bytes 0 to 6) has 2 rows, the index says 1"]


def test_a_parquet_file_is_checked_byte_by_byte_and_by_its_rows(make, as_arrow) -> None:
    bench = make(output_format=RowFormat.PARQUET, output_file_name="p.parquet")
    bench.planned(2, 2, 2)
    for number in range(3):
        bench.scored(number, (2, as_arrow(pa.table({"a": [number, 7]}))), encoding="arrow")
    bench.part()
    assert bench.aggregate()["error"] is None
    assert faults(bench) == []

    data = bytearray(bench.read("p.parquet"))
    data[40] ^= 1
    (bench.output / "p.parquet").write_bytes(data)
    (fault,) = faults(bench)
    assert fault.startswith("p.parquet: the rows of mini-batches 0 to 2 (bytes 0 to ")
    data[40] ^= 1
    data[-12] ^= 1
    (bench.output / "p.parquet").write_bytes(data)
    (fault,) = faults(bench)
    assert fault.startswith("p.parquet: the file's own end (bytes ")


def test_written_files_are_checked(make) -> None:
    bench = make(output_action=OutputAction.SUMMARY_ONLY)
    bench.planned(1, 1)
    for number in range(2):
        bench.scored(number, (1, b""), encoding="none", files=("all.txt", f"{number}.bin"))
    part = bench.part()
    for number in range(2):
        for name in ("all.txt", f"{number}.bin"):
            bench.folder.create(f"{job_folder.files_folder(part, number)}/{name}", b"data\n")
    assert bench.aggregate()["error"] is None
    assert verify(bench.folder.url)["checked"]["files"] == 3
    assert faults(bench) == []

    (bench.output / "all.txt").write_bytes(b"data\n")
    (bench.output / "1.bin").unlink()
    assert faults(bench) == [
        "all.txt: its 5 bytes are not the 10 that the script wrote (mini-batch 0, 1)",
        f"1.bin: is gone from {bench.output}",
    ]


def unfinished(bench):
    bench.planned(2, 2, 2, 2)
    bench.scored(0, (2, b"a1\na2\n"))
    bench.scored(1, (2, b"b1\nb2\n"))
    bench.part()
    bench.scored(1, (2, b"b1\nb2\n"))
    bench.scored(2, (2, None))
    bench.part()
    return bench


def test_of_a_job_that_is_not_complete_what_is_done_is_counted(make) -> None:
    document = verify(unfinished(make()).folder.url)

    assert document["ok"]
    assert document["status"] == "NotStarted"
    checked = document["checked"]
    assert (checked["parts"], checked["mini_batches_planned"]) == (2, 4)
    assert checked["mini_batches_done"] == 3
    assert checked["mini_batches_done_twice"] == 1
    assert checked["mini_batches_not_done"] == 1


def test_a_damaged_part_is_named(make) -> None:
    bench = unfinished(make())
    path = bench.folder.local_path(next(bench.folder.list("parts")).path)
    path.write_bytes(b"x" + path.read_bytes()[1:])

    (fault,) = faults(bench)
    assert "the rows of mini-batch 0 are not those that were written" in fault


@pytest.mark.parametrize("first", [0, 3])
def test_a_part_that_was_copied_under_another_name_is_named(make, first) -> None:
    bench = unfinished(make())
    original = next(bench.folder.list("parts")).path
    copy = job_folder.part_path(job_folder.part_name("0000000000001", first, "other", 9))
    bench.folder.create(copy, bench.folder.read(original))

    assert any(copy in fault and "copy" in fault for fault in faults(bench))


def test_a_part_that_a_late_writer_left_is_told_and_no_fault(bench) -> None:
    bench.scored(1, (2, b"b1\nb2\n"))
    bench.part(adopt=False)

    document = verify(bench.folder.url)

    assert document["ok"]
    assert document["checked"]["parts_left"] == 1


def test_a_part_of_another_plan_is_named(make) -> None:
    bench = unfinished(make())
    bench.plan.append(("a", "b", "c"))
    bench.scored(4, (3, b"x\n"))
    bench.part(adopt=False)

    assert any("mini-batch 4 is not in the manifest" in fault for fault in faults(bench))


def test_no_job_is_an_error_of_its_own(tmp_path, capsys) -> None:
    with pytest.raises(JobNotFound):
        verify(str(tmp_path))

    assert main(["--folder", str(tmp_path)]) == 2
    assert "no job was begun there" in capsys.readouterr().err


def test_the_command_prints_one_document(bench) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gristmill_workers.aggregator.verify", "--folder", bench.folder.url]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    good = run()
    change(bench, b"a1", b"a3")
    bad = run()

    assert (good.returncode, bad.returncode) == (0, 1)
    assert json.loads(good.stdout)["ok"] is True
    assert json.loads(bad.stdout)["ok"] is False
    assert not good.stderr


def test_memory_does_not_grow_with_the_job(make) -> None:
    def peak(bench, mini_batches: int) -> int:
        bench.planned(*[1] * mini_batches)
        for number in range(mini_batches):
            bench.scored(number, (1, b"x" * 99 + b"\n" if number % 2 else None))
            if number % 400 == 399:
                bench.part()
        bench.aggregate()
        tracemalloc.start()
        assert verify(bench.folder.url)["ok"]
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small = peak(make(), 400)
    shutil.rmtree(Path(make().output))
    assert peak(make(), 4000) < small + 1_500_000

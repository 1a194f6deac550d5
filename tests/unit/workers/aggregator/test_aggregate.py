from __future__ import annotations

import importlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from gristmill.errors import LedgerLost
from gristmill.spec import Deployment, Input, Job, Output, OutputAction, RowFormat, Settings
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Entry
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.parts import Block, PartWriter, part_name
from gristmill_workers.aggregator import aggregate

indexing = importlib.import_module("gristmill_workers.aggregator.indexing")


class Bench:
    """A job whose mini-batches are scored by hand."""

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        self.output = tmp_path / "out"
        self.job = Job(
            name="j",
            deployment=Deployment(name="d", settings=Settings(**settings)),
            input=Input(uri=str(tmp_path / "in")),
            output=Output(folder=str(self.output)),
            submitted=1.0,
        )
        self.folder = open_store(job_folder.url(str(self.output), "j"))
        self.ledger = MemoryLedger()
        self.ledger.open("j", epoch="0000000000001", lease_seconds=30, error_threshold=-1)
        self._blocks: list[tuple[Block, bytes]] = []
        self._serial = 0

    def scored(self, number: int, data: bytes, *, items: int = 2, succeeded: int | None = None, **facts: Any) -> None:
        succeeded = items if succeeded is None else succeeded
        errors = tuple(
            {"file": f"{number}-{n}", "mini_batch": number, "attempts": 3, "category": "crash", "message": "m"}
            for n in range(items - succeeded)
        )
        block = Block(
            mini_batch=number,
            attempt=1,
            items=items,
            succeeded=succeeded,
            failed=items - succeeded,
            rows=data.count(b"\n"),
            seconds=0.25,
            size=len(data),
            errors=errors,
            **{"encoding": "text", **facts},
        )
        self._blocks.append((block, data))

    def part(self) -> None:
        """Seal what was scored into a part and adopt it."""
        self._serial += 1
        name = part_name("0000000000001", self._blocks[0][0].mini_batch, "node", self._serial)
        writer = PartWriter(self.folder, name)
        entries = []
        for block, data in self._blocks:
            writer.add(block, data)
            entries.append(Entry.of(block))
        writer.seal()
        planned = self.ledger.snapshot("j").planned
        last = max(entry.last for entry in entries) + 1
        if last > planned:
            self.ledger.extend("j", first=planned, count=last - planned, items=0, size=0, closed=False)
        self.ledger.adopt("j", part=name, entries=entries)
        self._blocks = []

    def aggregate(self, *, publish: bool = True) -> dict[str, Any]:
        snapshot = self.ledger.snapshot("j")
        if not snapshot.plan_closed:
            self.ledger.extend("j", first=snapshot.planned, count=0, items=0, size=0, closed=True)
        aggregate(self.job, self.folder, self.ledger, publish=publish)
        return json.loads(self.folder.read(job_folder.RESULT))

    def files(self) -> set[str]:
        return {path.name for path in self.output.iterdir() if not path.name.startswith(".")}


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_rows_are_published_in_order_with_the_summary_last(bench) -> None:
    bench.scored(1, b"c\nd\n")
    bench.part()
    bench.scored(0, b"a\nb\n")
    bench.part()

    result = bench.aggregate()

    assert result["status"] == "Completed"
    assert Path(result["output"]).read_bytes() == b"a\nb\nc\nd\n"
    assert bench.files() == {"predictions.csv", "summary.json"}
    summary = json.loads(Path(result["summary"]).read_text())
    assert summary["items"] == {"total": 4, "succeeded": 4, "failed": 0}
    assert summary["rows"] == 4
    assert summary["seconds"]["run"] == 0.5
    assert not list(bench.folder.list(job_folder.PARTS))


def test_failed_items_stand_in_errors_jsonl_in_order(bench) -> None:
    bench.scored(1, b"", succeeded=0, encoding="none")
    bench.scored(0, b"a\n", succeeded=1)
    bench.part()

    result = bench.aggregate()

    lines = [json.loads(line) for line in Path(result["errors"]).read_text().splitlines()]
    assert [line["file"] for line in lines] == ["0-0", "1-0", "1-1"]
    summary = json.loads(Path(result["summary"]).read_text())
    assert summary["items"] == {"total": 4, "succeeded": 1, "failed": 3}
    assert summary["errors_by_category"] == {"crash": 3}
    assert summary["mini_batches"] == {"total": 2, "failed": 2, "retried": 0}


def test_a_job_without_any_success_fails_with_the_documented_sentence(bench) -> None:
    bench.scored(0, b"", succeeded=0, encoding="none")
    bench.part()

    result = bench.aggregate()

    assert result["status"] == "Failed"
    assert result["error"]["class"] == "NothingSucceeded"
    assert result["error"]["message"].startswith("There is no succeeded mini batch item returned from run().")
    assert not bench.files()
    assert Path(result["errors"]).read_text().count("\n") == 2


def test_an_output_that_appeared_meanwhile_is_kept_and_the_job_fails(bench) -> None:
    bench.scored(0, b"a\n")
    bench.part()
    bench.output.mkdir(exist_ok=True)
    (bench.output / "predictions.csv").write_text("theirs")

    result = bench.aggregate()

    assert result["error"]["class"] == "OutputExists"
    assert (bench.output / "predictions.csv").read_text() == "theirs"
    assert bench.files() == {"predictions.csv"}


def test_another_jobs_output_of_the_same_size_is_never_taken_for_this_ones(bench) -> None:
    bench.scored(0, b"mine\n")
    bench.part()
    bench.output.mkdir(exist_ok=True)
    (bench.output / "predictions.csv").write_text("your\n")

    for _ in range(2):
        assert bench.aggregate()["error"]["class"] == "OutputExists"

    assert (bench.output / "predictions.csv").read_text() == "your\n"
    assert list(bench.folder.list(job_folder.PARTS))


def test_what_nobody_expected_fails_the_job_and_is_not_tried_for_ever(bench, monkeypatch) -> None:
    bench.scored(0, b"a\n")
    bench.part()
    monkeypatch.setattr(indexing, "RowCopier", lambda *_: 1 / 0)

    result = bench.aggregate()

    assert result["status"] == "Failed"
    assert "ZeroDivisionError" in result["error"]["message"]
    assert "Traceback" in result["error"]["detail"]
    assert bench.ledger.snapshot("j").state == "closed"
    assert not bench.files()


def test_overwrite_replaces_the_output_and_stale_errors(bench) -> None:
    bench.job = replace(bench.job, output=replace(bench.job.output, overwrite=True))
    bench.scored(0, b"a\n")
    bench.part()
    for name in ("predictions.csv", "errors.jsonl", "summary.json"):
        (bench.output / name).write_text("old")

    bench.aggregate()

    assert (bench.output / "predictions.csv").read_text() == "a\n"
    assert bench.files() == {"predictions.csv", "summary.json"}


def test_a_second_aggregation_after_publishing_gives_the_same(bench) -> None:
    bench.scored(0, b"a\n")
    bench.part()
    parts = {entry.path: bench.folder.read(entry.path) for entry in bench.folder.list(job_folder.PARTS)}
    first = bench.aggregate()
    for path, data in parts.items():
        bench.folder.create(path, data)  # as if it had been ended before the parts were removed

    assert bench.aggregate() == first
    assert (bench.output / "predictions.csv").read_text() == "a\n"


def test_a_missing_mini_batch_is_never_published(bench) -> None:
    bench.scored(0, b"a\n")
    bench.scored(2, b"c\n")
    bench.part()
    ((part, _),) = bench.ledger.parts("j")
    bench.folder.create(job_folder.MERGE, json.dumps([[part, [[0, 0], [2, 2]]]]).encode())

    result = bench.aggregate()

    assert result["error"]["class"] == "Corrupt"
    assert not bench.files()


def test_a_ledger_that_is_being_made_again_ends_nothing(bench) -> None:
    bench.scored(0, b"a\n")
    bench.scored(2, b"c\n")
    bench.part()

    with pytest.raises(LedgerLost):
        bench.aggregate()

    assert not bench.folder.exists(job_folder.MERGE)
    assert not bench.folder.exists(job_folder.RESULT)


def test_a_ledger_that_lost_its_memory_ends_nothing(bench) -> None:
    bench.scored(0, b"a\n")
    bench.part()
    bench.ledger.forget("j")

    with pytest.raises(LedgerLost):
        aggregate(bench.job, bench.folder, bench.ledger, publish=True)

    assert not bench.folder.exists(job_folder.RESULT)


def test_a_flipped_byte_is_never_published(bench) -> None:
    bench.scored(0, b"aaaa\n")
    bench.part()
    (part,) = bench.folder.list(job_folder.PARTS)
    path = bench.folder.local_path(part.path)
    path.write_bytes(b"b" + path.read_bytes()[1:])

    result = bench.aggregate()

    assert result["error"]["class"] == "Corrupt"
    assert not bench.files()


def test_a_stopped_job_gets_its_errors_gathered_and_no_output(bench) -> None:
    bench.scored(1, b"", succeeded=0, encoding="none")
    bench.part()
    bench.ledger.stop("j", state="stopped", error={"class": "ThresholdExceeded", "message": "too many", "detail": ""})

    result = bench.aggregate(publish=False)

    assert result["status"] == "Failed"
    assert result["error"]["message"] == "too many"
    assert not bench.files()
    assert Path(result["errors"]).read_text().count("\n") == 2


def test_a_header_holds_the_columns_of_every_mini_batch(tmp_path) -> None:
    bench = Bench(tmp_path, output_format=RowFormat.CSV, header=True, delimiter=",")
    bench.scored(0, b"1,2\n", columns=("a", "b"), encoding="csv")
    bench.scored(1, b'"x,y",9\n', columns=("c", "a"), encoding="csv")
    bench.scored(2, b"", succeeded=0, encoding="none")
    bench.part()

    bench.aggregate()

    assert (bench.output / "predictions.csv").read_text() == 'a,b,c\n1,2,\n9,,"x,y"\n'


def arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def test_parquet_takes_the_type_that_holds_every_mini_batch(tmp_path) -> None:
    bench = Bench(tmp_path, output_format=RowFormat.PARQUET, output_file_name="p.parquet")
    bench.scored(0, arrow(pa.table({"a": [1, 2], "b": ["x", None]})), encoding="arrow", columns=("a", "b"))
    bench.scored(1, arrow(pa.table({"a": [0.5]})), encoding="arrow", columns=("a",))
    bench.scored(2, b'{"a": 3, "b": "z"}\n', encoding="jsonl", columns=("a", "b"))
    bench.part()

    result = bench.aggregate()

    assert result["error"] is None
    assert pyarrow.parquet.read_table(bench.output / "p.parquet").to_pylist() == [
        {"a": 1.0, "b": "x"},
        {"a": 2.0, "b": None},
        {"a": 0.5, "b": None},
        {"a": 3.0, "b": "z"},
    ]


def test_summary_only_publishes_what_scripts_wrote(tmp_path) -> None:
    bench = Bench(tmp_path, output_action=OutputAction.SUMMARY_ONLY)
    bench.scored(0, b"", files=("a.txt",), encoding="none")
    bench.part()
    (part,) = bench.folder.list(job_folder.PARTS)
    name = job_folder.parse_part_path(part.path)
    bench.folder.create(f"{job_folder.files_folder(name, 0)}/a.txt", b"mine")

    result = bench.aggregate()

    assert bench.files() == {"a.txt", "summary.json"}
    assert (bench.output / "a.txt").read_bytes() == b"mine"
    assert result["output"] == str(bench.output)

"""What was scored again stands in its place in the same output, and all else is as it was, byte by byte."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet
import pytest

from gristmill.spec import OutputAction, RowFormat
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.manifest import ManifestReader, ManifestWriter, MiniBatch
from gristmill_storage.output_index import IndexReader
from gristmill_storage.retry_plan import RunWriter, runs_of
from gristmill_workers.aggregator.verify import verify


def retry(bench, name: str = "j-retry-1"):
    """A job that scores the failed items again, planned as the scheduler does it."""
    place = open_store(job_folder.url(bench.job.output.folder, name))
    manifest, runs = ManifestWriter(place, clock=lambda: 0.0), RunWriter(place)
    planned = [mini_batch.items for mini_batch in ManifestReader(bench.folder).mini_batches()]
    for record in IndexReader(bench.folder).records():
        for run in runs_of(record):
            manifest.add(MiniBatch(manifest.next, planned[run.mini_batch][run.first : run.end], 0))
            runs.add(run)
    runs.publish()
    manifest.close()
    again = bench.another(name=name, retry_of="j")
    again.folder.replace(job_folder.RETRY, place.read(job_folder.RETRY))
    return again


def finish(bench, again) -> dict:
    result = again.aggregate()
    assert (result["status"], result["error"]) == ("Completed", None)
    assert verify(bench.folder.url)["faults"] == []
    assert verify(again.folder.url)["faults"] == []
    assert not list(again.folder.list(job_folder.PARTS))
    return result


@pytest.fixture
def bench(make):
    """a1 . a3 | b1 b2 | . . | . d2 ."""
    bench = make()
    bench.planned(3, 2, 2, 3)
    bench.scored(0, (1, b"a1\n"), (1, None), (1, b"a3\n"))
    bench.scored(1, (2, b"b1\nb2\n"))
    bench.scored(2, (2, None))
    bench.scored(3, (1, None), (1, b"d2\n"), (1, None))
    bench.part()
    assert bench.aggregate()["error"] is None
    assert bench.read() == b"a1\na3\nb1\nb2\nd2\n"
    return bench


def test_each_run_of_failed_items_is_scored_again(bench) -> None:
    assert retry(bench).plan == [
        ("m0000-1.txt",),
        ("m0002-0.txt", "m0002-1.txt"),
        ("m0003-0.txt",),
        ("m0003-2.txt",),
    ]


def test_rows_come_to_their_places(bench) -> None:
    again = retry(bench)
    again.scored(0, (1, b"a2\n"))
    again.scored(1, (2, b"c1\nc2\n"))
    again.scored(2, (1, b"d1\n"))
    again.scored(3, (1, b"d3\n"))
    again.part()

    result = finish(bench, again)

    assert bench.read() == b"a1\na2\na3\nb1\nb2\nc1\nc2\nd1\nd2\nd3\n"
    assert result["errors"] is None
    assert not (bench.output / "errors.jsonl").exists()
    summary = bench.summary()
    assert summary["job"] == "j"
    assert summary["items"] == {"total": 10, "succeeded": 10, "failed": 0}
    assert summary["rows"] == 10
    assert summary["errors"] is None
    assert summary["errors_by_category"] == {}
    assert summary["mini_batches"]["failed"] == 0
    assert summary["output_bytes"] == 30
    assert summary["retries"] == [{"job": "j-retry-1", "items": 5, "succeeded": 5}]
    assert json.loads(bench.folder.read(job_folder.RESULT))["errors"] is None
    assert json.loads(again.folder.read(job_folder.SUMMARY))["items"] == {"total": 5, "succeeded": 5, "failed": 0}


def test_what_fails_again_keeps_its_place_among_the_errors_with_what_was_wrong_now(bench) -> None:
    again = retry(bench)
    again.scored(0, (1, b"a2\n"))
    again.scored(1, (1, None), (1, b"c2\n"))
    again.scored(2, (1, None))
    again.scored(3, (1, b"d3\n"))
    again._blocks = [
        (replace(block, errors=tuple({**error, "category": "timeout"} for error in block.errors)), data)
        for block, data in again._blocks
    ]
    again.part()

    finish(bench, again)

    assert bench.read() == b"a1\na2\na3\nb1\nb2\nc2\nd2\nd3\n"
    assert [(error["file"], error["mini_batch"], error["category"]) for error in bench.errors()] == [
        ("m0002-0.txt", 2, "timeout"),
        ("m0003-0.txt", 3, "timeout"),
    ]
    assert bench.summary()["errors_by_category"] == {"timeout": 2}


def test_a_retry_can_be_retried(bench) -> None:
    again = retry(bench)
    for number, items in enumerate(again.plan):
        again.scored(number, (len(items), None if number != 1 else b"c1\nc2\n"))
    again.part()
    finish(bench, again)

    third = retry(bench, "j-retry-2")
    assert third.plan == [("m0000-1.txt",), ("m0003-0.txt",), ("m0003-2.txt",)]
    third.scored(0, (1, b"a2\n"))
    third.scored(1, (1, b"d1\n"))
    third.scored(2, (1, b"d3\n"))
    third.part()
    finish(bench, third)

    assert bench.read() == b"a1\na2\na3\nb1\nb2\nc1\nc2\nd1\nd2\nd3\n"
    assert [retry["job"] for retry in bench.summary()["retries"]] == ["j-retry-1", "j-retry-2"]


def test_a_retry_in_which_nothing_succeeds_changes_no_row(bench) -> None:
    again = retry(bench)
    for number, items in enumerate(again.plan):
        again.scored(number, (len(items), None))
    again.part()

    finish(bench, again)

    assert bench.read() == b"a1\na3\nb1\nb2\nd2\n"
    assert len(bench.errors()) == 5
    assert bench.summary()["retries"] == [{"job": "j-retry-1", "items": 5, "succeeded": 0}]


def fewer(bench, number: int, data: bytes, succeeded: int) -> None:
    """Score a mini-batch of which run() gave fewer results than it had items."""
    items = len(bench.plan[number])
    piece = replace(bench.piece(items, data), succeeded=succeeded)
    errors = [bench.error(number, None)] if succeeded < items else []
    bench.put(number, data, (piece,), errors)


@pytest.mark.parametrize(
    ("data", "succeeded", "expected"), [(b"p\nq\nr\n", 3, b"p\nq\nr\n"), (b"r\n", 1, b"x\ny\n"), (b"", 0, b"x\ny\n")]
)
def test_where_good_and_failed_items_cannot_be_told_apart_the_better_outcome_stays(
    make, data, succeeded, expected
) -> None:
    bench = make()
    bench.planned(1, 3, 1)
    bench.scored(0, (1, b"a\n"))
    fewer(bench, 1, b"x\ny\n", 2)
    bench.scored(2, (1, b"z\n"))
    bench.part()
    bench.aggregate()

    again = retry(bench)
    assert again.plan == [bench.plan[1]]
    fewer(again, 0, data, succeeded)
    again.part()
    finish(bench, again)

    assert bench.read() == b"a\n" + expected + b"z\n"
    assert (bench.output / "errors.jsonl").exists() is (succeeded < 3)


def test_a_header_grows_and_every_row_comes_under_it(make) -> None:
    bench = make(output_format=RowFormat.CSV, header=True, delimiter=",")
    bench.planned(1, 1)
    bench.scored(0, (1, b'1,"x\ny"\n'), encoding="csv", columns=("a", "b"))
    bench._blocks = [(replace(bench._blocks[0][0], rows=1), bench._blocks[0][1])]
    bench.scored(1, (1, None), encoding="csv")
    bench.part()
    bench.aggregate()
    again = retry(bench)
    again.scored(0, (1, b"3,2\n"), encoding="csv", columns=("c", "a"))
    again.part()

    finish(bench, again)

    assert bench.read() == b'a,b,c\n1,"x\ny",\n2,,3\n'


def test_parquet_rows_come_to_their_places(make, as_arrow) -> None:
    bench = make(output_format=RowFormat.PARQUET, output_file_name="p.parquet")
    bench.planned(2, 1, 2)
    bench.scored(0, (1, as_arrow(pa.table({"a": [1, 2]}))), (1, None), encoding="arrow")
    bench.scored(1, (1, None), encoding="none")
    bench.scored(2, (2, as_arrow(pa.table({"a": [5]}))), encoding="arrow")
    bench.part()
    assert bench.aggregate()["error"] is None
    again = retry(bench)
    again.scored(0, (1, as_arrow(pa.table({"a": [3.5], "b": ["x"]}))), encoding="arrow")
    again.scored(1, (1, as_arrow(pa.table({"b": ["y"]}))), encoding="arrow")
    again.part()

    finish(bench, again)

    assert pyarrow.parquet.read_table(io.BytesIO(bench.read("p.parquet"))).to_pylist() == [
        {"a": 1.0, "b": None},
        {"a": 2.0, "b": None},
        {"a": 3.5, "b": "x"},
        {"a": None, "b": "y"},
        {"a": 5.0, "b": None},
    ]


def test_an_output_that_somebody_changed_stays_as_it_is(bench) -> None:
    again = retry(bench)
    for number, items in enumerate(again.plan):
        again.scored(number, (len(items), b"n\n"))
    again.part()
    (bench.output / "predictions.csv").write_bytes(b"a1\na3\nb1\nb2\nmy\n")

    result = again.aggregate()

    assert (result["status"], result["error"]["class"]) == ("Failed", "OutputExists")
    assert bench.read() == b"a1\na3\nb1\nb2\nmy\n"
    assert len(bench.errors()) == 5


def written(bench, part: str, files: dict[tuple[int, str], bytes]) -> None:
    for (number, name), data in files.items():
        bench.folder.create(f"{job_folder.files_folder(part, number)}/{name}", data)


def test_files_that_scripts_wrote_are_brought_in(make) -> None:
    bench = make(output_action=OutputAction.SUMMARY_ONLY)
    bench.planned(1, 1, 1)
    bench.scored(0, (1, b""), encoding="none", files=("all.txt", "0.bin"))
    bench.scored(1, (1, None), encoding="none")
    bench.scored(2, (1, b""), encoding="none", files=("all.txt",))
    written(bench, bench.part(), {(0, "all.txt"): b"zero\n", (0, "0.bin"): b"0", (2, "all.txt"): b"two\n"})
    assert bench.aggregate()["error"] is None
    again = retry(bench)
    again.scored(0, (1, b""), encoding="none", files=("all.txt", "1.bin"))
    written(again, again.part(), {(0, "all.txt"): b"one\n", (0, "1.bin"): b"1"})

    result = finish(bench, again)

    assert result["output"] == str(bench.output)
    assert bench.read("all.txt") == b"zero\none\ntwo\n"
    assert (bench.read("0.bin"), bench.read("1.bin")) == (b"0", b"1")
    assert bench.summary()["items"] == {"total": 3, "succeeded": 3, "failed": 0}
    assert bench.summary()["written_files"] == 3


def test_a_retry_that_was_stopped_leaves_the_output_as_it_is(bench) -> None:
    again = retry(bench)
    again.scored(0, (1, b"a2\n"))
    again.part()
    again.ledger.stop(again.job.name, state="canceled", error=None)

    assert again.aggregate(publish=False, partial=True)["status"] == "Canceled"

    assert bench.read() == b"a1\na3\nb1\nb2\nd2\n"
    assert verify(bench.folder.url)["faults"] == []
    assert verify(again.folder.url)["faults"] == []


class Chance:
    """Outcomes drawn from a seed: rows of each item, and which items fail how often."""

    def __init__(self, seed: int, form: RowFormat, as_arrow) -> None:
        self.draw = random.Random(seed)
        self.form = form
        self._as_arrow = as_arrow
        self.sizes = [self.draw.randint(1, 6) for _ in range(self.draw.randint(1, 8))]

    def rows(self, item: str) -> list[dict[str, str]]:
        """What an item gives, always the same."""
        own = random.Random(item)
        names = ["x"] if self.form is RowFormat.TEXT else own.sample(["a", "b", "c"], own.randint(1, 3))
        return [{name: f"{item}{name}{row}" for name in names} for row in range(own.randint(0, 2))]

    def encoded(self, rows: list[dict[str, str]]) -> bytes:
        if self.form is RowFormat.PARQUET:
            return self._as_arrow(pa.Table.from_pylist(rows)) if rows else b""
        return "".join(",".join(row.values()) + "\n" for row in rows).encode()

    def score(self, bench, number: int, fails) -> None:
        """Score a mini-batch in pieces, as isolation leaves them."""
        pieces, data, errors = [], b"", []
        items = list(bench.plan[number])
        while items:
            item = items.pop(0)
            names = [item]
            rows = None if fails(item) else self.rows(item)
            while items and self._alike(rows, items[0], fails) and self.draw.random() < 0.7:
                names.append(items.pop(0))
                if rows is not None:
                    rows = rows + self.rows(names[-1])
            made = self.encoded(rows or [])
            facts = {"columns": tuple(rows[0]) if rows and self.form is not RowFormat.TEXT else None}
            piece = bench.piece(len(names), None if rows is None else made)
            pieces.append(replace(piece, rows=len(rows or ()), **facts))
            data += made
            if rows is None:
                errors += [bench.error(number, name) for name in names]
        encoding = {RowFormat.PARQUET: "arrow"}.get(self.form, str(self.form))
        columns = pieces[0].columns if len(pieces) == 1 else None
        bench.put(number, data, tuple(pieces), errors, encoding=encoding, columns=columns)

    def _alike(self, rows: list[dict[str, str]] | None, other: str, fails) -> bool:
        """Whether an item can stand in one piece with others: failed as they are, or with rows of the same columns."""
        if rows is None or fails(other):
            return rows is None and fails(other)
        return {tuple(row) for row in (*rows, *self.rows(other))} <= {tuple(row) for row in rows[:1]}

    def found(self, data: bytes) -> list[dict[str, str]]:
        if self.form is RowFormat.PARQUET:
            rows = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
        elif self.form is RowFormat.TEXT:
            rows = [{"x": line} for line in data.decode().splitlines()]
        else:
            rows = list(csv.DictReader(io.StringIO(data.decode())))
        return [{name: value for name, value in row.items() if value} for row in rows]


@pytest.mark.parametrize("form", [RowFormat.TEXT, RowFormat.CSV, RowFormat.PARQUET])
@pytest.mark.parametrize("seed", range(6))
def test_retries_come_to_the_output_of_a_run_in_which_nothing_failed(make, as_arrow, form, seed) -> None:
    chance = Chance(seed, form, as_arrow)
    bench = make(output_format=form, header=form is RowFormat.CSV, delimiter=",")
    bench.planned(*chance.sizes)
    names = [name for items in bench.plan for name in items]
    times = {name: chance.draw.choice([0, 0, 1, 2]) for name in names}
    times[names[0]] = 0
    for number in range(len(bench.plan)):
        chance.score(bench, number, lambda item: times[item] > 0)
        if chance.draw.random() < 0.3:
            bench.part()
    if bench._blocks:
        bench.part()
    assert bench.aggregate()["error"] is None
    assert verify(bench.folder.url)["faults"] == []

    for attempt in (1, 2):
        if max(times.values()) < attempt:
            break
        again = retry(bench, f"j-retry-{attempt}")
        for number in range(len(again.plan)):
            chance.score(again, number, lambda item, attempt=attempt: times[item] > attempt)
        again.part()
        finish(bench, again)
        expected = [row for name in names if times[name] <= attempt for row in chance.rows(name)]
        assert chance.found(bench.read()) == expected
        assert bench.summary()["items"]["failed"] == sum(times[name] > attempt for name in names)

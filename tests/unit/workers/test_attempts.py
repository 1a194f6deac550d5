from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from gristmill.states import Category
from gristmill_storage.job_report import COLUMNS
from gristmill_storage.parts import Blocks
from gristmill_workers.attempts import Attempts, status_of
from gristmill_workers.work import Failed, ScoredTogether, Work


def work(number: int, *items: str, attempt: int = 1, piece: tuple[int, int] | None = None) -> Work:
    return Work(number=number, attempt=attempt, token="t", items=items or ("a.txt", "b.txt"), piece=piece)


def answer(work: Work, *errors: dict[str, Any], outcome: str = "done", succeeded: int | None = None) -> dict[str, Any]:
    scored = len(work.items) if succeeded is None else succeeded
    return {"n": work.number, "outcome": outcome, "succeeded": scored, "seconds": 0.25, "errors": list(errors)}


def error(category: str, message: str = "no") -> dict[str, Any]:
    return {"file": None, "category": category, "message": message}


class Bench:
    def __init__(self, folder: Path, **options: Any) -> None:
        self.attempts = Attempts(folder, node="n", instance="n-0-x", **options)
        self.process = self.attempts.process("process000")
        self._folder = folder / "logs/sys/node/n"

    def rows(self) -> list[dict[str, str]]:
        text = (self._folder / "n-0-x.attempts.csv").read_text()
        return list(csv.DictReader(text.splitlines(), COLUMNS))

    def sums(self) -> list[dict[str, Any]]:
        return json.loads((self._folder / "n-0-x.sums.json").read_text())["processes"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_answers_become_rows_when_they_are_written(bench: Bench) -> None:
    works = [work(3), work(12, "c,d.txt")]
    bench.process.answered(works[:1], [answer(works[0])])
    bench.process.answered(works[1:], [answer(works[1])])
    bench.attempts.write()

    first, second = bench.rows()
    assert first["Mini-batch Id"] == "000000000003"
    assert (first["Picked Count"], first["Process"], first["Status"]) == ("1", "n/process000", "RUN_DONE")
    assert (first["Total"], first["Succeeded"], first["Failed"]) == ("2", "2", "0")
    assert first["Run Method Seconds"] == first["Elapsed Seconds"] == "0.250000"
    assert (first["Mini-batch Detail"], second["Mini-batch Detail"]) == ("a.txt", "c,d.txt")
    assert first["Process Start Time"] == bench.sums()[0]["started"]


def test_a_plain_row_and_a_quoted_one_differ_in_nothing_else(bench: Bench) -> None:
    plain, quoted = work(1, "a", "b"), work(1, "a", "b", piece=(0, 2))
    bench.process.answered([plain], [answer(plain)])
    bench.process.answered([quoted], [answer(quoted)])
    bench.attempts.write()

    first, second = bench.rows()
    assert second.pop("Mini-batch Detail") == "a (items 1 to 2 of the mini-batch, scored apart)"
    first.pop("Mini-batch Detail")
    assert first == second


@pytest.mark.parametrize("name", ["a.txt", 'a "b", c.txt'])
def test_an_answer_to_many_has_the_rows_that_each_would_have(bench: Bench, name: str) -> None:
    works = [work(3, name, "z"), work(4)]
    blocks = Blocks(
        mini_batches=[3, 4], attempt=1, items=[2, 2], rows=[2, 2], microseconds=[250_000, 250_000], sizes=[0, 0]
    )

    bench.process.answered(works, list(map(answer, works)))
    bench.process.scored(ScoredTogether(works=works, blocks=blocks, data=b""))
    bench.attempts.write()

    rows = bench.rows()
    assert rows[:2] == rows[2:]
    assert (rows[0]["Mini-batch Detail"], len(rows)) == (name, 4)
    assert (bench.sums()[0]["attempts"], bench.sums()[0]["total"], bench.sums()[0]["seconds"]) == (4, 8, 1.0)


def test_an_attempt_that_failed_is_written_at_once_with_its_error(bench: Bench) -> None:
    failed = work(4, attempt=2)
    bench.process.answered([failed], [answer(failed, error("exception", 'a "b",\nc'), outcome="failed", succeeded=0)])
    bench.process.failed(Failed(work=work(5), category=Category.TIMEOUT, message="too long"), 1.5)

    raised, hung = bench.rows()
    assert (raised["Status"], raised["Error Category"]) == ("RUN_EXCEPTION", "exception")
    assert raised["Error Message"] == 'a "b", c'
    assert (raised["Picked Count"], raised["Succeeded"], raised["Failed"]) == ("2", "0", "2")
    assert (hung["Status"], hung["Run Method Seconds"]) == ("RUN_TIMEOUT", "1.500000")
    assert bench.sums()[0]["attempts_failed"] == 2


def test_an_answer_that_lost_some_items_was_run_all_the_same(bench: Bench) -> None:
    short = work(6)
    bench.process.answered([short], [answer(short, error("missing_results"), succeeded=1)])

    (row,) = bench.rows()
    assert (row["Status"], row["Error Category"], row["Failed"]) == ("RUN_DONE", "missing_results", "1")
    assert bench.sums()[0]["attempts_failed"] == 0


def test_an_attempt_that_reached_no_process_names_none(bench: Bench) -> None:
    bench.attempts.failed(Failed(work=work(7), category=Category.FETCH, message="gone"))

    (row,) = bench.rows()
    assert (row["Process"], row["Run Method Seconds"], row["Status"]) == ("", "", "LOAD_EXCEPTION")
    assert [sums["process"] for sums in bench.sums()] == ["n/process000", ""]


@pytest.mark.parametrize(
    ("category", "message", "status"),
    [
        (Category.EXCEPTION, "x", "RUN_EXCEPTION"),
        (Category.RETURN_TYPE, "x", "RUN_EXCEPTION"),
        (Category.ENCODING, "timed out", "RUN_EXCEPTION"),
        (Category.TIMEOUT, "x", "RUN_TIMEOUT"),
        (Category.CRASH, "x", "RUN_CRASH"),
        (Category.LOST, "x", "RUN_LOST"),
        (Category.UNREADABLE, "x", "LOAD_EXCEPTION"),
        (Category.FETCH, "x", "LOAD_EXCEPTION"),
        (Category.FETCH, "the read timed out", "LOAD_TIMEOUT"),
        (Category.FETCH, "Connect timeout on endpoint", "LOAD_TIMEOUT"),
    ],
)
def test_every_category_has_a_status(category: str, message: str, status: str) -> None:
    assert status_of(category, message) == status


def test_nonsense_from_a_scorer_leaves_its_rows_out(bench: Bench) -> None:
    whole = answer(work(8))
    for nonsense in ({**whole, "seconds": "x"}, {**whole, "succeeded": None}, {"n": 8}, {**whole, "errors": [3]}):
        bench.process.answered([work(8)], [nonsense])
    bench.process.answered([work(9)], [answer(work(9))])
    bench.attempts.write()

    assert [row["Mini-batch Id"] for row in bench.rows()] == ["000000000009"]


def test_rows_end_at_the_limit_and_sums_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limit=3)
    for start in (0, 2, 4):
        works = [work(start), work(start + 1)]
        bench.process.answered(works, [answer(one) for one in works])
    bench.attempts.write()

    assert len(bench.rows()) == 3
    assert bench.sums()[0]["attempts"] == 6


def test_many_rows_are_written_before_anybody_asks(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr("gristmill_workers.attempts.BLOCK", 1000)
    for number in range(40):
        bench.process.answered([work(number)], [answer(work(number))])

    assert 20 < len(bench.rows()) < 40


def test_a_folder_that_takes_nothing_is_one_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "logs").write_text("in its way")
    bench = Bench(tmp_path)
    for number in range(3):
        bench.process.failed(Failed(work=work(number), category=Category.CRASH, message="died"), 0.1)

    assert len(caplog.messages) == 1
    assert "further attempts could not be written" in caplog.messages[0]


def test_names_that_are_no_text_are_escaped(bench: Bench) -> None:
    bench.process.answered([work(1, "a\udcff.txt")], [answer(work(1, "a\udcff.txt"))])
    bench.attempts.write()

    assert bench.rows()[0]["Mini-batch Detail"] == "a\\udcff.txt"

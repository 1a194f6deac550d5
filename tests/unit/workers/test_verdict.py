from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gristmill.states import Category
from gristmill_workers.verdict import LONGEST_DELAY, TRACEBACK_LIMIT, Halve, Outcome, Retry, judge, lost
from gristmill_workers.work import Failed, Scored, Work


def work(attempt: int = 1, items: tuple[str, ...] = ("a", "b", "c")) -> Work:
    return Work(number=7, attempt=attempt, token="e-1", items=items)


def scored(attempt: int = 1, **changes: Any) -> Scored:
    result = {
        "n": 7,
        "attempt": attempt,
        "outcome": "done",
        "items": 3,
        "succeeded": 3,
        "rows": 3,
        "seconds": 0.5,
        "bytes": 6,
        "columns": None,
        "encoding": "text",
        "errors": [],
        "files": [],
        **changes,
    }
    return Scored(work=work(attempt), result=result, data=b"a\nb\nc\n")


def error(category: str = "exception", *, file: str | None = None, final: bool = False) -> dict[str, Any]:
    return {"file": file, "category": category, "message": "no", "traceback": "T" * 9000, "final": final}


def test_a_good_answer_counts() -> None:
    verdict = judge(scored(), attempts=3)

    assert isinstance(verdict, Outcome)
    assert (verdict.block.items, verdict.block.succeeded, verdict.block.failed, verdict.block.rows) == (3, 3, 0, 3)
    assert verdict.block.errors == ()


def test_more_results_than_items_are_no_more_successes_than_items() -> None:
    verdict = judge(scored(succeeded=9, rows=9), attempts=3)

    assert isinstance(verdict, Outcome)
    assert (verdict.block.succeeded, verdict.block.failed, verdict.block.rows) == (3, 0, 9)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_failure_is_tried_again_until_the_last_attempt(attempt: int) -> None:
    failed = scored(attempt, outcome="failed", errors=[error()])

    assert isinstance(judge(failed, attempts=3), Retry)


def test_the_last_failure_makes_every_item_an_error_with_its_facts() -> None:
    verdict = judge(scored(3, outcome="failed", errors=[error()]), attempts=3)

    assert isinstance(verdict, Outcome)
    assert (verdict.block.succeeded, verdict.block.failed, verdict.block.rows, verdict.block.size) == (0, 3, 0, 0)
    assert [one["file"] for one in verdict.block.errors] == ["a", "b", "c"]
    assert verdict.block.errors[0] == {
        "file": "a",
        "mini_batch": 7,
        "attempts": 3,
        "category": "exception",
        "message": "no",
        "traceback": "T" * TRACEBACK_LIMIT,
    }


def test_a_final_error_is_not_tried_again() -> None:
    assert isinstance(judge(scored(outcome="failed", errors=[error("encoding", final=True)]), attempts=3), Outcome)


def test_items_that_cannot_be_read_are_errors_and_the_others_stay() -> None:
    verdict = judge(scored(succeeded=2, errors=[error("unreadable", file="b", final=True)]), attempts=3)

    assert isinstance(verdict, Outcome)
    assert (verdict.block.succeeded, verdict.block.failed, verdict.block.rows) == (2, 1, 3)
    assert [one["file"] for one in verdict.block.errors] == ["b"]


def test_missing_results_are_tried_again_then_counted_with_their_rows_kept() -> None:
    short = {"succeeded": 1, "rows": 1, "errors": [error("missing_results")]}

    assert isinstance(judge(scored(1, **short), attempts=2), Retry)
    verdict = judge(scored(2, **short), attempts=2)
    assert isinstance(verdict, Outcome)
    assert (verdict.block.succeeded, verdict.block.failed, verdict.block.rows) == (1, 2, 1)
    assert verdict.block.errors[0]["file"] is None
    assert verdict.block.errors[0]["items"] == ["a", "b", "c"]


def test_a_scorer_that_died_counts_as_an_attempt() -> None:
    died = Failed(work=work(1), category=Category.CRASH, message="signal SIGSEGV")

    verdict = judge(died, attempts=2)

    assert isinstance(verdict, Retry)
    assert verdict.category == "crash"


def test_delays_double_and_are_bounded() -> None:
    delays = [
        judge(Failed(work=work(n), category=Category.CRASH, message=""), attempts=99).delay
        for n in (1, 2, 3, 20)  # type: ignore[union-attr]
    ]

    assert delays == [0.25, 0.5, 1.0, LONGEST_DELAY]


def test_a_lost_mini_batch_is_an_error_of_each_item() -> None:
    block = lost(work(), Category.LOST, "again and again").block

    assert (block.failed, {one["category"] for one in block.errors}) == (3, {"lost"})


def test_errors_name_the_item_and_not_the_place_of_its_copy() -> None:
    copied = Work(number=7, attempt=1, token="t", items=("a/../b", "c"), places=("a/marked-b", "c"))
    event = Scored(
        work=copied,
        result={**scored().result, "succeeded": 1, "errors": [error("unreadable", file="a/marked-b", final=True)]},
        data=b"",
    )

    verdict = judge(event, attempts=1)

    assert isinstance(verdict, Outcome)
    assert [one["file"] for one in verdict.block.errors] == ["a/../b"]


def test_a_last_failure_of_several_items_is_halved_when_that_is_asked_for() -> None:
    failed = scored(3, outcome="failed", errors=[error()])

    assert judge(failed, attempts=3, isolate=True) == Halve(category="exception", message="no", traceback="T" * 9000)
    assert isinstance(judge(failed, attempts=4, isolate=True), Retry)


@pytest.mark.parametrize(
    "errors",
    [[error("unreadable", file="b", final=True)], [{**error(file="b"), "alone": True}]],
)
def test_what_is_known_of_each_item_is_not_asked_again(errors: list[dict[str, Any]]) -> None:
    assert isinstance(judge(scored(3, succeeded=2, errors=errors), attempts=3, isolate=True), Outcome)


def test_a_single_item_is_not_halved_and_named() -> None:
    short = scored(3, items=1, succeeded=0, rows=0, errors=[error("missing_results")])
    single = replace(short, work=work(3, ("a",)))

    verdict = judge(single, attempts=3, isolate=True)

    assert isinstance(verdict, Outcome)
    assert [one["file"] for one in verdict.block.errors] == ["a"]
    assert "items" not in verdict.block.errors[0]


def test_a_copys_failure_is_never_the_last() -> None:
    failed = scored(3, outcome="failed", errors=[error()])

    assert isinstance(judge(replace(failed, work=work(3)._replace(copy=1)), attempts=3, isolate=True), Retry)

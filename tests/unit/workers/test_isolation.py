"""Which items of a mini-batch are found bad, and what it costs, whatever they do and in whatever order answers come."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.states import Category
from gristmill_storage.parts import Block
from gristmill_workers.isolation import Isolated, Isolation
from gristmill_workers.verdict import Halve, Outcome
from gristmill_workers.work import Failed, Scored, Work

CAUSE = Halve(category="exception", message="the whole", traceback="")

RAISING, MISSING, KILLING = "exception", "missing_results", "crash"


def mini_batch(size: int) -> Work:
    return Work(number=7, attempt=3, token="e-1", items=tuple(f"i{n}" for n in range(size)))


def result(work: Work, **changes: Any) -> dict[str, Any]:
    rows = changes.pop("rows", len(work.items))
    return {
        "n": work.number,
        "attempt": work.attempt,
        "outcome": "done",
        "items": len(work.items),
        "succeeded": rows,
        "rows": rows,
        "seconds": 0.5,
        "bytes": rows * 3,
        "columns": None,
        "encoding": "text",
        "errors": [],
        "files": [],
        **changes,
    }


def done(work: Work, **changes: Any) -> Scored:
    return Scored(work=work, result=result(work, **changes), data=b"")


def error(category: str, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"file": None, "category": category, "message": message, "traceback": "", "final": False, **more}


def run(work: Work, bad: Mapping[str, str]) -> Scored | Failed:
    """What a script gives that is led astray by some items."""
    first = next((item for item in work.items if item in bad), None)
    if first is None:
        return done(work)
    what = bad[first]
    if what == KILLING:
        return Failed(work=work, category=Category.CRASH, message=f"killed by {first}")
    if what == RAISING:
        return done(work, outcome="failed", rows=0, errors=[error(RAISING, f"raised at {first}")])
    return done(work, rows=len(work.items) - 1, errors=[error(MISSING, f"nothing for {first}")])


def isolate(isolation: Isolation, bad: Mapping[str, str], chance: random.Random | None = None) -> Isolated:
    waiting = isolation.pieces()
    while not isolation.decided:
        piece = waiting.pop(chance.randrange(len(waiting)) if chance else 0)
        isolation.take(run(piece, bad))
        waiting += isolation.pieces()
    assert not waiting
    return isolation.outcome()


def check(block: Block) -> None:
    assert block.succeeded + block.failed == block.items
    assert len(block.errors) == block.failed
    if block.pieces:
        for name in ("items", "succeeded", "rows", "size"):
            assert sum(getattr(piece, name) for piece in block.pieces) == getattr(block, name)
        assert len(block.pieces) > 1


@given(st.data())
def test_exactly_the_bad_items_fail_and_all_others_stay_in_order(data: st.DataObject) -> None:
    work = mini_batch(data.draw(st.integers(2, 70)))
    kinds = st.sampled_from([RAISING, MISSING, KILLING])
    bad = data.draw(st.dictionaries(st.sampled_from(work.items), kinds))
    isolation = Isolation(work, CAUSE, kills=1000)

    isolated = isolate(isolation, bad, data.draw(st.randoms(use_true_random=False)))

    check(isolated.block)
    assert [item for piece in isolated.kept for item in piece.items if item not in bad] == [
        item for item in work.items if item not in bad
    ]
    assert {one["file"]: one["category"] for one in isolated.block.errors} == bad
    assert all(one["file"] in one["message"] for one in isolated.block.errors)
    assert isolated.block.rows == len(work.items) - len(bad)
    assert isolated.block.runs <= 2 * len(work.items) - 1


@given(st.data())
def test_scorers_that_end_are_few_and_what_is_undecided_then_has_failed(data: st.DataObject) -> None:
    work = mini_batch(data.draw(st.integers(2, 70)))
    bad = dict.fromkeys(data.draw(st.sets(st.sampled_from(work.items))), KILLING)
    kills = data.draw(st.integers(1, 20))
    ended: list[Work] = []
    isolation = Isolation(work, CAUSE, kills=kills)
    waiting = isolation.pieces()
    while not isolation.decided:
        piece = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        event = run(piece, bad)
        ended += [piece] if isinstance(event, Failed) else []
        isolation.take(event)
        waiting += isolation.pieces()

    block = isolation.outcome().block

    check(block)
    assert len(ended) <= kills
    failed = {one["file"] for one in block.errors}
    assert set(bad) <= failed
    undecided = [one for one in block.errors if "no more are risked" in one["message"]]
    assert failed == set(bad) or undecided
    assert all(f"{kills} scorers ended" in one["message"] for one in undecided)


def test_one_bad_item_of_many_costs_few_runs() -> None:
    isolated = isolate(Isolation(mini_batch(1024), CAUSE), {"i333": KILLING})

    assert isolated.block.failed == 1
    assert isolated.block.runs == 21


def test_neighbours_that_succeeded_are_one_piece() -> None:
    block = isolate(Isolation(mini_batch(8), CAUSE), {"i4": RAISING}).block

    assert [(piece.items, piece.succeeded, piece.size) for piece in block.pieces] == [(4, 4, 12), (1, 0, 0), (3, 3, 9)]


def test_a_mini_batch_that_succeeds_after_all_is_of_one_piece() -> None:
    block = isolate(Isolation(mini_batch(8), CAUSE), {}).block

    assert (block.pieces, block.succeeded, block.runs, block.attempt) == ((), 8, 3, 3)


def answered(work: Work, *changes: Mapping[str, Any]) -> Block:
    isolation = Isolation(work, CAUSE)
    for piece, change in zip(isolation.pieces(), changes, strict=True):
        assert isinstance(isolation.take(done(piece, **change)), Outcome)
    assert isolation.decided
    return isolation.outcome().block


def test_pieces_of_other_columns_stand_apart_and_the_block_has_all_of_them() -> None:
    block = answered(
        mini_batch(4), {"columns": ["a", "b"], "encoding": "csv"}, {"columns": ["b", "c"], "encoding": "csv"}
    )

    assert [piece.columns for piece in block.pieces] == [("a", "b"), ("b", "c")]
    assert block.columns == ("a", "b", "c")
    assert block.encoding == "csv"


def test_arrow_streams_stand_apart_always() -> None:
    block = answered(mini_batch(4), {"encoding": "arrow"}, {"encoding": "arrow"})

    assert [piece.size for piece in block.pieces] == [6, 6]


def test_items_that_are_known_to_be_bad_are_not_scored_again() -> None:
    final = error("unreadable", file="i1", final=True)
    tried = error("exception", file="i3", alone=True)

    block = answered(mini_batch(4), {"rows": 1, "errors": [final]}, {"rows": 1, "errors": [tried]})

    assert [(one["file"], one["category"]) for one in block.errors] == [("i1", "unreadable"), ("i3", "exception")]
    assert (block.succeeded, block.failed, block.runs) == (2, 2, 3)
    assert [(piece.items, piece.succeeded) for piece in block.pieces] == [(2, 1), (2, 1)]


def test_two_pieces_that_write_the_same_file_are_told_apart_unless_it_is_made_of_lines() -> None:
    work = mini_batch(4)
    isolation = Isolation(work, CAUSE)
    left, right = sorted(isolation.pieces(), key=lambda piece: piece.items)
    isolation.take(done(right, files=["a.bin", "log.txt"]))
    isolation.take(done(left, files=["a.bin", "log.txt", "own.bin"]))

    isolated = isolation.outcome()

    assert isolated.kept == (left,)
    assert isolated.block.files == ("a.bin", "log.txt", "own.bin")
    assert [one["file"] for one in isolated.block.errors] == ["i2", "i3"]
    assert "a.bin" in isolated.block.errors[0]["message"]
    check(isolated.block)


def test_an_item_that_cannot_be_fetched_costs_no_run() -> None:
    isolation = Isolation(mini_batch(2), CAUSE)
    left, right = isolation.pieces()
    isolation.take(Failed(work=left, category=Category.FETCH, message="not there"))
    isolation.take(done(right))

    block = isolation.outcome().block

    assert (block.failed, block.runs) == (1, 2)


def test_a_piece_is_answered_once() -> None:
    isolation = Isolation(mini_batch(2), CAUSE)
    (left, _) = isolation.pieces()
    isolation.take(done(left))

    with pytest.raises(KeyError):
        isolation.take(done(left))

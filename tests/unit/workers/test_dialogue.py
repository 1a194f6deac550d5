"""What is handed to scorers, and what is made of what they write."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import pytest

from gristmill_workers.dialogue import answer_together, answers, frame_of
from gristmill_workers.scorer.protocol import ProtocolError
from gristmill_workers.work import Work

HELD = deque(Work(number=n, attempt=2, token="t", items=("a", "b"), line=b'{"n":%d}' % n) for n in (4, 5, 8))


def scored(**changes: Any) -> dict[str, Any]:
    told = {"n": [4, 5], "rows": [2, 1], "us": [10, 0], "bytes": [4, 2], "writing": 3, "encoding": "csv"}
    return {**told, "columns": ["a"], **changes}


def test_mini_batches_of_one_attempt_go_by_their_lines() -> None:
    assert frame_of(HELD) == ({"type": "lines", "attempt": 2}, b'{"n":4}\n{"n":5}\n{"n":8}')


@pytest.mark.parametrize("other", [{"line": b""}, {"attempt": 1, "line": b"{}"}])
def test_others_go_one_by_one(other: dict[str, Any]) -> None:
    works = [HELD[0], Work(**{"number": 9, "attempt": 2, "token": "t", "items": ("c",), **other})]

    header, payload = frame_of(works)

    assert (header["type"], [batch["n"] for batch in header["batches"]], payload) == ("run", [4, 9], b"")


def test_an_answer_to_many_is_kept_by_column() -> None:
    answer = answer_together(HELD, scored(), b"x\ny\nz\n")

    assert (answer.works, answer.data) == ([HELD[0], HELD[1]], b"x\ny\nz\n")
    blocks = answer.blocks
    assert (blocks.mini_batches, blocks.attempt, blocks.items, blocks.columns) == ([4, 5], 2, [2, 2], ("a",))
    assert (blocks.rows, blocks.microseconds, blocks.sizes) == ([2, 1], [10, 0], [4, 2])


NONSENSE = [
    *({"n": [4, 6]}, {"n": [5, 4]}, {"n": []}, {"n": [4, 5, 8, 9]}, {"n": "ab"}, {"n": 4}, {"n": [4]}),
    *({"rows": [2]}, {"rows": [2, -1]}, {"rows": [2, 1.0]}, {"us": [10, None]}, {"us": [10, True]}, {"us": 3}),
    *({"bytes": [4, 3]}, {"bytes": [7, -1]}, {"encoding": "%s"}, {"encoding": []}, {"columns": 3}, {"writing": "x"}),
]


@pytest.mark.parametrize("changes", NONSENSE, ids=json.dumps)
def test_nonsense_is_not_believed(changes: dict[str, Any]) -> None:
    with pytest.raises((ProtocolError, LookupError, TypeError)):
        answer_together(HELD, scored(**changes), b"x\ny\nz\n")
    assert len(HELD) == 3


def test_answers_one_by_one_have_their_own_rows() -> None:
    results = [{"n": 4, "bytes": 2}, {"n": 5, "bytes": 9, "spool": "/s"}, {"n": 8, "bytes": 1}]

    found = answers(HELD, results, b"x\ny")

    assert [(one.work, one.data) for one in found] == [(HELD[0], b"x\n"), (HELD[1], b""), (HELD[2], b"y")]


@pytest.mark.parametrize(
    "results", [[{"n": 5, "bytes": 0}], [{"bytes": 0}], [{"n": n, "bytes": 0} for n in (4, 5, 8, 9)]]
)
def test_answers_to_what_was_not_asked_are_not_believed(results: list[dict[str, Any]]) -> None:
    with pytest.raises((ProtocolError, LookupError)):
        answers(HELD, results, b"")

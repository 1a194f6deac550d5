from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.service import told as module
from gristmill.service.told import Told

LINES = st.lists(st.sampled_from(["a\n", "b\n", "ab\n", "\n"]), max_size=12)


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@given(LINES, LINES, st.integers(1, 9), st.integers(1, 9))
def test_a_connection_that_begins_at_the_start_brings_each_line_once(
    before: list[str], after: list[str], first: int, second: int
) -> None:
    told = Told()
    shown = "".join(map(told.new, pieces("".join(before), first)))
    told.reconnect()
    shown += "".join(map(told.new, ["".join(before) + "".join(after)]))
    told.reconnect()
    shown += "".join(map(told.new, ["".join(before) + "".join(after)]))

    assert shown == "".join(before) + "".join(after)


@pytest.mark.parametrize("size", [1, 3, 6, 100])
def test_a_connection_that_begins_near_the_end_brings_each_line_once(size: int) -> None:
    text = "".join(f"line {number}\n" for number in range(40))
    told = Told()
    shown = told.new(text[:210])
    told.reconnect()
    shown += told.new(text[70:217])
    shown += "".join(map(told.new, pieces(text[217:], size)))

    assert shown == text


def test_a_connection_that_brings_only_new_text_loses_none() -> None:
    told = Told()
    told.new("a\nb\n")
    told.reconnect()

    assert told.new("c\nb\n") == "c\nb\n"
    assert told.new("d\n") == "d\n"


def test_what_differs_after_all_is_told() -> None:
    told = Told()
    told.new("a\nb\nc\n")
    told.reconnect()

    assert told.new("a\n") == ""
    assert told.new("other\n") == "other\n"


def test_only_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 8)
    told = Told()
    text = "".join(f"{number}\n" for number in range(100, 200))
    for piece in pieces(text, 20):
        told.new(piece)
    told.reconnect()

    assert told.new("198\n199\nend\n") == "end\n"
    assert len(told._tail) <= 8

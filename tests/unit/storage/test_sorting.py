"""Sorting in runs gives what sorting at once gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill_storage import sorting
from gristmill_storage.sorting import batches_in_order, in_order

NAMES = st.lists(st.binary(min_size=1, max_size=6).map(lambda name: name.replace(b"\0", b"x")))


@settings(deadline=None)
@given(NAMES, st.integers(1, 10))
def test_any_names_in_runs_of_any_size(names: list[bytes], run: int) -> None:
    assert list(in_order(iter(names), held=run, run=run)) == sorted(names)


def test_many_names() -> None:
    names = [b"%d" % (number * 7919 % 50_000) * 3 for number in range(50_000)]

    assert list(in_order(names, held=20_000, run=7000)) == sorted(names)


@settings(deadline=None)
@given(st.lists(NAMES), st.integers(0, 10), st.integers(1, 10), st.integers(1, 10))
def test_batches_of_any_sizes(batches: list[list[bytes]], held: int, run: int, early: int) -> None:
    expected = sorted(name for batch in batches for name in batch)

    assert list(batches_in_order(batches, held=held, run=run, early=early)) == expected


def test_the_smallest_names_are_there_before_the_others_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    sort = sorting._sort
    monkeypatch.setattr(sorting, "_sort", lambda *run: (runs.append(1), sort(*run)))
    batches = [[b"%03d" % (number * 37 % 100) for number in range(first, first + 10)] for first in range(0, 100, 10)]

    names = iter(batches_in_order(batches, held=20, run=20, early=7))
    first = [next(names) for _ in range(7)]

    assert (first, runs) == ([b"%03d" % number for number in range(7)], [])
    assert first + list(names) == [b"%03d" % number for number in range(100)]
    assert runs

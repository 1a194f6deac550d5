"""Sorting in runs gives what sorting at once gives."""

from __future__ import annotations

import os
import tracemalloc
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill_storage import sorting
from gristmill_storage.sorting import in_order, pages_in_order

#: Names as `in_order` takes them.
NAMES = st.lists(st.binary(min_size=1, max_size=6).map(lambda name: name.replace(b"\0", b"x")))


def _names(names: list[bytes]) -> list[str]:
    return [os.fsdecode(name) for name in names]


def _texts(names: list[bytes]) -> list[str]:
    return [name.decode("latin-1") for name in names]


@settings(deadline=None)
@given(NAMES, st.integers(1, 10))
def test_any_names_in_runs_of_any_size(names: list[bytes], run: int) -> None:
    assert list(in_order(iter(names), run=run)) == sorted(names)


def test_many_names() -> None:
    names = [b"%d" % (number * 7919 % 50_000) * 3 for number in range(50_000)]

    assert list(in_order(names, run=7000)) == sorted(names)


@settings(deadline=None)
@given(st.lists(NAMES), st.integers(1, 10), st.integers(1, 10))
def test_batches_of_any_sizes(batches: list[list[bytes]], run: int, early: int) -> None:
    expected = sorted(name for batch in batches for name in batch)

    pages = pages_in_order([_names(batch) for batch in batches], run=run, early=early)

    assert list(chain.from_iterable(pages)) == _texts(expected)


@settings(deadline=None)
@given(st.lists(NAMES), st.integers(1, 10), st.integers(1, 30))
def test_pages_of_any_sizes(batches: list[list[bytes]], run: int, page: int) -> None:
    expected = sorted(name for batch in batches for name in batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "_PAGE", page)
        pages = pages_in_order([_names(batch) for batch in batches], run=run, early=3)

        assert list(chain.from_iterable(pages)) == _texts(expected)


def test_the_smallest_names_are_there_before_the_others_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    sort = sorting._sort
    monkeypatch.setattr(sorting, "_sort", lambda *run: runs.append(1) or sort(*run))
    batches = [[f"{number * 37 % 100:03}" for number in range(first, first + 10)] for first in range(0, 100, 10)]

    pages = pages_in_order(batches, run=20, early=7)
    first = next(pages)

    assert (first, runs) == ([f"{number:03}" for number in range(7)], [])
    assert first + list(chain.from_iterable(pages)) == [f"{number:03}" for number in range(100)]
    assert runs


@pytest.mark.parametrize("factor", [1, 7919], ids=["sorted before", "in no order"])
def test_what_is_in_memory_are_a_run_and_a_page_of_each(factor: int) -> None:
    batches = (
        [f"{number * factor % 60_000:012}" for number in range(first, first + 500)] for first in range(0, 60_000, 500)
    )
    count = 0

    tracemalloc.start()
    try:
        for page in pages_in_order(batches, run=3000, early=500):
            count += len(page)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert count == 60_000
    assert most < 1_300_000  # all names at once are 4 MB

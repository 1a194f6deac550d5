"""Sorting in runs gives what sorting at once gives."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill_storage.sorting import in_order

NAMES = st.lists(st.binary(min_size=1, max_size=6).map(lambda name: name.replace(b"\0", b"x")))


@settings(deadline=None)
@given(NAMES, st.integers(1, 10))
def test_any_names_in_runs_of_any_size(names: list[bytes], run: int) -> None:
    assert list(in_order(iter(names), run=run)) == sorted(names)


def test_many_names() -> None:
    names = [b"%d" % (number * 7919 % 50_000) * 3 for number in range(50_000)]

    assert list(in_order(names, run=7000)) == sorted(names)

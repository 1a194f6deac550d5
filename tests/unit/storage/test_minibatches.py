"""How items are cut into mini-batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill_storage.minibatches import Item, MiniBatch, cut, is_hostile


def items(*sizes: int) -> list[Item]:
    return [Item(f"i{number}", size) for number, size in enumerate(sizes)]


def sizes_of(batches: list[MiniBatch]) -> list[tuple[int, int]]:
    return [(len(batch.items), batch.size) for batch in batches]


def test_by_count() -> None:
    batches = list(cut(items(1, 2, 3, 4, 5), 2))

    assert batches == [
        MiniBatch(0, ("i0", "i1"), 3),
        MiniBatch(1, ("i2", "i3"), 7),
        MiniBatch(2, ("i4",), 5),
    ]


def test_nothing_gives_nothing() -> None:
    assert list(cut([], 10)) == []


def test_by_bytes() -> None:
    assert sizes_of(list(cut(items(4, 6, 5, 4, 3), 10, 10))) == [(2, 10), (2, 9), (1, 3)]


def test_a_giant_stands_alone() -> None:
    assert sizes_of(list(cut(items(1, 1, 500, 1, 1), 10, 10))) == [(2, 2), (1, 500), (2, 2)]


def test_numbers_go_on_where_they_are_told() -> None:
    assert [batch.number for batch in cut(items(1, 1, 1), 1, first=7)] == [7, 8, 9]


def test_it_is_a_stream() -> None:
    def endless():
        number = 0
        while True:
            yield Item(str(number))
            number += 1

    assert next(iter(cut(endless(), 3))).items == ("0", "1", "2")


@given(
    st.lists(st.integers(0, 50)),
    st.integers(1, 7),
    st.one_of(st.none(), st.integers(1, 60)),
)
def test_nothing_is_lost_and_no_limit_is_passed(sizes: list[int], size: int, most: int | None) -> None:
    given_items = items(*sizes)
    batches = list(cut(given_items, size, most))

    assert [name for batch in batches for name in batch.items] == [item.name for item in given_items]
    assert [batch.number for batch in batches] == list(range(len(batches)))
    assert sum(batch.size for batch in batches) == sum(sizes)
    for batch in batches:
        assert 1 <= len(batch.items) <= size
        assert most is None or batch.size <= most or len(batch.items) == 1


@pytest.mark.parametrize("name", ["", "/etc/passwd", "..", "../x", "a/../b", "a/..", "a\0b"])
def test_hostile_names(name: str) -> None:
    assert is_hostile(name)


@pytest.mark.parametrize("name", ["a", "a/b", "..a", "a..b", "...", "a//b", "a/./b", "-", " ", "#%?", "a\nb"])
def test_odd_names_are_not_hostile(name: str) -> None:
    assert not is_hostile(name)

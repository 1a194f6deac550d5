"""The names of slices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill_storage.slices import Slice, file_of, whole_name

FILES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
COUNTS = st.integers(0, 2**60)


def csv_slice(file: str, row: int, start: int, head: int) -> Slice:
    return Slice(file=file, row=row, rows=1 + row % 7, start=start, end=start + 1 + row % 5, head=head)


@given(FILES, COUNTS, COUNTS, COUNTS)
def test_a_slices_name_says_all_of_it(file: str, row: int, start: int, head: int) -> None:
    piece = csv_slice(file, row, start, head)

    assert Slice.of(piece.name) == piece
    assert file_of(piece.name) == file


@given(FILES, COUNTS, COUNTS, COUNTS)
def test_row_groups_are_in_the_name_too(file: str, row: int, first: int, more: int) -> None:
    piece = Slice(file=file, row=row, rows=3, start=4, end=9, groups=(first, first + more))

    assert Slice.of(piece.name) == piece


def test_a_name_can_be_read() -> None:
    assert csv_slice("a/big.csv", 7, 100, 57).name == "a/big.csv#rows=7-7,bytes=100-102,head=57"


@given(FILES)
def test_a_whole_files_name_is_no_slices_name(file: str) -> None:
    assert Slice.of(whole_name(file)) is None
    assert file_of(whole_name(file)) == file


@pytest.mark.parametrize("file", ["x.csv#rows=0-1,bytes=2-3,head=4", "x.csv#whole", "x.csv#whole#whole"])
def test_a_file_that_is_called_like_a_slice_is_marked(file: str) -> None:
    assert whole_name(file) == f"{file}#whole"
    assert Slice.of(whole_name(file)) is None
    assert file_of(whole_name(file)) == file


def test_an_ordinary_file_keeps_its_name() -> None:
    assert whole_name("x#1.csv") == file_of("x#1.csv") == "x#1.csv"

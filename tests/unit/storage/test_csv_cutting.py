"""CSV files are cut where pandas ends a row, whatever stands in them."""

from __future__ import annotations

import io
import os
import re
import tracemalloc
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gristmill_storage.csv_cutting import BLOCK, HEAD, Cut, cuts, head_of

#: Examples of a property; many more in `make test-long`.
MANY = 4000 if "LONG_TESTS" in os.environ else 40
FEW = MANY // 4

#: What fields are made of: numbers, quoted texts with line ends and quotes in them, quotes where none should be.
PLAIN = st.sampled_from(["1", "27", "abc", "", " ", "\t", "#", "é", "  x"])
QUOTED = st.lists(st.sampled_from(["a", ",", "\n", "\r\n", "\r", '""', "b c", ',""']), max_size=4).map(
    lambda parts: '"' + "".join(parts) + '"'
)
ODD = st.sampled_from(['5" pipe', 'a"b"', 'x""', ' "a', '"ab"cd', '"ab"cd"', '""x'])
FIELDS = st.one_of(PLAIN, PLAIN, QUOTED, ODD)
ENDS = st.sampled_from(["\n", "\n", "\r\n", "\r"])
ROWS = st.lists(st.lists(FIELDS, min_size=2, max_size=2).map(",".join) | st.sampled_from(["", " \t"]), max_size=12)

#: Bytes of a run; an eighth is looked at at once: a part of a row, or many rows.
SIZES = st.integers(1, 40) | st.integers(200, 2000)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    end, rows = draw(ENDS), ["c0,c1", *draw(ROWS)]
    text = "".join(row + (end if draw(st.integers(0, 19)) else draw(ENDS)) for row in rows)
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + text.encode()


def table(data: bytes) -> list[list[object]]:
    return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, low_memory=False).to_numpy().tolist()


def pieces(data: bytes, size: int) -> list[Cut]:
    return list(cuts(io.BytesIO(data), size=size))


@settings(max_examples=MANY, deadline=None)
@given(files(), SIZES)
@example(b"c0,c1\n1,1\r1,1", 1)
@example(b"c0,c1\r\n1,11111\r\n" + b"2,2\r\n" * 6, 40)
@example(b'\xef\xbb\xbf"c\n0",c1\n1,1\n2,2\n', 1)
@example(b'c0,c1\nxx","' + b"a\n" * 20 + b'"\n2,2\n', 64)
@example(b'c0,c1\nx",1\n2,2\n', 1000)
@example(b'c0,c1\r\n1,2\r\n \r\n\r\n3,"\r\n"\r\n', 1000)
@example(b'c0,c1\n1,"x"\n""\n\n,"\n"', 1000)
def test_the_pieces_of_any_file_are_its_rows(data: bytes, size: int) -> None:
    # pandas itself loses a field behind a blank line that ends with CR alone.
    assume(not re.search(rb"(^|[\r\n])[ \t]*\r[^\n]", data))
    whole = table(data)

    found = pieces(data, size)
    head = head_of(io.BytesIO(data))

    rows = []
    for cut in found:
        before = data[:head] if cut.start else b""
        read = table(before + data[cut.start : cut.end])[1 if cut.start else 0 :]
        assert (cut.row, cut.rows) == (len(rows), len(read))
        rows += read
    assert rows == whole
    assert all(one.end == other.start for one, other in pairwise(found))
    assert b"\r\n" not in [data[cut.end - 1 : cut.end + 1] for cut in found]
    assert not found or (found[0].start, found[-1].end) == (0, len(data))


@settings(max_examples=FEW, deadline=None)
@given(files(), st.integers(1, 40), st.data())
def test_cutting_goes_on_behind_any_piece(data: bytes, size: int, draw: st.DataObject) -> None:
    found = pieces(data, size)
    assume(len(found) > 1)
    last = draw.draw(st.sampled_from(found[:-1]))

    stream = io.BytesIO(data)
    stream.seek(last.end)
    more = list(cuts(stream, size=size, start=last.end, row=last.row + last.rows))

    assert (more[0].start, more[0].row) == (last.end, last.row + last.rows)
    assert (more[-1].end, more[-1].row + more[-1].rows) == (found[-1].end, found[-1].row + found[-1].rows)


def test_a_field_longer_than_any_block_is_in_one_piece() -> None:
    field = b'"' + b"x\n" * 2000 + b'"'

    first, *more = pieces(b"a,b\n1," + field + b"\n" + b"2,3\n" * 2000, 10)

    assert first.end > len(field)
    assert first.rows + sum(cut.rows for cut in more) == 2001


@pytest.mark.parametrize("field", [b'"' + b"x\n" * BLOCK * 8, b"x" * BLOCK * 16, b" " * BLOCK * 16])
def test_a_field_of_any_length_takes_no_more_memory_than_some_blocks(field: bytes) -> None:
    stream = io.BytesIO(b"a,b\n1,2\n" + field)
    tracemalloc.start()
    try:
        found = list(cuts(stream, size=100 * BLOCK))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert [cut.rows for cut in found] == [1 + (not field.isspace())]
    assert peak < 8 * BLOCK


def test_a_head_that_does_not_end_is_looked_for_only_so_far() -> None:
    stream = io.BytesIO(b'"' + b"x\n" * HEAD)

    assert head_of(stream) == 0
    assert stream.tell() <= 2 * HEAD


def test_a_quote_that_is_never_closed_takes_the_rest() -> None:
    data = b'a,b\n1,2\n3,"4\n5,6\n'

    assert pieces(data, 1) == [Cut(0, 8, 0, 1), Cut(8, len(data), 1, 1)]
    assert pieces(b'a\n"', 1) == [Cut(0, 3, 0, 1)]


def test_blank_lines_at_the_end_are_no_piece() -> None:
    assert pieces(b"a\n1\n2\n\n  \n\n", 1) == [Cut(0, 4, 0, 1), Cut(4, 11, 1, 1)]


def test_a_file_without_rows_has_no_pieces() -> None:
    assert [pieces(data, 1) for data in (b"", b"\n", b"a,b", b"a,b\n\n")] == [[], [], [], []]
    assert [head_of(io.BytesIO(data)) for data in (b"", b"a,b", b"a,b\n", b"a,b\n1\r")] == [0, 0, 0, 0]


def test_the_head_is_header_and_first_row() -> None:
    assert head_of(io.BytesIO(b'\xef\xbb\xbf\n"a\nx",b\r\n\r\n"1\n",2\r\n3,4\r\n')) == 23
    assert head_of(io.BytesIO(b'\r \ra,"\r"\r\r1,x"\r2,3')) == 15


def test_a_blank_line_that_ends_with_cr_is_no_row() -> None:
    data = b"\ra,b\r1,2\r\r \t\r3,4\r"

    assert head_of(io.BytesIO(data)) == 9
    assert pieces(data, 1000) == [Cut(0, len(data), 0, 2)]
    assert pieces(b"a\n1\n\r\n2\n", 1) == [Cut(0, 6, 0, 1), Cut(6, 8, 1, 1)]

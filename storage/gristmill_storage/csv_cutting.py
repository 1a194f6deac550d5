"""Cutting a CSV file between its rows, as a stream: where a row ends is what pandas' own reader takes for its end.

A line end inside a quoted field ends no row, and only a quote at a field's beginning opens one; rows end with LF, CRLF
or CR; lines of nothing but blanks are no rows. To know all that of the middle of a file, everything before it must have
been looked at: so the file is read once from its beginning, a block at a time. A block is looked at by what bytes can
do by themselves, at the speed of the disk or near it, and never byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

#: Bytes that are looked at at once.
BLOCK: Final = 1 << 20

_MARK: Final = b"\xef\xbb\xbf"

#: A quoted field from its quote at a field's beginning to the one that closes it, or to the end of what there is.
_QUOTED: Final = re.compile(rb'"(?<![^,\r\n]")[^"]*+(?:""[^"]*+)*+(?:"|\Z)')

#: Leaves of all letters a quote, a comma for what else may stand before a quote that opens a field, and an x.
_BEFORE_OPENING: Final = bytes(
    letter if letter == ord('"') else ord("," if letter in b",\r\n" else "x") for letter in range(256)
)

_LINE: Final = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")
_PERHAPS_BLANK: Final = re.compile(rb"\n[\n \t]")
_BLANKS: Final = (b"", b"\n", b" ", b"\t")
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"xx")


class Cut(NamedTuple):
    """A run of whole rows."""

    #: Where its bytes begin, and the place behind them.
    start: int
    end: int
    #: Number of its first row, from 0, the header apart.
    row: int
    rows: int


def head_of(stream: BinaryIO) -> int:
    """Return how many bytes a file's header and first row have; 0 where it has no row that ends."""
    data, want = b"", 1 << 16
    while more := stream.read(want):
        data += more
        want = len(data)
        seen = 0
        skipped, text = _unmarked(data)
        text = _without_quoted_ends(text)
        whole = _last_end(text)
        for line in _LINE.finditer(text, 0, whole):
            seen += not _is_blank(line[0])
            if seen == 2:  # noqa: PLR2004 - the header and the first row
                return skipped + line.end()
    return 0


def cuts(stream: BinaryIO, *, size: int, start: int = 0, row: int = -1) -> Iterator[Cut]:
    """Yield a file's rows in runs that end with the first row that makes them `size` bytes or more.

    Args:
        stream: The file, at `start`.
        size: Bytes of a run.
        start: Where to begin: at 0, or at the end of a run.
        row: Number of the row that begins there; -1: that is the header, which comes with the first run.

    """
    begin, rows = start, 0
    full: Cut | None = None
    row, header = max(row, 0), row < 0
    for end, found in _spans(stream, start, max(1, min(size // 8, BLOCK))):
        count = found
        if header and count:
            count, header = count - 1, False
        if full is not None and count:
            yield full
            begin, row, rows = full.end, row + rows, 0
        rows += count
        # Blank lines behind the last row go with it.
        full = (
            Cut(begin, end, row, rows) if rows and (end - begin >= size or (full is not None and not count)) else None
        )
        last = Cut(begin, end, row, rows)
    if rows:
        yield last


def _spans(stream: BinaryIO, start: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield (place behind a run of whole lines, how many of them are rows) from a row's beginning on."""
    rest, want, place = b"", step, start
    while more := stream.read(want):
        data = rest + more
        if place == 0:
            skipped, data = _unmarked(data)
            place += skipped
        end, rows = _whole(data)
        place += end
        rest = data[end:]
        # A field may be longer than any block: what is looked at again and again must grow.
        want = step if end else max(step, len(data))
        if end:
            yield place, rows
    if rest:
        end, rows = _whole(rest + b"\n")
        yield place + len(rest), rows if end else 1


def _unmarked(data: bytes) -> tuple[int, bytes]:
    return (len(_MARK), data[len(_MARK) :]) if data.startswith(_MARK) else (0, data)


def _whole(data: bytes) -> tuple[int, int]:
    """Return (place behind the last line that surely ends in these bytes, how many lines up to it are rows)."""
    text = _without_quoted_ends(data)
    end = _last_end(text)
    text = text[:end]
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = text.count(b"\n")
    if text[:1] in _BLANKS or _PERHAPS_BLANK.search(text):
        lines -= sum(map(_is_blank, text.split(b"\n"))) - 1  # what stands behind the last line end is no line
    return end, lines


def _last_end(text: bytes) -> int:
    """Return the place behind the last line end that is whole: behind a CR at the very end an LF may follow."""
    return max(text.rfind(b"\n"), text.rfind(b"\r", 0, max(0, len(text) - 1))) + 1


def _is_blank(line: bytes) -> bool:
    return not line.strip(b" \t\r\n")


def _without_quoted_ends(data: bytes) -> bytes:
    """Return the bytes with every line end inside a quoted field replaced; they begin where a row does."""
    if b'"' not in data:
        return data
    pieces = data.split(b'"')
    # Where each opening quote stands at a field's beginning, quotes open and close in turns; mostly they do. One that
    # stands behind another is, with it, a quote in a field.
    opened = b'"'.join([*pieces[: len(pieces) - 1 : 2], b""]).translate(_BEFORE_OPENING)
    if b'x"' not in opened:
        inside = b'"'.join(pieces[1::2])
        if b"\n" not in inside and b"\r" not in inside:
            return data
        pieces[1::2] = inside.translate(_LINE_ENDS).split(b'"')
        return b'"'.join(pieces)
    return _QUOTED.sub(lambda field: field[0].translate(_LINE_ENDS), data)

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
BLOCK: Final = 1 << 18

#: Bytes that header and first row may have together; with more of them before each run, no file is worth cutting.
HEAD: Final = 16 << 20

_CR: Final = b"\r"  # at the very end of what there is, an LF may follow it
_BLANKS: Final = b" \t\r\n"
_MARK: Final = b"\xef\xbb\xbf"

#: A quoted field from its quote at a field's beginning to the one that closes it, or to the end of what there is.
_FIELD: Final = rb'"(?<![^,\r\n]")[^"]*+(?:""[^"]*+)*+(?:"|\Z)'
_QUOTED: Final = re.compile(b"(%b)" % _FIELD)
_LINE: Final = re.compile(rb'(?:[^"\r\n]++|%b|")*+(?:\n|\r\n?)' % _FIELD)

#: A quote behind what is neither a field's end nor another quote.
_IN_A_FIELD: Final = re.compile(rb'"(?<=[^,\r\n"]")')

_CR_ALONE: Final = re.compile(rb"\r(?!\n)")
_PERHAPS_BLANK: Final = re.compile(rb"\n\s")
_BLANK: Final = re.compile(rb"[ \t\r]*+\n")
_BLANK_BEHIND: Final = re.compile(rb"\n(?=[ \t\r]*+\n)")


class Cut(NamedTuple):
    """A run of whole rows."""

    #: Where its bytes begin, and the place behind them.
    start: int
    end: int
    #: Number of its first row, from 0, the header apart.
    row: int
    rows: int


def head_of(stream: BinaryIO) -> int:
    """Return how many bytes a file's header and first row have; 0 where no row ends, or too far from the beginning."""
    data, want = b"", 1 << 16
    while len(data) < HEAD and (more := stream.read(want)):
        data += more
        want = len(data)
        text = data.removesuffix(_CR).removeprefix(_MARK)
        skipped = len(_MARK) if data.startswith(_MARK) else 0
        seen = place = 0
        while line := _LINE.match(text, place):
            place = line.end()
            seen += bool(line[0].strip(_BLANKS))
            if seen == 2:  # noqa: PLR2004 - the header and the first row
                return skipped + place
    return 0


def cuts(stream: BinaryIO, *, size: int, start: int = 0, row: int = -1) -> Iterator[Cut]:
    """Yield a file's rows in runs that end with the first row that makes them `size` bytes or more.

    Args:
        stream: The file, at `start`.
        size: Bytes of a run.
        start: Where to begin: at 0, or at the end of a run.
        row: Number of the row that begins there; -1: that is the header, which comes with the first run.

    """
    cut, header = Cut(start, start, max(row, 0), 0), row < 0
    for end, found in _spans(stream, start, max(1, min(size // 8, BLOCK))):
        rows = found - (header and found > 0)
        header = header and not found
        # Blank lines behind the last row go with it.
        if rows and cut.rows and cut.end - cut.start >= size:
            yield cut
            cut = Cut(cut.end, cut.end, cut.row + cut.rows, 0)
        cut = Cut(cut.start, end, cut.row, cut.rows + rows)
    if cut.rows:
        yield cut


def _spans(stream: BinaryIO, place: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield (place behind a run of whole lines, how many of them are rows) from a row's beginning on."""
    rest = b""
    if place == 0:
        mark = stream.read(len(_MARK))
        place, rest = len(mark), mark.removeprefix(_MARK)
    while more := stream.read(step):
        place += len(more)
        data = rest + more
        end, rows = _whole(data)
        if end:
            yield place - len(data) + end, rows
        rest = data[end:] if end else _brief(data)
    if rest:
        # What a quote that is never closed takes is a row.
        end, rows = _whole(rest + b"\n")
        yield place, rows + (end <= len(rest))


def _brief(line: bytes) -> bytes:
    """Return a few bytes behind which all means what it does behind these, a line's beginning of any length."""
    if line.endswith(_CR):
        return _brief(line.removesuffix(_CR)) + _CR
    pieces = _parted(line)[0]
    if len(pieces) % 2 == 0:
        return b'"'
    if pieces[-1]:
        return b"," if line.endswith(b",") else b"x" if line.strip(_BLANKS) else b" "
    return b'""' if line else b""


def _whole(data: bytes) -> tuple[int, int]:
    """Return (place behind the last line that surely ends in these bytes, how many lines up to it are rows)."""
    data = data.removesuffix(_CR)
    pieces, quotes, outside = _parted(data)
    return _last_end(pieces, quotes, len(data)), _rows(outside)


def _parted(data: bytes) -> tuple[list[bytes], int, bytes]:
    """Return what stands outside and inside of quotes by turns, the quotes lost in between, and all that is outside.

    The bytes begin where a row does. The last piece stands inside if its field does not end. The pieces outside are
    joined by a quote for each field that was between them.
    """
    if b'"' not in data:
        return [data], 0, data
    # Where each opening quote stands at a field's beginning, quotes open and close in turns; mostly they do. One that
    # stands behind another is, with it, a quote in a field.
    pieces = data.split(b'"')
    outside = b'"'.join(pieces[::2])
    never_closed = len(pieces) % 2 == 0
    if _IN_A_FIELD.search(outside) or (never_closed and pieces[-2][-1:] not in b",\r\n"):
        pieces = _QUOTED.split(data)
        if not pieces[-1] and pieces[-2].count(b'"') % 2:
            pieces.pop()
        return pieces, 0, b'"'.join(pieces[::2])
    return pieces, 1, outside


def _last_end(pieces: list[bytes], quotes: int, place: int) -> int:
    """Return the place behind the last line end outside of quotes, going back from the place behind all pieces."""
    for number in range(len(pieces) - 1, -1, -1):
        piece = pieces[number]
        if number % 2 == 0 and (end := max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1):
            return place - len(piece) + end
        place -= len(piece) + quotes
    return 0


def _rows(text: bytes) -> int:
    """Return how many of the lines that end are rows."""
    if b"\r" in text and _CR_ALONE.search(text):
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    blank = len(_BLANK_BEHIND.findall(text)) if _PERHAPS_BLANK.search(text) else 0
    return text.count(b"\n") - blank - bool(_BLANK.match(text))

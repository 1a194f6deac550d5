"""Rows of many mini-batches as one file: text, CSV and JSON lines are copied, never parsed.

Where the file begins with a header, rows that lack some of its columns are the exception: their fields are put under
their own columns.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from gristmill.spec import Settings
from gristmill_storage.part_format import Block, Piece
from gristmill_workers.aggregator.measured import Measured
from gristmill_workers.aggregator.ordered import Placed

#: Bytes of the longest field that is put under its column; the csv module's own limit is 131072.
_LONGEST_FIELD: Final = (1 << 31) - 1


def pieces_of(block: Block) -> tuple[Piece, ...]:
    """Return a block's pieces, or the whole block as the one piece that it is."""
    whole = Piece(items=block.items, succeeded=block.succeeded, rows=block.rows, size=block.size, columns=block.columns)
    return block.pieces or (whole,)


def cut(block: Block, data: bytes) -> Iterator[tuple[Piece, bytes]]:
    """Yield a block's pieces, each with its rows' bytes."""
    start = 0
    for piece in pieces_of(block):
        yield piece, data[start : start + piece.size]
        start += piece.size


def union_of_columns(
    blocks: Iterable[Placed], *, before: tuple[str, ...] = (), every: AbstractSet[tuple[str, ...]] | None = None
) -> tuple[str, ...]:
    """Return every column that some mini-batch has, in the order of their first appearance, behind those of before.

    `every`: all lists of columns that there can be; when each was seen, mini-batches that are left tell nothing new.
    """
    columns: dict[str, None] = dict.fromkeys(before)
    seen: set[tuple[str, ...]] = set()
    for placed in blocks:
        if every is not None and seen >= every:
            break
        for piece in pieces_of(placed.block):
            if piece.columns is not None and piece.columns not in seen:
                seen.add(piece.columns)
                columns.update(dict.fromkeys(piece.columns))
    return tuple(columns)


class Columns:
    """The header of an output, and how rows come under it."""

    def __init__(self, header: tuple[str, ...], delimiter: str) -> None:
        """Take the columns (none where the output has no header) and what stands between fields."""
        self.header = header
        self._delimiter = delimiter

    def line(self) -> bytes:
        """Return the header's line; empty where there is none."""
        return self._line(self.header) if self.header else b""

    def fit(self, names: tuple[str, ...] | None) -> bool:
        """Return whether rows with these columns can stand under the header as they are."""
        return not self.header or names in (None, self.header)

    def spread(self, data: bytes, names: tuple[str, ...] | None) -> bytes:
        """Return rows with each field under its own column; those that fit come back as they are."""
        if names is None or self.fit(names):
            return data
        csv.field_size_limit(_LONGEST_FIELD)
        text = data.decode("utf-8", "surrogateescape")
        places = [names.index(name) if name in names else None for name in self.header]
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter)
        return b"".join(self._line("" if place is None else row[place] for place in places) for row in rows)

    def _line(self, fields: Iterable[object]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerow(fields)
        return text.getvalue().encode("utf-8", "surrogateescape")


class RowCopier:
    """Appends blocks to the output file; where a header stands, each row has the header's columns."""

    def __init__(self, writer: Measured, settings: Settings, header: tuple[str, ...]) -> None:
        """Take the output and its columns (empty where it has no header); writes the header."""
        self._writer = writer
        self._columns = Columns(header, settings.delimiter)
        writer.write(self._columns.line())

    def add(self, placed: Placed) -> tuple[Piece, ...]:
        """Append one mini-batch's rows; return its pieces with their bytes in the output."""
        block = placed.block
        if self._fits(block):
            self._writer.copy(placed.reader, block)
            return block.pieces
        written = []
        for piece, data in cut(block, placed.reader.read(block)):
            size = self._writer.write(self._columns.spread(data, piece.columns))
            written.append(replace(piece, size=size))
        return tuple(written) if block.pieces else ()

    def _fits(self, block: Block) -> bool:
        if not block.pieces:
            return self._columns.fit(block.columns)
        return all(self._columns.fit(piece.columns) for piece in block.pieces)

    def close(self) -> None:
        """See to it that every row was written, and is what was scored."""
        self._writer.settle()

"""Rows of many mini-batches as one file: text, CSV and JSON lines are copied, never parsed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from gristmill.spec import Settings
from gristmill_storage.files import Writer
from gristmill_workers.aggregator.ordered import Placed


def union_of_columns(blocks: Iterable[Placed]) -> tuple[str, ...]:
    """Return every column that some mini-batch has, in the order of their first appearance."""
    columns: dict[str, None] = {}
    seen: set[tuple[str, ...]] = set()
    for placed in blocks:
        names = placed.block.columns
        if names is not None and names not in seen:
            seen.add(names)
            columns.update(dict.fromkeys(names))
    return tuple(columns)


class RowCopier:
    """Appends blocks to the output file; where a header stands, each row has the header's columns."""

    def __init__(self, writer: Writer, settings: Settings, header: tuple[str, ...]) -> None:
        """Take the output and its columns (empty where it has no header); writes the header."""
        self._writer = writer
        self._delimiter = settings.delimiter
        self._header = header
        if header:
            writer.write(self._line(header))

    def add(self, placed: Placed) -> None:
        """Append one mini-batch's rows."""
        if self._header and placed.block.columns not in (None, self._header):
            self._writer.write(self._spread(placed))
        else:
            placed.reader.copy(placed.block, self._writer)

    def _line(self, fields: Iterable[object]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerow(fields)
        return text.getvalue().encode("utf-8", "surrogateescape")

    def _spread(self, placed: Placed) -> bytes:
        """Return the rows of a mini-batch that lacks some of the header's columns, each field under its own."""
        names = placed.block.columns or ()
        text = placed.reader.read(placed.block).decode("utf-8", "surrogateescape")
        places = [names.index(name) if name in names else None for name in self._header]
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter)
        return b"".join(self._line("" if place is None else row[place] for place in places) for row in rows)

"""The items of an input whose tables are cut: small files as they are, large ones as slices, in the files' order.

A CSV file is read through once to see where its rows end (`csv_cutting`), while its first slices are being scored
already; of a Parquet file only its end is read, which lists its row groups. What cannot be read from its beginning
stays whole: it will fail as an item, and say why.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from gristmill.errors import GristmillError, MissingExtra, Mistake, StorageFailed
from gristmill.spec import Input
from gristmill_storage.csv_cutting import cuts, head_of
from gristmill_storage.listing import input_root
from gristmill_storage.minibatches import Item
from gristmill_storage.patience import may_pass
from gristmill_storage.slices import Slice, file_of, whole_name
from gristmill_storage.store import Store, shown

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData, RowGroupMetaData

_PARQUET: Final = frozenset([".parquet", ".pqt"])
_PACKED: Final = frozenset([".gz", ".bz2", ".xz", ".zip", ".zst"])

log = logging.getLogger("gristmill.scheduler")


def check_splittable(name: str) -> None:
    """Refuse a file that is no table.

    Raises:
        Mistake: it is none.

    """
    kind = Path(name).suffix.lower()
    if kind == ".csv" or kind in _PARQUET:
        return
    named = f"settings.split_files: the input holds {shown(name)}, which "
    if kind in _PACKED:
        raise Mistake(f"{named}is packed, and can only be read from its beginning: unpack it, or give Parquet")
    raise Mistake(
        f"{named}is no table (.csv, .parquet, .pqt): take it out of the input, or split_files out of settings"
    )


class Splitter:
    """Cuts the files of one input."""

    def __init__(self, given: Input, opened: Callable[[], Store], *, size: int) -> None:
        """Take the input, what opens its store, and the bytes of a slice, which the last of its rows makes full."""
        self._opened = opened
        self._size = size
        self._root = input_root(given)

    def items(self, files: Iterable[Item], *, after: str | None = None) -> Iterator[Item]:
        """Yield the items of files with their sizes, or of these only what comes behind an item.

        Raises:
            Mistake: a file is no table.
            MissingExtra: a file is Parquet, and pyarrow is not installed.
            StorageFailed: a file cannot be read on, or could perhaps be read if tried again.

        """
        last = None if after is None else Slice.of(after)
        behind = b"" if after is None else os.fsencode(file_of(after))
        for file in files:
            name = os.fsencode(file.name)
            if name < behind or (name == behind and last is None):
                continue
            check_splittable(file.name)
            if file.size <= self._size:
                yield Item(whole_name(file.name), file.size)
            else:
                yield from self._cut(file, last if name == behind else None)

    def _cut(self, file: Item, last: Slice | None) -> Iterator[Item]:
        packed = Path(file.name).suffix.lower() in _PARQUET
        slices = self._row_groups(file.name, last) if packed else self._rows(file.name, last)
        try:
            first = next(slices, None)
        except GristmillError as error:
            # What may pass is tried again; and where slices are planned already, the rows behind them would be lost.
            if last or isinstance(error, MissingExtra) or may_pass(error, writing=False):
                raise
            log.warning("%s is not cut: %s", shown(file.name), error)
            first = None
        if first is None:
            yield from [] if last else [Item(whole_name(file.name), file.size)]
            return
        yield from (Item(one.name, one.end - one.start) for one in chain([first], slices))

    def _rows(self, name: str, last: Slice | None) -> Iterator[Slice]:
        """Yield the slices of a CSV file behind one; none where it has one row at most, or one that is endless."""
        start, row = (last.end, last.row + last.rows) if last else (0, -1)
        with _reading(name), self._open(name) as stream:
            head = head_of(stream)
            if not head:
                return
            stream.seek(start)
            for cut in cuts(stream, size=self._size, start=start, row=row):
                yield Slice(
                    file=name,
                    row=cut.row,
                    rows=cut.rows,
                    start=cut.start,
                    end=cut.end,
                    head=head if cut.start else 0,
                )

    def _row_groups(self, name: str, last: Slice | None) -> Iterator[Slice]:
        """Yield the slices of a Parquet file behind one; none where it has no rows."""
        with _reading(name), self._open(name) as stream:
            metadata = _parquet_metadata(stream)
        group, row = (last.groups[1] + 1, last.row + last.rows) if last and last.groups else (0, 0)
        while group < metadata.num_row_groups:
            first, rows, size, spans = group, 0, 0, []
            while group < metadata.num_row_groups:
                found = metadata.row_group(group)
                if rows and size + found.total_byte_size > self._size:
                    break
                rows, size = rows + found.num_rows, size + found.total_byte_size
                spans.append(_span(found))
                group += 1
            if rows:
                yield Slice(
                    file=name,
                    row=row,
                    rows=rows,
                    start=min(start for start, _ in spans),
                    end=max(end for _, end in spans),
                    groups=(first, group - 1),
                )
            row += rows

    def _open(self, name: str) -> BinaryIO:
        if self._root is None:
            return self._opened().open(name)
        return Path(self._root, name).open("rb", buffering=0)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"{shown(name)}: cannot be read: {error.strerror or error}") from error


def _parquet_metadata(stream: BinaryIO) -> FileMetaData:
    try:
        from pyarrow import ArrowException  # noqa: PLC0415 - an optional extra
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("settings.split_files of a Parquet file", "parquet") from error
    try:
        return ParquetFile(stream).metadata
    except ArrowException as error:
        raise OSError(str(error)) from error


def _span(group: RowGroupMetaData) -> tuple[int, int]:
    """Return where a row group's bytes begin in its file, and the place behind them."""
    columns = [group.column(place) for place in range(group.num_columns)]
    starts = [min(filter(None, (column.dictionary_page_offset, column.data_page_offset))) for column in columns]
    ends = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
    return min(starts), max(ends)

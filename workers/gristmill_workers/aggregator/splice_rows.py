"""An output made anew from the one before it: what stays is copied, what was scored again is put in its place."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Protocol

from gristmill.errors import OutputExists
from gristmill.spec import RowFormat, Settings
from gristmill_storage.output_index import IndexReader, Record, Segment, stream_crc
from gristmill_storage.part_format import Piece
from gristmill_storage.store import BLOCK
from gristmill_workers.aggregator.measured import Measured
from gristmill_workers.aggregator.ordered import Placed
from gristmill_workers.aggregator.rows import Columns, union_of_columns

if TYPE_CHECKING:
    import pyarrow as pa


class RowSplice(Protocol):
    """Takes the output before piece by piece, in order, and what comes instead."""

    #: The columns that the output's first line names; none where it has no such line.
    columns: tuple[str, ...]

    def keep(self, mini_batch: int, piece: Piece) -> Piece:
        """Copy the next piece; return it with what the new output has of it."""

    def skip(self, piece: Piece) -> None:
        """Leave the next piece out."""

    def fresh(self, mini_batch: int, piece: Piece, data: bytes, encoding: str) -> Piece:
        """Put in a piece that was scored again; return it with what the new output has of it."""

    def check(self, record: Record) -> None:
        """Check that what was read up to a mini-batch's end is what was published.

        Raises:
            OutputExists: somebody changed it.

        """

    def segments(self) -> list[Segment]:
        """Return the runs of a Parquet file's bytes since the last time."""

    def close(self) -> None:
        """Write what is left."""


class NoRows:
    """Where an output has no rows there is nothing to do."""

    columns: tuple[str, ...] = ()

    def keep(self, mini_batch: int, piece: Piece) -> Piece:  # noqa: ARG002 - see RowSplice
        """Return it as it is."""
        return piece

    def skip(self, piece: Piece) -> None:
        """Do nothing."""

    def fresh(self, mini_batch: int, piece: Piece, data: bytes, encoding: str) -> Piece:  # noqa: ARG002 - see RowSplice
        """Return it as it is."""
        return replace(piece, size=0)

    def check(self, record: Record) -> None:
        """Do nothing."""

    def segments(self) -> list[Segment]:
        """Return none."""
        return []

    def close(self) -> None:
        """Do nothing."""


class TextSplice:
    """Text, CSV and JSON lines: bytes are copied; where the header grows, every row is put under it."""

    def __init__(self, old: BinaryIO, index: IndexReader, rows: Measured, columns: Columns) -> None:
        """Take the output before with its index, the output to come, and that one's columns; writes the header."""
        self._old = old
        self._name = index.header.output
        self._rows = rows
        self._under = columns
        self._before = index.header.columns
        self._crc = 0
        self.columns = columns.header
        old.seek(0)
        self._read(index.header.size)
        if self._crc != index.header.crc:
            raise self._changed()
        rows.write(columns.line())

    def keep(self, mini_batch: int, piece: Piece) -> Piece:  # noqa: ARG002 - see RowSplice
        """Copy the next piece."""
        if not self._under.fit(self._before):
            return replace(piece, size=self._rows.write(self._under.spread(self._read(piece.size), self._before)))
        for data in self._stream(piece.size):
            self._rows.write(data)
        return piece

    def skip(self, piece: Piece) -> None:
        """Leave the next piece out."""
        for _ in self._stream(piece.size):
            pass

    def fresh(self, mini_batch: int, piece: Piece, data: bytes, encoding: str) -> Piece:  # noqa: ARG002 - see RowSplice
        """Put in a piece that was scored again."""
        return replace(piece, size=self._rows.write(self._under.spread(data, piece.columns)))

    def check(self, record: Record) -> None:
        """Check the bytes up to a mini-batch's end."""
        if self._crc != record.crc:
            raise self._changed()

    def segments(self) -> list[Segment]:
        """Return none: each mini-batch has bytes of its own."""
        return []

    def close(self) -> None:
        """Check that nothing stands behind the last row."""
        if self._old.read(1):
            raise self._changed()

    def _read(self, size: int) -> bytes:
        return b"".join(self._stream(size))

    def _stream(self, size: int) -> Iterator[bytes]:
        while size:
            data = self._old.read(min(size, BLOCK))
            if not data:
                raise self._changed()
            self._crc = zlib.crc32(data, self._crc)
            size -= len(data)
            yield data

    def _changed(self) -> OutputExists:
        return changed(self._name)


class ParquetSplice:
    """Parquet: rows are taken out of the file before and written anew, under the schema that holds them all."""

    def __init__(self, old: BinaryIO, rows: Measured, fresh: Iterable[Placed]) -> None:
        """Take the output before, the output to come, and what was scored again."""
        import pyarrow.parquet  # noqa: PLC0415 - an optional extra

        from gristmill_workers.aggregator.parquet import ParquetRows, schema_of  # noqa: PLC0415 - an optional extra

        old.seek(0)
        self._old = pyarrow.parquet.ParquetFile(old)
        self._batches = self._old.iter_batches()
        self._left: pa.RecordBatch | None = None
        self._rows = ParquetRows(rows, schema_of(fresh, before=self._old.schema_arrow))
        self.columns: tuple[str, ...] = ()

    def keep(self, mini_batch: int, piece: Piece) -> Piece:
        """Copy the next piece."""
        for batch in self._take(piece.rows):
            self._rows.add_table(mini_batch, _table([batch]))
        return piece

    def skip(self, piece: Piece) -> None:
        """Leave the next piece out."""
        for _ in self._take(piece.rows):
            pass

    def fresh(self, mini_batch: int, piece: Piece, data: bytes, encoding: str) -> Piece:
        """Put in a piece that was scored again."""
        from gristmill_workers.aggregator.parquet import table_of  # noqa: PLC0415 - an optional extra

        if not data:
            return replace(piece, rows=0, size=0)
        table = table_of(data, encoding)
        self._rows.add_table(mini_batch, table)
        return replace(piece, rows=len(table), size=0)

    def check(self, record: Record) -> None:
        """Do nothing: the whole file was checked before."""

    def segments(self) -> list[Segment]:
        """Return the runs of the file's bytes since the last time."""
        found = list(self._rows.segments)
        self._rows.segments.clear()
        return found

    def close(self) -> None:
        """Write what is left."""
        self._rows.close()

    def _take(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the next rows."""
        while rows:
            if self._left is None or not len(self._left):
                self._left = next(self._batches)
            batch = self._left.slice(0, rows)
            self._left = self._left.slice(len(batch))
            rows -= len(batch)
            yield batch


def _table(batches: list[pa.RecordBatch]) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - an optional extra

    return pa.Table.from_batches(batches)


def splice_of(
    settings: Settings, output: BinaryIO | None, index: IndexReader, rows: Measured | None, fresh: Iterable[Placed]
) -> RowSplice:
    """Return what makes an output anew from the one before (None: there are no rows), which is the one published.

    Raises:
        OutputExists: it is not.
        JobFailed: the rows cannot stand in one file.

    """
    if rows is None or output is None:
        return NoRows()
    if output.seek(0, 2) != index.size:
        raise changed(index.header.output)
    if settings.output_format is RowFormat.PARQUET:
        if stream_crc(output, index.size) != index.crc:
            raise changed(index.header.output)
        return ParquetSplice(output, rows, fresh)
    header = union_of_columns(fresh, before=index.header.columns or ()) if settings.header else ()
    return TextSplice(output, index, rows, Columns(header, settings.delimiter))


def changed(name: str | None) -> OutputExists:
    """Return the error for an output that is not the one that was published."""
    return OutputExists(f"output: {name} was changed since it was published; it stays as it is: run the job anew")

"""Rows of many mini-batches as one Parquet file, with the schema that holds them all."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet

from gristmill.errors import JobFailed
from gristmill_storage.output_index import Segment
from gristmill_storage.part_format import Piece
from gristmill_workers.aggregator.measured import Measured
from gristmill_workers.aggregator.ordered import Placed
from gristmill_workers.aggregator.rows import cut

#: Rows that are gathered before a row group is written.
ROW_GROUP: Final = 65536

#: Bytes of tables that are gathered before a row group is written, however few their rows are.
GROUP_BYTES: Final = 64 << 20

#: The mini-batch that stands in the index for the file's own end, which is nobody's.
FOOTER: Final = -1


def schema_of(blocks: Iterable[Placed], *, before: pa.Schema | None = None) -> pa.Schema:
    """Return the schema that every mini-batch's rows fit in, and the rows of `before`.

    Raises:
        JobFailed: two mini-batches give a column types that no type holds both.

    """
    schemas: dict[str, pa.Schema] = {} if before is None else {"": before.remove_metadata()}
    for placed in blocks:
        for _, table in tables(placed):
            if table is not None:
                schema = table.schema.remove_metadata()
                schemas.setdefault(str(schema), schema)
    try:
        return pa.unify_schemas(list(schemas.values()), promote_options="permissive") if schemas else pa.schema([])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise JobFailed(
            f"settings.output_format: parquet: the mini-batches' columns have no common type: {error}"
        ) from error


def tables(placed: Placed) -> list[tuple[Piece, pa.Table | None]]:
    """Return a mini-batch's pieces with their rows; None where a piece has no rows' bytes."""
    block = placed.block
    data = placed.reader.read(block) if block.size else b""
    return [(piece, table_of(bytes_, block.encoding) if bytes_ else None) for piece, bytes_ in cut(block, data)]


def table_of(data: bytes, encoding: str) -> pa.Table:
    """Return the rows of a block, or of a piece of it."""
    if encoding == "jsonl":
        return pyarrow.json.read_json(io.BytesIO(data))
    return pa.ipc.open_stream(data).read_all()


class ParquetRows:
    """Appends blocks to a Parquet file, many mini-batches a row group."""

    def __init__(self, writer: Measured, schema: pa.Schema) -> None:
        """Take the output and the schema of all rows."""
        self._schema = schema
        self._writer = writer
        self._file = pyarrow.parquet.ParquetWriter(_Sink(writer), schema)
        self._tables: list[pa.Table] = []
        self._rows = self._bytes = 0
        self._noted = 0
        self._first = self._last = FOOTER
        #: Runs of the file's bytes that were written since somebody emptied this.
        self.segments: list[Segment] = []

    def add(self, placed: Placed) -> tuple[Piece, ...]:
        """Append one mini-batch's rows; return its pieces with their rows in the output."""
        pieces = []
        for piece, table in tables(placed):
            if table is not None:
                self.add_table(placed.block.mini_batch, table)
            pieces.append(replace(piece, rows=0 if table is None else len(table), size=0))
        return tuple(pieces)

    def add_table(self, mini_batch: int, table: pa.Table) -> None:
        """Append rows of a mini-batch."""
        if self._first == FOOTER:
            self._first = mini_batch
        self._last = mini_batch
        missing = {name: pa.nulls(len(table), self._schema.field(name).type) for name in self._schema.names}
        columns = {name: table[name] if name in table.column_names else missing[name] for name in missing}
        self._tables.append(pa.table(columns).cast(self._schema))
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._rows >= ROW_GROUP or self._bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._tables:
            self._file.write_table(pa.concat_tables(self._tables))
            self._tables, self._rows, self._bytes = [], 0, 0
            self._note()

    def _note(self) -> None:
        """Note which mini-batches the bytes since the last time came with."""
        size, crc = self._writer.fingerprint
        if size > self._noted:
            self.segments.append(Segment(first=self._first, last=self._last, size=size - self._noted, crc=crc))
        self._noted = size
        self._first = self._last = FOOTER

    def close(self) -> None:
        """Write what is left, and the file's end."""
        self._flush()
        self._file.close()
        self._note()


class _Sink(io.RawIOBase):
    """A writer as pyarrow wants it; closing it ends nothing."""

    def __init__(self, writer: Measured) -> None:
        super().__init__()
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._writer.closed:  # discarded after a failure, of which pyarrow's own file does not know
            return memoryview(data).nbytes
        return self._writer.write(data)

    def tell(self) -> int:
        return self._writer.tell()

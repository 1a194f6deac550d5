"""Rows of many mini-batches as one Parquet file, with the schema that holds them all."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet

from gristmill.errors import JobFailed
from gristmill_storage.files import Writer
from gristmill_workers.aggregator.ordered import Placed

#: Rows that are gathered before a row group is written.
ROW_GROUP: Final = 65536


def schema_of(blocks: Iterable[Placed]) -> pa.Schema:
    """Return the schema that every mini-batch's rows fit in.

    Raises:
        JobFailed: two mini-batches give a column types that no type holds both.

    """
    schemas: dict[str, pa.Schema] = {}
    for placed in blocks:
        if placed.block.size:
            schema = _table(placed).schema.remove_metadata()
            schemas.setdefault(str(schema), schema)
    try:
        return pa.unify_schemas(list(schemas.values()), promote_options="permissive") if schemas else pa.schema([])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise JobFailed(
            f"settings.output_format: parquet: the mini-batches' columns have no common type: {error}"
        ) from error


class ParquetRows:
    """Appends blocks to a Parquet file, many mini-batches a row group."""

    def __init__(self, writer: Writer, schema: pa.Schema) -> None:
        """Take the output and the schema of all rows."""
        self._schema = schema
        self._file = pyarrow.parquet.ParquetWriter(_Sink(writer), schema)
        self._tables: list[pa.Table] = []
        self._rows = 0

    def add(self, placed: Placed) -> None:
        """Append one mini-batch's rows."""
        if placed.block.size:
            table = _table(placed)
            missing = {name: pa.nulls(len(table), self._schema.field(name).type) for name in self._schema.names}
            columns = {name: table[name] if name in table.column_names else missing[name] for name in missing}
            self._tables.append(pa.table(columns).cast(self._schema))
            self._rows += len(table)
            if self._rows >= ROW_GROUP:
                self._flush()

    def _flush(self) -> None:
        if self._tables:
            self._file.write_table(pa.concat_tables(self._tables))
            self._tables, self._rows = [], 0

    def close(self) -> None:
        """Write what is left, and the file's end."""
        self._flush()
        self._file.close()


class _Sink(io.RawIOBase):
    """A writer as pyarrow wants it; closing it ends nothing."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._writer.write(data)

    def tell(self) -> int:
        return self._writer.tell()


def _table(placed: Placed) -> pa.Table:
    data = placed.reader.read(placed.block)
    if placed.block.encoding == "jsonl":
        return pyarrow.json.read_json(io.BytesIO(data))
    return pa.ipc.open_stream(data).read_all()

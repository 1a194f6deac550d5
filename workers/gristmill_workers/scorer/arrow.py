"""Rows as an Arrow stream, for Parquet: by the pyarrow of the user's environment, where it has one.

A mini-batch is one stream with one schema. Its tables are held until the last has come, because the types of the first
rows say little about those to come (integers, then one that lacks); pandas' notes on an index are left out.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Iterable, Sequence

from .columns import PREDICTION, tabulate
from .formats import Unencodable, Written
from .sink import Sink, SinkStream

#: The encoding's name in the protocol.
ENCODING = "arrow"


@lru_cache(maxsize=None)
def available() -> bool:
    """Tell whether this environment has pyarrow."""
    return find_spec("pyarrow") is not None


def write_elements(elements: Sequence[Any], sink: Sink, name: str = PREDICTION) -> Written:
    """Write a list of elements as one stream.

    Raises:
        Unencodable: a column holds values of several types.

    """
    columns, rows = tabulate(elements, name)
    values = list(zip(*rows)) or [() for _ in columns]
    arrays = [_array(column, list(cells)) for column, cells in zip(columns, values)]
    table = import_module("pyarrow").Table.from_arrays(arrays, names=columns)
    return _write(table, sink)


def _array(column: str, cells: list[Any]) -> Any:
    plain = [cell.tolist() if hasattr(cell, "tolist") else cell for cell in cells]
    try:
        return import_module("pyarrow").array(plain)
    except Exception as error:
        raise Unencodable(f"column {column}", error) from error


def write_frames(frames: Iterable[Any], sink: Sink) -> Written:
    """Write DataFrames with the same columns as one stream.

    Raises:
        Unencodable: Arrow has no form for a column.

    """
    arrow = import_module("pyarrow")
    tables: list[Any] = []
    for frame in frames:
        try:
            table = arrow.Table.from_pandas(_named(frame), preserve_index=False)
        except Exception as error:
            raise Unencodable("a column of the DataFrame", error) from error
        tables.append(table.replace_schema_metadata(None))
    if not tables:
        return Written(0, ENCODING, [])
    return _write(_joined(tables), sink)


def _named(frame: Any) -> Any:
    """Arrow's columns have names that are text."""
    if all(isinstance(name, str) for name in frame.columns):
        return frame
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def _joined(tables: list[Any]) -> Any:
    if len(tables) == 1:
        return tables[0]
    concat = import_module("pyarrow").concat_tables
    try:
        return concat(tables, promote_options="permissive")
    except TypeError:  # pyarrow before 14
        return concat(tables, promote=True)
    except Exception as error:
        raise Unencodable("the DataFrames' columns", error) from error


def _write(table: Any, sink: Sink) -> Written:
    stream = SinkStream(sink)
    with import_module("pyarrow.ipc").new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return Written(table.num_rows, ENCODING, list(table.column_names))

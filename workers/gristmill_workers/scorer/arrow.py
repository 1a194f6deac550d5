"""Rows as an Arrow stream, for Parquet: by the pyarrow of the user's environment, where it has one.

A mini-batch is one stream with one schema. Its tables are held until the last has come, because the types of the first
rows say little about those to come (integers, then one that lacks); pandas' notes on an index are left out.
Text must be UTF-8 there: a file name that is none keeps its odd bytes as an escape (backslash, udce9).
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Iterable, Sequence

from .columns import PREDICTION, tabulate
from .formats import Unencodable, Written
from .missing import is_missing
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
    array = import_module("pyarrow").array
    plain = [_plain(cell) for cell in cells]
    try:
        try:
            return array(plain)
        except UnicodeEncodeError:
            return array([_escaped(cell) for cell in plain])
    except Exception as error:
        raise Unencodable(f"column {column}", error) from error


def _plain(cell: Any) -> Any:
    if is_missing(cell) and not isinstance(cell, float):
        return None
    return cell.tolist() if hasattr(cell, "tolist") else cell


def _escaped(cell: Any) -> Any:
    return cell.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(cell, str) else cell


def write_frames(frames: Iterable[Any], sink: Sink) -> Written:
    """Write DataFrames with the same columns as one stream.

    Raises:
        Unencodable: Arrow has no form for a column.

    """
    tables = [_table(_named(frame)) for frame in frames]
    if not tables:
        return Written(0, ENCODING, [])
    return _write(_joined(tables), sink)


def _table(frame: Any) -> Any:
    from_pandas = import_module("pyarrow").Table.from_pandas
    try:
        try:
            table = from_pandas(frame, preserve_index=False)
        except UnicodeEncodeError:
            escaped = frame.apply(lambda column: column.map(_escaped) if column.dtype == object else column)
            table = from_pandas(escaped, preserve_index=False)
    except Exception as error:
        raise Unencodable("a column of the DataFrame", error) from error
    return table.replace_schema_metadata(None)


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

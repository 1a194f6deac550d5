"""Tables for a no-code model: CSV and Parquet files as pandas DataFrames with the signature's types.

MLflow refuses what it cannot convert without loss, and a CSV file has no types of its own: so the types are given
while reading, as Azure does, and a text in a `long` column fails the file with pandas' own words. What cannot be cast
safely is left as it is: MLflow's own refusal then says why.

Only here and in the sibling readers are pandas, numpy and pyarrow known; the module is imported by a job that needs it.
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from typing import Any, BinaryIO, Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from .failures import ItemFailed
from .signature import Column, Signature, Tensor
from .sources import Slice, Source

#: The extensions that hold tables.
EXTENSIONS = frozenset(["csv", "parquet", "pqt"])

#: Bytes of a column that are read at once from a Parquet file that is read some rows at a time.
_BUFFER = 1 << 20

#: What read_csv is told. Narrow integers are read wide and narrowed with a check: old pandas wraps them round.
_CSV_TYPES: dict[str, Any] = {
    "boolean": np.dtype("bool"),
    "integer": np.dtype("int64"),
    "long": np.dtype("int64"),
    "float": np.dtype("float32"),
    "double": np.dtype("float64"),
    "string": "str",
    "binary": "str",
    "datetime": "str",
}


def read_table(source: Source, extension: str, signature: Signature, rows: int | None) -> Iterator[pd.DataFrame]:
    """Yield the item's table: whole, or `rows` rows at a time; nothing at all where it has no rows.

    Raises:
        ItemFailed: it is a slice that cannot be read by itself, or is not as it was planned.
        Exception: whatever pandas or pyarrow raise on a file that cannot be read or cast.

    """
    columns = signature.columns
    if extension != "csv":
        frames = _parquet(source, rows)
    elif source.slice is None:
        frames = _csv(source.path, columns, rows)
    else:
        _require_types(signature)
        frames = _csv_slice(source, columns, rows)
    count = 0
    for frame in frames:
        if len(frame):
            count += len(frame)
            yield cast(frame, columns, text=extension == "csv")
    if source.slice is not None:
        source.slice.check(count)


def _csv(path: str, columns: Sequence[Column], rows: int | None) -> Iterator[pd.DataFrame]:
    read: Any = pd.read_csv
    if rows is None:
        yield read(path, dtype=_csv_types(columns), low_memory=False)
        return
    chunks = read(path, dtype=_csv_types(columns), low_memory=False, chunksize=rows)
    try:
        yield from chunks
    finally:
        chunks.close()


def _require_types(signature: Signature) -> None:
    """Refuse to guess a column's type from some of its values: another slice's values would give another one."""
    if signature.tensor is None and not any(column.type for column in signature.columns):
        raise ItemFailed(
            "unsupported",
            "Exception: the model has no signature, so that pandas would guess each slice's types by itself: give "
            "the model a signature, or take settings.split_files out",
        )


def _csv_slice(source: Source, columns: Sequence[Column], rows: int | None) -> Iterator[pd.DataFrame]:
    read: Any = pd.read_csv
    piece = source.slice
    assert piece is not None
    drop = 1 if piece.head else 0
    with source.stream() as stream:
        if rows is None:
            frame = read(stream, dtype=_csv_types(columns), low_memory=False)
            yield _numbered(frame.iloc[drop:], piece.row - drop)
            return
        chunks = read(stream, dtype=_csv_types(columns), low_memory=False, chunksize=rows)
        if drop:
            chunks.get_chunk(1)
        for frame in chunks:
            yield _numbered(frame, piece.row - drop)


def _numbered(frame: pd.DataFrame, more: int) -> pd.DataFrame:
    """Return rows that are numbered as in the whole table, unless a column of theirs is the index."""
    if isinstance(frame.index, pd.RangeIndex):
        return frame.set_axis(frame.index + more, axis=0)
    return frame


def _csv_types(columns: Sequence[Column]) -> dict[int | str, Any] | None:
    types: dict[int | str, Any] = {}
    for place, column in enumerate(columns):
        # A bool column of pandas holds no gaps: one that may lack is left to pandas' own eye.
        if column.type and not (column.type == "boolean" and column.optional):
            types[place if column.name is None else column.name] = _CSV_TYPES[column.type]
    return types or None


def _parquet(source: Source, rows: int | None) -> Iterator[pd.DataFrame]:
    """Read one file as it is: pandas' read_parquet would take `year=2020/` in its path for a column."""
    with open(source.path, "rb") as stream:  # noqa: PTH123 - paths are plain strings here
        table = _opened(stream, streaming=rows is not None)
        if source.slice is not None:
            yield from _parquet_slice(table, source.slice, rows)
        elif rows is None:
            yield table.read().to_pandas()
        else:
            for batch in table.iter_batches(batch_size=rows):
                yield batch.to_pandas()


def _opened(stream: BinaryIO, *, streaming: bool) -> Any:
    """Open a file; where it is read some rows at a time, nothing of it is kept: by default all that was read is."""
    # Only a job with Parquet inputs needs pyarrow.
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415

    if not streaming:
        return ParquetFile(stream)
    try:
        return ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False)
    except TypeError:
        return ParquetFile(stream, buffer_size=_BUFFER)  # one too old to read ahead


def _parquet_slice(table: Any, piece: Slice, rows: int | None) -> Iterator[pd.DataFrame]:
    assert piece.groups is not None
    first, last = piece.groups
    groups = list(range(first, last + 1))
    if rows is not None:
        for batch in table.iter_batches(batch_size=rows, row_groups=groups):
            yield batch.to_pandas()
        return
    frame = table.read_row_groups(groups).to_pandas()
    gaps = {name: _WITH_GAPS[kind] for name in _with_gaps(table) if (kind := _kind(frame, name)) in _WITH_GAPS}
    yield _numbered(frame.astype(gaps) if gaps else frame, piece.row)


#: What whole numbers and truth values become where one of a column's values is missing.
_WITH_GAPS = {"i": "float64", "u": "float64", "b": "object"}


def _kind(frame: pd.DataFrame, name: str) -> str:
    kind = frame.dtypes.get(name)
    return kind.kind if isinstance(kind, np.dtype) else ""


def _with_gaps(table: Any) -> set[str]:
    """Return the columns of which values are missing somewhere in the file: they get a type in which that can be."""
    found = set()
    metadata = table.metadata
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for place in range(row_group.num_columns):
            column = row_group.column(place)
            statistics = column.statistics
            if statistics is not None and statistics.has_null_count and statistics.null_count:
                found.add(column.path_in_schema)
    return found


def cast(frame: pd.DataFrame, columns: Sequence[Column], *, text: bool) -> pd.DataFrame:
    """Return the table with its columns in the signature's types; `text`: it was read by `_csv_types`.

    Raises:
        ValueError, TypeError, OverflowError: a value cannot be what the signature says.

    """
    casts = _TEXT_CASTS if text else _CASTS
    changed = {}
    for place, column in enumerate(columns):
        name: Any = column.name
        if text and name is not None and column.type in _READ_SO:
            continue
        if name is None and place < frame.shape[1]:
            name = frame.columns[place]
        if column.type in casts and name in frame.columns:
            before = frame[name]
            after = casts[column.type](before)
            if after is not before:
                changed[name] = after
    return frame.assign(**changed) if changed else frame


def _is_text(series: pd.Series) -> bool:
    return series.dtype == object or isinstance(series.dtype, (pd.StringDtype, pd.CategoricalDtype))


def _to_integer(series: pd.Series, bits: int) -> pd.Series:
    if series.dtype == f"int{bits}":
        return series
    whole: Any = series
    if _is_text(series):
        whole = series.astype(object).astype("int64")
    elif series.dtype.kind == "f" and _is_whole(series):
        whole = series.astype("int64")
    if whole.dtype.kind not in "iu" or whole.hasnans:
        return series
    limits = np.iinfo(f"int{bits}")
    least, most = int(whole.min()), int(whole.max())
    if least < limits.min or most > limits.max:
        value = least if least < limits.min else most
        raise OverflowError(f"column '{series.name}' holds {value}, which does not fit in {bits} bits")
    return whole.astype(limits.dtype)  # type: ignore[no-any-return]


def _is_whole(series: pd.Series) -> bool:
    values = series.to_numpy(dtype="float64", na_value=np.nan)
    return bool(np.all(np.abs(values) < 2.0**63)) and bool(np.all(values == np.floor(values)))


def _to_number(series: pd.Series, dtype: str) -> pd.Series:
    if series.dtype == dtype or series.dtype.kind in "bM":
        return series
    return (series.astype(object) if _is_text(series) else series).astype(dtype)  # type: ignore[call-overload,no-any-return]


def _to_string(series: pd.Series) -> pd.Series:
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    return series if _is_text(series) else series.astype(object).map(str, na_action="ignore")


def _to_datetime(series: pd.Series) -> pd.Series:
    return pd.to_datetime(series) if _is_text(series) else series


def _to_binary(series: pd.Series) -> pd.Series:
    """Bytes stand in a text file as base64, as they do in MLflow's own JSON."""
    return series.astype(object).map(_decode, na_action="ignore")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a binary column holds base64, not {text[:40]!r} ({error})") from error


#: How a column becomes what the signature says. What is not here is left to MLflow (a bool that is none, say).
_CASTS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "integer": partial(_to_integer, bits=32),
    "long": partial(_to_integer, bits=64),
    "float": partial(_to_number, dtype="float32"),
    "double": partial(_to_number, dtype="float64"),
    "string": _to_string,
    "datetime": _to_datetime,
}
_TEXT_CASTS = {**_CASTS, "binary": _to_binary}

#: Columns of these types are that when read_csv was told so by their names.
_READ_SO = frozenset(["long", "float", "double", "string"])


def group(frame: pd.DataFrame) -> Any:
    """Return what tables must have in common to be joined: joining others would make up gaps."""
    return tuple(frame.columns)


def join(pieces: list[pd.DataFrame]) -> pd.DataFrame:
    """Return tables as one."""
    return pieces[0] if len(pieces) == 1 else pd.concat(pieces, ignore_index=True)


def model_input(frame: pd.DataFrame, signature: Signature) -> Any:
    """Return what predict is given for a table: the table, or the array that a tensor signature wants.

    One tensor of a fixed example shape takes a table whose columns are as many as the example has values; anything
    else is handed over as it is, and MLflow decides.

    Raises:
        ValueError: a value is no number where a tensor wants one.

    """
    tensor = signature.tensor
    if tensor is None or tensor.name in frame.columns or not _fills(frame, tensor):
        return frame
    array = frame.to_numpy(dtype=tensor.dtype).reshape((len(frame), *tensor.example))
    return array if tensor.name is None else {tensor.name: array}


def _fills(frame: pd.DataFrame, tensor: Tensor) -> bool:
    if tensor.dtype == object or frame.shape[1] == 0 or not np.isscalar(frame.iloc[0, 0]):
        return False
    width = 1
    for length in tensor.example:
        width *= length
    free = -1 in tensor.example
    return (tensor.example == (-1,)) if free else frame.shape[1] == width

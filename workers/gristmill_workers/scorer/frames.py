"""Writes pandas DataFrames, and rows that would be one (`numbered.py`), one or a stream of them, piece by piece."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from itertools import chain
from typing import Any, Callable, Iterable, Iterator

from . import arrow, csvtext
from .formats import Format, Unencodable, Written
from .numbered import Numbered, table
from .sink import Sink, SinkStream

#: Rows that are turned into text at once, and cells: of a wide frame fewer rows, since each cell is an object then.
_SLICE = 8192
_CELLS = 1 << 19

#: Dtypes, as numpy spells them or by their class, whose values pandas writes one by one and as Python does. Not those
#: of float32, say, or of times.
_PLAIN = frozenset(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f8", "b1", "O", "StringDtype"])

#: What numpy calls the kinds of values of which none can be missing.
_WHOLE = "iub"


def names(frame: Any) -> list[str]:
    """Return the columns' names; those of several levels are joined by an underscore."""
    return ["_".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in frame.columns]


def write(frames: Iterable[Any], form: Format, sink: Sink) -> Written:
    """Write DataFrames in the output's format, each before the next is asked for (Parquet: at the end).

    Raises:
        Unencodable: the format has no form for what a frame holds, or a frame's columns are not those of the first.
        Exception: what the iterator itself raises.

    """
    if form.kind == "parquet" and arrow.available():
        return arrow.write_frames(_alike(map(table, frames), []), sink)
    columns: list[str] = []
    encode, encoding = _encoder(form, sink)
    rows = 0
    for frame in _alike(frames, columns, strict=form.kind == "csv" or form.header):
        rows += len(frame)
        _guarded(encode, frame)
    named = encoding == "csv" or (form.header and encoding == "text")
    return Written(rows, encoding, columns if named else None)


def _encoder(form: Format, sink: Sink) -> tuple[Callable[[Any], None], str]:
    """Return (what writes one frame, the encoding's name)."""
    if form.kind == "none":
        return (lambda _frame: None), "none"
    if form.kind in ("jsonl", "parquet"):
        return (lambda frame: _write_objects(table(frame), sink)), "jsonl"
    return _csv_encoder(form, sink), form.kind


def _csv_encoder(form: Format, sink: Sink) -> Callable[[Any], None]:
    binary: Any = SinkStream(sink)
    stream = io.TextIOWrapper(binary, encoding="utf-8", errors="surrogateescape", newline="")
    options: dict[str, Any] = {"header": False, "index": False, "sep": form.delimiter, _terminator(): "\n"}

    def encode(frame: Any) -> None:
        for part, plain in _parts(frame):
            text = _plain_text(part, form.delimiter) if plain else None
            if text is None:
                table(part).to_csv(stream, **options)
            else:
                stream.write(text)
        stream.flush()

    return encode


def _parts(frame: Any) -> Iterator[tuple[Any, bool]]:
    """Yield what is to become text at once, and whether that may be done without pandas."""
    numbered = isinstance(frame, Numbered)
    inner = frame.predictions if numbered else frame
    if not _is_plain(inner):
        return iter([(frame, False)])
    parts = frame.slices(_step(inner)) if numbered else (part for _, part in _slices(frame))
    return ((part, True) for part in parts)


def _is_plain(frame: Any) -> bool:
    """Tell whether pandas writes each value of the frame by itself, and as Python does."""
    found = [getattr(dtype, "str", type(dtype).__name__).lstrip("<>|=") for dtype in frame.dtypes]
    return bool(found) and _PLAIN.issuperset(found)


def _slices(frame: Any) -> Iterator[tuple[int, Any]]:
    """Yield pieces of the frame, and how many rows are before each."""
    step = _step(frame)
    return ((first, frame.iloc[first : first + step]) for first in range(0, len(frame), step))


def _step(frame: Any) -> int:
    columns: int = frame.shape[1]
    return max(1, min(_SLICE, _CELLS // max(1, columns)))


def _plain_text(part: Any, delimiter: str) -> str | None:
    """Return rows in which nothing asks for quotes; None where something does, or is for pandas to write."""
    frame = part.predictions if isinstance(part, Numbered) else part
    columns = _values(frame, "")
    if not all(map(csvtext.is_plain, (cells for cells, dtype in zip(columns, frame.dtypes) if dtype.kind == "O"))):
        return None
    if isinstance(part, Numbered):
        return csvtext.ended([part.rows, *columns], part.file, delimiter)
    return csvtext.bare(chain.from_iterable(zip(*columns)), len(frame), len(columns), delimiter)


def _terminator() -> str:
    """Return pandas' word for what ends a line; it was spelt otherwise before 1.5."""
    version = str(getattr(sys.modules["pandas"], "__version__", "1.5")).split(".")
    old = version[0] == "0" or (version[0] == "1" and version[1] in "01234")
    return "line_terminator" if old else "lineterminator"


def _guarded(encode: Callable[[Any], None], frame: Any) -> None:
    try:
        encode(frame)
    except (Unencodable, OSError, MemoryError):
        raise
    except Exception as error:
        raise Unencodable("the DataFrame", error) from error


def _alike(frames: Iterable[Any], columns: list[str], *, strict: bool = False) -> Iterator[Any]:
    """Yield the frames; fill `columns` by the first one's, and refuse others if `strict`."""
    for index, frame in enumerate(frames):
        found = names(frame)
        if index == 0:
            columns.extend(found)
        elif strict and found != columns:
            raise Unencodable(f"part {index}", f"its columns are {found}, those before it {columns}")
        yield frame


def _write_objects(frame: Any, sink: Sink) -> None:
    """Write the rows as objects of Python's own values, with null for what is missing."""
    jsonl = import_module(f"{__package__}.jsonl")  # it imports what other formats have no use for
    keys = names(frame)
    for first, part in _slices(frame):
        columns = _values(part)
        text = jsonl.plain_lines(keys, columns, len(part))
        if text is None:
            jsonl.write([dict(zip(keys, row)) for row in zip(*columns)], sink, before=first)
        else:
            jsonl.send(text, sink)


def _values(frame: Any, missing: Any = None) -> list[list[Any]]:
    return [_column(frame.iloc[:, index], missing) for index in range(frame.shape[1])]


def _column(series: Any, missing: Any) -> list[Any]:
    values: list[Any] = series.tolist()
    if getattr(series.dtype, "str", "  ")[1] in _WHOLE:
        return values
    lacks = series.isna()
    if not lacks.any():
        return values
    return [missing if lacking else value for value, lacking in zip(values, lacks)]

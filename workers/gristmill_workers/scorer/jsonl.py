"""JSON lines: one object a row, in JSON proper (no NaN), whatever the model's library calls its numbers.

NaN, infinities, NaT and NA become null, as pandas writes them. Times are ISO 8601, durations seconds, bytes base64,
decimals text. A character that UTF-8 has no form for (half a surrogate pair, from a file name that is no UTF-8) stays
the JSON escape it is.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import uuid
from functools import singledispatch
from itertools import chain
from json.encoder import encode_basestring
from typing import Any, Callable, Iterable, Iterator, Sequence

from .columns import PREDICTION, alike, column, fields, is_sequence
from .formats import Unencodable
from .missing import MISSING, is_missing
from .sink import Sink

#: Lines that are written at once.
_SLICE = 2048

_TEXTS, _INTEGERS, _FLOATS = frozenset([str]), frozenset([int]), frozenset([float])

#: How values are written that JSON knows, as `json` does.
_TEXT_OF: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    float: lambda value: repr(value) if math.isfinite(value) else "null",
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
}


@singledispatch
def plain(value: Any) -> Any:
    """Return a form in JSON of a value that JSON does not know, one level deep.

    Raises:
        TypeError: it has none.

    """
    if type(value).__name__ in MISSING:
        return None
    if type(value).__name__ == "datetime64":
        return None if str(value) == "NaT" else str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    mapping = fields(value)
    if mapping is None:
        raise TypeError(f"{type(value).__name__} has no form in JSON; return numbers, text, lists or dicts")
    return mapping


@plain.register(dt.date)
@plain.register(dt.time)
def _time(value: dt.date | dt.time) -> str | None:
    return None if is_missing(value) else value.isoformat()


@plain.register(dt.timedelta)
def _duration(value: dt.timedelta) -> float | None:
    return None if is_missing(value) else value.total_seconds()


@plain.register(bytes)
@plain.register(bytearray)
@plain.register(memoryview)
def _bytes(value: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(value).decode("ascii")


@plain.register(decimal.Decimal)
@plain.register(uuid.UUID)
@plain.register(pathlib.PurePath)
def _text(value: object) -> str:
    return str(value)


@plain.register(enum.Enum)
def _enum(value: enum.Enum) -> Any:
    return value.value


@plain.register(set)
@plain.register(frozenset)
def _set(value: Iterable[Any]) -> list[Any]:
    return list(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=plain, separators=(",", ":"))


def _clean(value: Any) -> Any:
    """Return the value in JSON's own types all the way down, with null for what is no number."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _clean(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one) for one in value]
    return _clean(plain(value))


def dumps(value: Any) -> str:
    """Return the value as JSON.

    Raises:
        TypeError: it has no form in JSON.

    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError):  # a key that is no text, or a NaN
        return _ENCODER.encode(_clean(value))


def as_object(element: Any, name: str = PREDICTION) -> dict[Any, Any]:
    """Return the object that stands for an element of a result; `name` is the key of a single value."""
    mapping = fields(element)
    if mapping is not None:
        return mapping
    if is_sequence(element):
        return {column(index): value for index, value in enumerate(element)}
    return {name: element}


def write(elements: Sequence[Any], sink: Sink, name: str = PREDICTION, *, before: int = 0) -> None:
    """Write elements as lines; so many came `before` them, where one is to be named by its place.

    Raises:
        Unencodable: one of them has no form in JSON.

    """
    for first in range(0, len(elements), _SLICE):
        part = elements[first : first + _SLICE]
        found = alike(part, name) if _named_by_texts(part[0]) else None
        text = None if found is None else plain_lines(found[0], list(zip(*found[1])), len(part))
        send("".join(_lines(part, before + first, name)) if text is None else text, sink)


def send(text: str, sink: Sink) -> None:
    """Write lines."""
    sink.write(text.encode("utf-8", "backslashreplace"))


def _named_by_texts(element: Any) -> bool:
    return type(element) is not dict or all(type(key) is str for key in element)


def _lines(elements: Iterable[Any], first: int, name: str) -> Iterator[str]:
    for index, element in enumerate(elements, first):
        try:
            yield dumps(as_object(element, name)) + "\n"
        except Exception as error:  # noqa: PERF203 - the index is what is worth knowing
            raise Unencodable.element(index, element, error) from error


def plain_lines(names: Sequence[str], columns: Sequence[Sequence[Any]], rows: int) -> str | None:
    """Return objects of Python's plain values, given by columns; None where each value must be looked at.

    The lines are those of `dumps`; a million of them take seconds less.
    """
    keys = [encode_basestring(name).replace("%", "%%") for name in names]
    line = "{" + ",".join([key + ":%s" for key in keys]) + "}\n"
    try:
        cells = list(map(_cells, columns))
        if None in cells or len(set(names)) < len(cells):
            return None
        return line * rows % tuple(chain.from_iterable(zip(*cells)))
    except ValueError:  # an integer of more digits than Python likes to write
        return None


def _cells(column: Sequence[Any]) -> Iterable[Any] | None:
    """Return what "%s" writes as JSON for each value; None where one is not plain."""
    kinds = set(map(type, column))
    if kinds == _TEXTS:
        return map(encode_basestring, column)
    if kinds == _INTEGERS or (kinds == _FLOATS and all(map(math.isfinite, column))):
        return column
    return [_TEXT_OF[type(value)](value) for value in column] if _TEXT_OF.keys() >= kinds else None

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
from typing import Any, Iterable, Iterator

from .columns import PREDICTION, column, fields, is_sequence
from .formats import Unencodable
from .sink import Sink

#: Lines that are written at once.
_SLICE = 2048

_MISSING = frozenset(["NAType", "NaTType"])


def is_missing(value: object) -> bool:
    """Tell whether the value stands for none: None, NaN, pandas' NA and NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in _MISSING


@singledispatch
def plain(value: Any) -> Any:
    """Return a form in JSON of a value that JSON does not know, one level deep.

    Raises:
        TypeError: it has none.

    """
    if type(value).__name__ in _MISSING:
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


def _lines(elements: Iterable[Any], name: str) -> Iterator[str]:
    for index, element in enumerate(elements):
        try:
            yield dumps(as_object(element, name)) + "\n"
        except Exception as error:  # noqa: PERF203 - the index is what is worth knowing
            raise Unencodable.element(index, element, error) from error


def write(elements: Iterable[Any], sink: Sink, name: str = PREDICTION) -> None:
    """Write elements as lines.

    Raises:
        Unencodable: one of them has no form in JSON.

    """
    gathered: list[str] = []
    for line in _lines(elements, name):
        gathered.append(line)
        if len(gathered) >= _SLICE:
            _send(gathered, sink)
    _send(gathered, sink)


def _send(lines: list[str], sink: Sink) -> None:
    if lines:
        sink.write("".join(lines).encode("utf-8", "backslashreplace"))
        lines.clear()

"""Turns what run() returned into rows in the output's format.

`text` is what Azure writes: `str(element)`, one a line, and DataFrames as pandas writes them without a header. The
other formats say what they hold: see `columns.py` for how elements become columns, `jsonl.py` for JSON.
"""

from __future__ import annotations

import logging
from importlib import import_module
from itertools import islice
from typing import Any, Callable, Iterable, Sequence

from . import arrow, csvtext, frames
from .columns import PREDICTION, tabulate
from .formats import Format, Unencodable, Written
from .returned import is_frame
from .sink import Sink

_LOG = logging.getLogger("gristmill.scorer")

#: Elements that are written at once.
_SLICE = 8192

_warned: list[str] = []


def write(result: Any, form: Format, sink: Sink) -> Written:
    """Write a result of run(), which has passed `returned.count`.

    Raises:
        Unencodable: an element has no form in this format; it is named.
        OSError: the sink's file could not be written.

    """
    if form.kind == "none":
        return Written(len(result), "none")
    if isinstance(result, (list, tuple)):
        return _WRITERS[form.kind](result, form, sink, PREDICTION)
    if is_frame(result):
        return frames.write([result], form, sink)
    name = getattr(result, "name", None)
    return _WRITERS[form.kind](list(result), form, sink, PREDICTION if name is None else str(name))


def _text(elements: Sequence[Any], form: Format, sink: Sink, name: str) -> Written:
    if len(elements) <= _SLICE:
        _lines(elements, 0, sink)
    else:
        for first in range(0, len(elements), _SLICE):
            _lines(elements[first : first + _SLICE], first, sink)
    return Written(len(elements), "text", [name] if form.header else None)


def _lines(elements: Sequence[Any], first: int, sink: Sink) -> None:
    if not elements:
        return
    try:
        data = "\n".join(map(str, elements)).encode("utf-8", "surrogateescape")
    except (MemoryError, OSError):
        raise
    except Exception as error:
        _name_culprit(elements, first, error)
        raise
    if data.count(b"\n") >= len(elements):
        _warn_once(
            "An element's text holds a line break: its row takes several lines of the output; csv or jsonl would not."
        )
    sink.write(data + b"\n")


def _name_culprit(elements: Sequence[Any], first: int, error: Exception) -> None:
    for index, element in enumerate(elements, first):
        try:
            str(element).encode("utf-8", "surrogateescape")
        except Exception as found:  # noqa: BLE001, PERF203 - a user's __str__; the index is worth knowing
            raise Unencodable.element(index, element, found) from error


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.append(message)
        _LOG.warning(message)


def _csv(elements: Sequence[Any], form: Format, sink: Sink, name: str) -> Written:
    columns, rows = tabulate(elements, name)
    if rows is elements and len(elements) <= _SLICE:
        _csv_lines(elements, elements, 0, form, sink)
        return Written(len(elements), "csv", columns)
    left = iter(rows)
    for first in range(0, len(elements), _SLICE):
        _csv_lines(list(islice(left, _SLICE)), elements, first, form, sink)
    return Written(len(elements), "csv", columns)


def _csv_lines(rows: Sequence[Sequence[Any]], elements: Sequence[Any], first: int, form: Format, sink: Sink) -> None:
    """Write rows, which are those of the elements from `first` on."""
    if not rows:
        return
    text = csvtext.plain(rows, len(rows[0]), form.delimiter)
    if text is None:
        text = csvtext.row_by_row(rows, elements, first, form.delimiter)
    try:
        sink.write(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise Unencodable("an element", error) from error


def _jsonl(elements: Iterable[Any], _form: Format, sink: Sink, name: str) -> Written:
    rows = list(elements)
    import_module(f"{__package__}.jsonl").write(rows, sink, name)  # it imports what other formats have no use for
    return Written(len(rows), "jsonl")


def _parquet(elements: Sequence[Any], form: Format, sink: Sink, name: str) -> Written:
    if arrow.available():
        return arrow.write_elements(elements, sink, name)
    return _jsonl(elements, form, sink, name)


_Writer = Callable[[Sequence[Any], Format, Sink, str], Written]
_WRITERS: dict[str | None, _Writer] = {"text": _text, "csv": _csv, "jsonl": _jsonl, "parquet": _parquet}

"""Rows as csv text: Python's plain values many at a time, all others one by one.

A million short rows are a second of processor time when each cell is looked at by itself; what most models return
needs no such look. The bytes are the same either way.
"""

from __future__ import annotations

import csv
from itertools import chain, tee
from operator import ne
from types import SimpleNamespace
from typing import Any, Iterable, Sequence

from .formats import Unencodable
from .missing import is_missing

#: Cells of these types always stand for something.
_NEVER_MISSING = frozenset([str, int, bool, bytes])

_TEXTS = frozenset([str])

#: Of these, only None and NaN stand for nothing.
_PLAIN = _NEVER_MISSING | {float, type(None)}

#: What a writer of csv ends lines with: it asks for quotes around what holds that, and older Pythons leave a lone \\r
#: bare where it is \\n. In the output it is \\n.
_LINE_END = "\r\n"


def is_plain(cells: Iterable[Any]) -> bool:
    """Tell whether all cells are of types whose text is the same wherever it is made."""
    return _PLAIN.issuperset(map(type, cells))


def plain(rows: Sequence[Sequence[Any]], width: int, delimiter: str) -> str | None:
    """Return rows of `width` plain values each, missing ones empty; None where each cell must be looked at."""
    kinds = set(map(type, chain.from_iterable(rows)))
    if not kinds <= _PLAIN:
        return None
    if type(None) in kinds or (float in kinds and any(map(ne, *tee(chain.from_iterable(rows))))):
        rows = [["" if cell is None or cell != cell else cell for cell in row] for row in rows]  # noqa: PLR0124 - NaN
    try:
        if kinds == _TEXTS:
            text = _bare_texts(rows, width, delimiter)
        else:
            text = bare(chain.from_iterable(rows), len(rows), width, delimiter)
        return _quoted(rows, delimiter) if text is None else text
    except Exception:  # noqa: BLE001 - whoever writes them one by one finds the one that has no text
        return None


def _bare_texts(rows: Sequence[Sequence[str]], width: int, delimiter: str) -> str | None:
    """Return what `bare` does, sooner, of rows of texts."""
    lines = map(delimiter.join, rows) if width > 1 else chain.from_iterable(rows)
    return _checked("\n".join(lines) + "\n", len(rows), width, delimiter)


def bare(cells: Iterable[Any], rows: int, width: int, delimiter: str) -> str | None:
    """Return the text of plain cells, row by row, in which nothing asks for quotes; None where something does."""
    return _filled(cells, rows, ["%s"] * width, delimiter)


def ended(columns: Sequence[Sequence[Any]], last: str, delimiter: str) -> str | None:
    """Return what `bare` does of cells column by column, and of a last one that is the same in every row."""
    rows, width = len(columns[0]), len(columns)
    cells: list[Any] = [None] * (rows * width)
    for place, column in enumerate(columns):
        cells[place::width] = column
    return _filled(cells, rows, [*["%s"] * width, last.replace("%", "%%")], delimiter)


def _filled(cells: Iterable[Any], rows: int, fields: Sequence[str], delimiter: str) -> str | None:
    line = delimiter.replace("%", "%%").join(fields) + "\n"
    return _checked(line * rows % tuple(cells), rows, len(fields), delimiter)


def _checked(text: str, rows: int, width: int, delimiter: str) -> str | None:
    if text.count("\n") != rows or text.count(delimiter) != rows * (width - 1):
        return None
    if '"' in text or "\r" in text or "\0" in text or (width == 1 and (text[0] == "\n" or "\n\n" in text)):
        return None
    return text


def _quoted(rows: Sequence[Sequence[Any]], delimiter: str) -> str | None:
    lines: list[str] = []
    _writer(lines, delimiter).writerows(rows)
    text = "".join(lines)
    return text.replace(_LINE_END, "\n") if text.count(_LINE_END) == len(rows) else None


def _writer(lines: list[str], delimiter: str) -> Any:
    return csv.writer(SimpleNamespace(write=lines.append), delimiter=delimiter, lineterminator=_LINE_END)


def row_by_row(rows: Iterable[Sequence[Any]], elements: Sequence[Any], first: int, delimiter: str) -> str:
    """Return rows of any values; `elements` are those of the result, from which the rows come, from `first` on.

    Raises:
        Unencodable: a cell has no text.

    """
    lines: list[str] = []
    writer = _writer(lines, delimiter)
    for index, row in enumerate(rows, first):
        try:
            writer.writerow([cell if type(cell) in _NEVER_MISSING or not is_missing(cell) else "" for cell in row])
        except Exception as error:  # noqa: PERF203 - the index is what is worth knowing
            raise Unencodable.element(index, elements[index], error) from error
    return "".join([line[: -len(_LINE_END)] + "\n" for line in lines])

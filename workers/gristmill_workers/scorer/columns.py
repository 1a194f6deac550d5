"""Turns a list of elements into columns and rows: what CSV and Parquet need and a list does not say.

Elements that are mappings (also named tuples, dataclasses, a Series) give their keys as columns, in the order in which
they turn up; sequences give column_0, column_1, ...; all else is one column, `prediction`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Iterable, Sequence

from .formats import Unencodable
from .returned import is_a

#: The column of results that are one value each.
PREDICTION = "prediction"

#: These have no named fields, whatever is in them.
_PLAIN_SEQUENCES = frozenset([list, tuple])

_PLAIN_VALUES = frozenset([str, int, float, bool])
_DICTS = frozenset([dict])

_MAPPING, _SEQUENCE, _VALUE = "a mapping", "a sequence", "a single value"


def fields(element: Any) -> dict[Any, Any] | None:
    """Return the element as a dict if it has named fields, else None."""
    if isinstance(element, Mapping):
        return element if isinstance(element, dict) else dict(element)
    if isinstance(element, tuple) and hasattr(element, "_asdict"):
        return dict(element._asdict())
    if hasattr(type(element), "__dataclass_fields__"):
        return {one.name: getattr(element, one.name) for one in import_module("dataclasses").fields(element)}
    return dict(element.items()) if is_a(element, "pandas", "Series") else None


def is_sequence(element: Any) -> bool:
    """Tell whether the element is a row of fields without names."""
    return isinstance(element, (list, tuple)) or (hasattr(element, "tolist") and getattr(element, "ndim", 0) > 0)


def column(index: int) -> str:
    """Return the name of a column that has none."""
    return f"column_{index}"


#: The names of the first columns that have none: of a result of few rows they would cost as much as the rows.
_COLUMNS = [column(index) for index in range(32)]


def _columns(width: int) -> list[str]:
    return _COLUMNS[:width] if width <= len(_COLUMNS) else [column(index) for index in range(width)]


def _kind(element: Any) -> str:
    if isinstance(element, (str, int, float)):
        return _VALUE
    if type(element) in _PLAIN_SEQUENCES:  # what follows asks a dozen questions more
        return _SEQUENCE
    if fields(element) is not None:
        return _MAPPING
    return _SEQUENCE if is_sequence(element) else _VALUE


def _one_kind(elements: Sequence[Any]) -> str:
    kinds = [_kind(element) for element in elements]
    for index, kind in enumerate(kinds):
        if kind != kinds[0]:
            reason = f"it is {kind}, element 0 is {kinds[0]}; return elements of one kind"
            raise Unencodable.element(index, elements[index], reason)
    return kinds[0] if kinds else _VALUE


def tabulate(elements: Sequence[Any], name: str = PREDICTION) -> tuple[list[str], Iterable[Sequence[Any]]]:
    """Return (names of the columns, rows) of elements; `name` is the column of single values. Missing fields are None.

    Raises:
        Unencodable: the elements are of several kinds.

    """
    return alike(elements, name) or _tabulated(elements, name)


def alike(elements: Sequence[Any], name: str = PREDICTION) -> tuple[list[str], Iterable[Sequence[Any]]] | None:
    """Return what `tabulate` does where a look at the elements' types is enough, as with most results by far."""
    kinds = set(map(type, elements))
    if not kinds:
        return None
    if kinds <= _PLAIN_VALUES:
        return [name], zip(elements)
    if kinds <= _PLAIN_SEQUENCES and len(widths := set(map(len, elements))) == 1:
        return _columns(widths.pop()), elements
    if kinds == _DICTS and len(keys := set(map(tuple, elements))) == 1:
        return [str(key) for key in keys.pop()], map(tuple, map(dict.values, elements))
    return None


def _tabulated(elements: Sequence[Any], name: str) -> tuple[list[str], Iterable[Sequence[Any]]]:
    kind = _one_kind(elements)
    if kind == _VALUE:
        return [name], ([element] for element in elements)
    if kind == _SEQUENCE:
        width = max(len(element) for element in elements)
        return [column(index) for index in range(width)], (_padded(element, width) for element in elements)
    mappings = [fields(element) or {} for element in elements]
    keys = list(dict.fromkeys(key for mapping in mappings for key in mapping))
    return [str(key) for key in keys], ([mapping.get(key) for key in keys] for mapping in mappings)


def _padded(element: Any, width: int) -> list[Any]:
    row = list(element)
    return row if len(row) == width else row + [None] * (width - len(row))

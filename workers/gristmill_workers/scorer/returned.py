"""What run() may return: something whose length says how many items succeeded. Rule and words are Azure's."""

from __future__ import annotations

import sys
from typing import Any

#: Azure's sentence, word for word.
SENTENCE = (
    "The run() method in the entry script should return a list or a pandas DataFrame. The length of returned result "
    "is considered as succeeded number of items. For --output_action=append_row, the returned result is what to write "
    "into the result file. The actual type of output is {}."
)

_HINTS = {
    "NoneType": "run() ended without `return`: let it return one element for each file.",
    "generator": "`yield` makes run() a generator: collect the elements in a list, and return that.",
    "str": "Return it as the element of a list.",
    "dict": "Return a list of dicts, one for each file, or a pandas DataFrame made of it.",
    "set": "A set has no order: return a list.",
    "coroutine": "`async def` makes run() a coroutine: define it with `def`.",
}
_HINT = "Return a list with one element for each file, or a pandas DataFrame."


class WrongReturnType(Exception):
    """run() returned something that cannot be taken for rows."""

    def __init__(self, result: object) -> None:
        """Say what it returned, in Azure's words, and what to return in ours."""
        name = type(result).__name__
        super().__init__(SENTENCE.format(name) + " " + _HINTS.get(name, _HINT))


def is_a(value: object, module: str, *names: str) -> bool:
    """Tell whether the value is of a class of a module that nobody may have loaded; never loads it."""
    loaded = sys.modules.get(module)
    if loaded is None:
        return False
    classes = (getattr(loaded, name, None) for name in names)
    return any(isinstance(found, type) and isinstance(value, found) for found in classes)


def is_frame(value: object) -> bool:
    """Tell whether the value is a pandas DataFrame."""
    return is_a(value, "pandas", "DataFrame")


def is_array(value: object) -> bool:
    """Tell whether the value is an array or a Series that has a length."""
    if is_a(value, "numpy", "ndarray"):
        return getattr(value, "ndim", 0) > 0
    return is_a(value, "pandas", "Series") or is_a(value, "pandas.api.extensions", "ExtensionArray")


def count(result: Any) -> int:
    """Return the length of a result.

    Raises:
        WrongReturnType: it is no list, tuple, array, Series or DataFrame.

    """
    if isinstance(result, (list, tuple)) or is_frame(result) or is_array(result):
        return len(result)
    raise WrongReturnType(result)

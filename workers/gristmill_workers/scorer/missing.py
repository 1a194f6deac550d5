"""Which values stand for none at all, whatever the model's library calls its own."""

from __future__ import annotations

import math

#: Names of the classes of pandas' NA and NaT.
MISSING = frozenset(["NAType", "NaTType"])


def is_missing(value: object) -> bool:
    """Tell whether the value stands for none: None, NaN, pandas' NA and NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in MISSING

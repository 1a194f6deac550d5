"""Numbers with their nouns, for messages: `1 item`, `2,000 mini-batches`."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `one` of it, or `many`, where that is not `one` with s or es."""
    if number != 1:
        one = many or one + ("es" if one.endswith(("s", "ch")) else "s")
    return f"{number:,} {one}"

"""What `verify` finds wrong, in words, and what it counted on the way."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

#: Faults that are named; the others are counted.
NAMED: Final = 100


class Findings:
    """Gathers faults and counts; memory stays flat however much is wrong."""

    def __init__(self) -> None:
        """Begin with nothing found."""
        self._faults: list[str] = []
        self._more = 0
        #: What was looked at, by name.
        self.checked: Counter[str] = Counter()

    def fault(self, text: str) -> None:
        """Note something that is wrong."""
        if len(self._faults) < NAMED:
            self._faults.append(text)
        else:
            self._more += 1

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self._faults

    def document(self, job: str, status: str) -> dict[str, Any]:
        """Return what is printed."""
        more = [f"and {self._more} more"] if self._more else []
        return {
            "job": job,
            "status": status,
            "ok": self.ok,
            "checked": dict(self.checked),
            "faults": self._faults + more,
        }


def some(names: list[str] | tuple[str, ...]) -> str:
    """Return names for one line: all of few, the first and the last of many."""
    shown = list(map(repr, map(str, names))) if any(not name.isprintable() for name in names) else list(names)
    if not shown:
        return "none"
    return f"{shown[0]} ... {shown[-1]}" if len(shown) > 2 else ", ".join(shown)  # noqa: PLR2004 - "first ... last"

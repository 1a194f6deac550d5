"""Slices: a large table cut into items, and how such an item is called.

With `settings.split_files`, an item is a file, or a run of a table's rows. The name says which, so that manifest,
errors, reports and retries know slices as they know files:

    big.csv#rows=5000-9999,bytes=1048576-2097151,head=57
    big.parquet#rows=0-4999,bytes=4-1048579,groups=0-3

Rows count from 0, the header apart; all ends are included. `head` is how many bytes of the file stand for its header
and its first row, which tell pandas how to read the others. A file that is one item keeps its name; but one whose own
name ends like a slice's gets `#whole` behind it, so that no two items are called the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Self

_NAME: Final = re.compile(
    r"(.+)#rows=(\d+)-(\d+),bytes=(\d+)-(\d+),(?:head=(\d+)|groups=(\d+)-(\d+))", re.DOTALL
).fullmatch

_WHOLE: Final = "#whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A run of a table's rows."""

    #: The file's path relative to the input's root.
    file: str
    #: Number of its first row, from 0.
    row: int
    rows: int
    #: Where its bytes begin in the file.
    start: int
    #: The place behind them.
    end: int
    #: CSV: bytes of header and first row at the file's beginning; 0 where the slice itself begins there.
    head: int = 0
    #: Parquet: the first of its row groups and the last one.
    groups: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """What the item is called."""
        last = f"head={self.head}" if self.groups is None else f"groups={self.groups[0]}-{self.groups[1]}"
        return f"{self.file}#rows={self.row}-{self.row + self.rows - 1},bytes={self.start}-{self.end - 1},{last}"

    @classmethod
    def of(cls, name: str) -> Self | None:
        """Return the slice that an item's name says; None where the item is a file."""
        found = _NAME(name)
        if found is None:
            return None
        file, row, last, start, end, head, first_group, last_group = found.groups()
        return cls(
            file=file,
            row=int(row),
            rows=int(last) - int(row) + 1,
            start=int(start),
            end=int(end) + 1,
            head=int(head or 0),
            groups=None if first_group is None else (int(first_group), int(last_group)),
        )

    def document(self) -> dict[str, Any]:
        """Return it as a scorer is told of it."""
        return {
            "file": self.file,
            "row": self.row,
            "rows": self.rows,
            "start": self.start,
            "end": self.end,
            "head": self.head,
            "groups": self.groups,
        }


def whole_name(file: str) -> str:
    """Return the name of the item that is a whole file."""
    return f"{file}{_WHOLE}" if file.endswith(_WHOLE) or _NAME(file) else file


def file_of(name: str) -> str:
    """Return the file that an item is, or is a slice of."""
    found = _NAME(name)
    return found[1] if found else name.removesuffix(_WHOLE)

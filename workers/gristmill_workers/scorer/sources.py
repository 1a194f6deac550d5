"""What an item of a no-code model is: a file, or a slice of a table that was cut into items (`settings.split_files`).

A slice of a CSV file is read behind the file's header and first row, which tell pandas how to read the others (an
index column, a first row that is too long), and from which that first row is then dropped.
"""

# Paths are plain strings here, as in the siblings.
# ruff: noqa: PTH123

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple, Sequence

from .failures import ItemFailed, counted


class Slice(NamedTuple):
    """A run of a table's rows; see `gristmill_storage/slices.py`."""

    row: int
    rows: int
    start: int
    end: int
    head: int
    groups: tuple[int, int] | None

    def check(self, rows: int) -> None:
        """Refuse rows that are not as many as were planned: they would bear wrong numbers, and others be lost.

        Raises:
            ItemFailed: they are not.

        """
        if rows != self.rows:
            raise ItemFailed(
                "unreadable",
                f"Exception: {counted(rows, 'row')} found, {self.rows} counted when the job was planned: the file has "
                "changed since, or its rows cannot be told apart; start the job anew, or without settings.split_files",
            )


class Source(NamedTuple):
    """An item, and where its rows are."""

    #: What the item is called.
    item: str
    #: Where the file lies.
    path: str
    #: What stands in the rows' column `file_name`.
    file: str
    #: Which of its rows the item is; None: all.
    slice: Slice | None = None

    @property
    def first(self) -> int:
        """Number of the first row."""
        return self.slice.row if self.slice else 0

    def error(self, failure: ItemFailed) -> dict[str, Any]:
        """Return a failure of the item as it stands in a result."""
        piece = self.slice
        which = "" if piece is None else f", rows {piece.row} to {piece.row + piece.rows - 1}"
        if piece is not None:
            which += f" (bytes {piece.start} to {piece.end - 1})"
        return failure.about(self.item, self.path, which)

    def stream(self) -> Any:
        """Return a binary file: of a slice of a CSV file, with the file's header and first row before it."""
        if self.slice is None or self.slice.groups is not None:
            return open(self.path, "rb")
        return io.BufferedReader(_Ranges(self.path, [(0, self.slice.head), (self.slice.start, self.slice.end)]))


def sources(items: Sequence[str], root: str, slices: Sequence[Any] | None) -> list[Source]:
    """Return what the items of a mini-batch are; `slices` is what the node says of them, if it does."""
    if slices is None:
        return [Source(item, str(Path(root, item)), item) for item in items]
    return [_source(item, root, told) for item, told in zip(items, slices)]


def _source(item: str, root: str, told: dict[str, Any]) -> Source:
    path, piece = str(Path(root, told["at"])), None
    if "rows" in told:
        groups = told["groups"] and (told["groups"][0], told["groups"][1])
        piece = Slice(told["row"], told["rows"], told["start"], told["end"], told["head"], groups)
    return Source(item, path, told["file"], piece)


class _Ranges(io.RawIOBase):
    """Some ranges of a file, one after the other."""

    def __init__(self, path: str, ranges: Sequence[tuple[int, int]]) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - close() is the caller's
        self._ranges = [one for one in ranges if one[0] < one[1]]
        self._place = self._ranges[0][0] if self._ranges else 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ranges:
            return 0
        view = memoryview(buffer)[: self._ranges[0][1] - self._place]
        self._file.seek(self._place)
        count = self._file.readinto(view) or 0
        self._place += count
        if self._place == self._ranges[0][1]:
            del self._ranges[0]
            self._place = self._ranges[0][0] if self._ranges else 0
        return count

    def close(self) -> None:
        self._file.close()
        super().close()

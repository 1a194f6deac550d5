"""A chunk of the manifest, read: which mini-batches it holds, and what damage there is in it, by its line.

The format is in `manifest`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from gristmill.counts import counted
from gristmill.errors import Corrupt
from gristmill_storage.minibatches import ChunkInfo, MiniBatch, is_hostile
from gristmill_storage.store import shown

#: What `json.loads` does, without its overhead a call.
_DECODE: Final = json.JSONDecoder().raw_decode

#: Lines that are read at once: reading takes several times the memory of what comes of it.
_TOGETHER: Final = 128


class Chunk:
    """One chunk in memory; a line is read when it is asked for."""

    def __init__(self, name: str, data: bytes, first: int) -> None:
        """Take the file's name (for messages), its bytes, and the number in its name.

        Raises:
            Corrupt: its last line is missing or says something else, or a byte is no ASCII.

        """
        self.first = first
        self._name = shown(name)
        if not data.isascii():
            at = next(at for at, byte in enumerate(data) if not chr(byte).isascii())
            line = data.count(b"\n", 0, at) + 1
            raise Corrupt(f"{self._name}: line {line} holds the byte {data[at]:#x}, which is no ASCII")
        self._lines = data.split(b"\n")
        if self._lines.pop() or not self._lines:
            raise Corrupt(f"{self._name}: truncated: it does not end with a whole line")
        #: The number with which the next chunk begins.
        self.next, self.end = self._where_next(self._lines.pop())
        self.last = self.next - 1
        if len(self._lines) != self.next - first:
            what = f"{counted(len(self._lines), 'mini-batch')}, not {self.next - first:,} as its last line says"
            raise Corrupt(f"{self._name}: {what}")

    @property
    def count(self) -> int:
        """How many mini-batches it holds; none where the plan ended with the chunk before."""
        return len(self._lines)

    def mini_batch(self, number: int) -> MiniBatch:
        """Return a mini-batch of the chunk.

        Raises:
            IndexError: it is not in the chunk.
            Corrupt: its line is damaged.

        """
        if not self.first <= number <= self.last:
            raise IndexError(f"mini-batch {number} is not in {self._name}")
        try:
            document, end = _DECODE(line := self._lines[number - self.first].decode("ascii"))
            found, items, size = document["n"], tuple(document["items"]), document["bytes"]
            text = _joined(items)
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(number, f"it is no mini-batch ({error})") from None
        if end != len(line) or found != number or type(size) is not int or size < 0:
            raise self._damaged(number, f"n is {found!r}, bytes is {size!r}")
        if _is_odd(text, len(items)):
            self._check_names(number, items)
        return MiniBatch(number, items, size)

    def mini_batches(self, first: int | None = None, last: int | None = None) -> Iterator[MiniBatch]:
        """Yield the mini-batches from `first` to `last`, both included; by default all of the chunk."""
        start = self.first if first is None else first
        return map(self.mini_batch, range(start, (self.last if last is None else last) + 1))

    def columns(self, first: int, last: int) -> tuple[list[tuple[str, ...]], list[int]]:
        """Return the items and the bytes of these mini-batches: all lines are read at once, in half the time.

        Raises:
            IndexError: one is not in the chunk.
            Corrupt: a line is damaged.

        """
        items: list[tuple[str, ...]] = []
        sizes: list[int] = []
        try:
            for start in range(first, last + 1, _TOGETHER):
                found = self._columns(start, min(last, start + _TOGETHER - 1))
                items += found[0]
                sizes += found[1]
        except (ValueError, TypeError, KeyError):  # damaged, or with names that need a closer look: each line tells
            each = list(self.mini_batches(first, last))
            return [mini_batch.items for mini_batch in each], [mini_batch.size for mini_batch in each]
        return items, sizes

    def _columns(self, first: int, last: int) -> tuple[list[tuple[str, ...]], list[int]]:
        lines = self.lines(first, last)
        documents = json.loads(b"[" + b",".join(lines) + b"]")
        items = [tuple(document["items"]) for document in documents]
        sizes = [document["bytes"] for document in documents]
        if [document["n"] for document in documents] != list(range(first, last + 1)) or not all(items):
            raise ValueError("other mini-batches")
        if {line[:1] + line[-1:] for line in lines} != {b"{}"}:
            raise ValueError("more than mini-batches")
        if set(map(type, sizes)) != {int} or min(sizes) < 0:
            raise ValueError("other sizes")
        names = list(chain.from_iterable(items))
        text = _joined(names)
        if _is_odd(text, len(names)):
            raise ValueError("odd names")
        return items, sizes

    def lines(self, first: int, last: int) -> list[bytes]:
        """Return the lines of these mini-batches, without their ends."""
        return self._lines[first - self.first : last - self.first + 1]

    def info(self) -> ChunkInfo:
        """Read every line; return what the chunk holds."""
        items = size = 0
        for mini_batch in self.mini_batches():
            items += len(mini_batch.items)
            size += mini_batch.size
        return ChunkInfo(first=self.first, count=len(self._lines), items=items, size=size)

    def _where_next(self, line: bytes) -> tuple[int, bool]:
        try:
            document = json.loads(line)
            number, end = document["next"], document.get("end", False)
        except (ValueError, TypeError, KeyError):
            number, end = None, False
        if type(number) is not int or number < self.first:
            raise Corrupt(f"{self._name}: truncated: its last line does not say where the next chunk begins")
        return number, bool(end)

    def _check_names(self, number: int, items: tuple[str, ...]) -> None:
        if not items:
            raise self._damaged(number, "it has no items")
        for name in items:
            if is_hostile(name):
                raise self._damaged(number, f"the item {shown(name)!r} is no path in the input")

    def _damaged(self, number: int, what: str) -> Corrupt:
        return Corrupt(f"{self._name}: line {number - self.first + 1} (mini-batch {number}): {what}")


def _joined(names: Iterable[str]) -> str:
    """Return names joined by NUL, which can be in none: that is fast to search."""
    return "\0{}\0".format("\0".join(names))


def _is_odd(text: str, count: int) -> bool:
    """Return whether one of so many names, joined, may be hostile (`is_hostile` tells)."""
    return ".." in text or "\0/" in text or "\0\0" in text or text.count("\0") != count + 1

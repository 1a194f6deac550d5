"""The words of a plan: items, the mini-batches they are cut into, and what a chunk of them holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple


class Item(NamedTuple):
    """One input to score."""

    #: Path relative to the input's root.
    name: str
    #: Bytes; 0 where sizes were not asked for.
    size: int = 0


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """A run of consecutive items, handed to one `run()`."""

    number: int
    #: Paths relative to the input's root.
    items: tuple[str, ...]
    #: Bytes of the items; 0 where sizes were not asked for.
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkInfo:
    """What a chunk of the manifest holds."""

    #: Number of its first mini-batch.
    first: int
    #: Mini-batches.
    count: int
    items: int
    #: Bytes of the items.
    size: int

    @property
    def last(self) -> int:
        """Number of its last mini-batch."""
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a manifest holds in all."""

    mini_batches: int = 0
    items: int = 0
    #: Bytes of the items.
    size: int = 0

    def plus(self, chunk: ChunkInfo) -> Totals:
        """Return the totals with one more chunk."""
        return Totals(
            mini_batches=self.mini_batches + chunk.count, items=self.items + chunk.items, size=self.size + chunk.size
        )


def cut(items: Iterable[Item], size: int, max_bytes: int | None = None, *, first: int = 0) -> Iterator[MiniBatch]:
    """Cut items into mini-batches, as a stream.

    Args:
        items: The items, in order.
        size: Items of a mini-batch; the last one may have fewer.
        max_bytes: Bytes that a mini-batch does not pass; an item that is larger by itself stands alone.
        first: Number of the first mini-batch.

    """
    if max_bytes is None:
        yield from _cut_by_number(iter(items), size, first)
        return
    names: list[str] = []
    number, total = first, 0
    for item in items:
        if names and total + item.size > max_bytes:
            yield MiniBatch(number, tuple(names), total)
            number, names, total = number + 1, [], 0
        names.append(item.name)
        total += item.size
        if len(names) >= size or total >= max_bytes:
            yield MiniBatch(number, tuple(names), total)
            number, names, total = number + 1, [], 0
    if names:
        yield MiniBatch(number, tuple(names), total)


def _cut_by_number(items: Iterator[Item], size: int, number: int) -> Iterator[MiniBatch]:
    while some := list(islice(items, size)):
        names, sizes = zip(*some, strict=True)
        yield MiniBatch(number, names, sum(sizes))
        number += 1


def is_hostile(name: str) -> bool:
    """Return whether an item's name is empty or absolute, or leads out of the input's root."""
    return not name or name.startswith("/") or "\0" in name or ".." in name.split("/")

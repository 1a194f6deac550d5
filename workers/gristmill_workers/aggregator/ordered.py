"""The accepted mini-batches of a job in their order, read from its parts as a stream.

Memory holds the indexes of the parts that overlap at the place where the merge is, and no rows.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gristmill.errors import Corrupt
from gristmill_storage.files import Store
from gristmill_storage.parts import Block, PartReader

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A part, and the mini-batches of it that count."""

    part: str
    ranges: tuple[Range, ...]


class Placed(NamedTuple):
    """A mini-batch's outcome and the part that holds it."""

    block: Block
    reader: PartReader


class _Open:
    """A part that is being read: what of it counts, from its next mini-batch on."""

    def __init__(self, folder: Store, accepted: Accepted) -> None:
        self.reader = PartReader(folder, accepted.part)
        self._blocks = iter(_counting(self.reader.blocks(), accepted.ranges))
        self.next: Block | None = next(self._blocks, None)

    def advance(self) -> None:
        self.next = next(self._blocks, None)


def _counting(blocks: Iterable[Block], ranges: tuple[Range, ...]) -> Iterator[Block]:
    """Yield the blocks that lie in one of the ranges; both are sorted."""
    left = iter(sorted(ranges))
    current = next(left, None)
    for block in blocks:
        while current is not None and current[1] < block.mini_batch:
            current = next(left, None)
        if current is None:
            return
        if current[0] <= block.mini_batch:
            yield block


def in_order(folder: Store, accepted: Iterable[Accepted], *, whole: bool) -> Iterator[Placed]:
    """Yield every accepted mini-batch once, by number.

    Args:
        folder: The job's folder.
        accepted: What counts; parts may come in any order.
        whole: Whether the numbers must run from 0 without a gap (the last one is the caller's to check).

    Raises:
        Corrupt: a mini-batch is missing or counts twice, or a part does not hold what was accepted from it.

    """
    waiting = sorted((item for item in accepted if item.ranges), key=lambda item: min(item.ranges)[0], reverse=True)
    heap: list[tuple[int, int, _Open]] = []
    last, opened = -1, 0
    try:
        while waiting or heap:
            while waiting and (not heap or min(waiting[-1].ranges)[0] <= heap[0][0]):
                opened += 1
                _push(heap, _Open(folder, waiting.pop()), opened)
            if not heap:
                continue
            number, order, part = heap[0]
            if number <= last or (whole and number != last + 1):
                what = "counts twice" if number <= last else f"does not follow {last}: some are missing"
                raise Corrupt(f"{folder.url}: mini-batch {number} (part {part.reader.name}) {what}")
            if part.next is not None:
                yield Placed(part.next, part.reader)
            last = number
            heapq.heappop(heap)
            part.advance()
            _push(heap, part, order)
    finally:
        for _, _, part in heap:
            part.reader.close()


def _push(heap: list[tuple[int, int, _Open]], part: _Open, order: int) -> None:
    if part.next is None:
        part.reader.close()
    else:
        heapq.heappush(heap, (part.next.mini_batch, order, part))

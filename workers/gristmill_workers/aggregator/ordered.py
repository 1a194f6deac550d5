"""The accepted mini-batches of a job in their order, read from its parts as a stream.

Memory holds the indexes of the parts that overlap at the place where the merge is, and no rows. As many overlap as
there were instances. Where parts are elsewhere than on this machine, the next ones are opened meanwhile: each costs
several requests, and hundreds of instances leave thousands of parts.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

from gristmill.errors import Corrupt
from gristmill.log_context import carried
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.parts import Block, PartReader

Range = tuple[int, int]

#: Parts of another machine's storage that are opened at once.
OPENED_AHEAD: Final = 16

#: Bytes of a first block that are read with the part's index, and with them what the store reads ahead.
FIRST_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A part, and the mini-batches of it that count."""

    part: str
    ranges: tuple[Range, ...]


def columns_here(folder: Store, accepted: Iterable[Accepted]) -> set[tuple[str, ...]] | None:
    """Return every list of columns in parts on this machine; None where they are elsewhere: each costs requests."""
    if folder.local_path(job_folder.PARTS) is None:
        return None
    found: set[tuple[str, ...]] = set()
    for each in accepted:
        with PartReader(folder, each.part, blocks=False) as reader:
            found.update(reader.columns)
    return found


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

    def warm(self) -> None:
        """Read the first block that counts, so that the store has read on from there."""
        if self.next is not None and self.next.size <= FIRST_BYTES:
            self.reader.read(self.next)


class _Waiting:
    """Parts that are not open yet, in the order of their first mini-batches that count."""

    def __init__(self, folder: Store, accepted: Iterable[Accepted]) -> None:
        self._folder = folder
        self._parts = sorted((item for item in accepted if item.ranges), key=_first, reverse=True)
        #: Those that are being opened, the next first; they are still among the parts.
        self._ahead: deque[Future[_Open]] = deque()
        here = folder.local_path(job_folder.PARTS) is not None
        self._pool = None if here else ThreadPoolExecutor(OPENED_AHEAD, thread_name_prefix="open")

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def first(self) -> int:
        return _first(self._parts[-1])

    def open(self) -> _Open:
        """Return the next part, open."""
        if self._pool is None:
            return _Open(self._folder, self._parts.pop())
        while len(self._ahead) < min(OPENED_AHEAD, len(self._parts)):
            self._ahead.append(self._pool.submit(carried(self._open), self._parts[-1 - len(self._ahead)]))
        self._parts.pop()
        return self._ahead.popleft().result()

    def _open(self, accepted: Accepted) -> _Open:
        part = _Open(self._folder, accepted)
        try:
            part.warm()
        except BaseException:
            part.reader.close()
            raise
        return part

    def close(self) -> None:
        """Open nothing more, and close what was opened for nothing."""
        if self._pool is None:
            return
        self._pool.shutdown(cancel_futures=True)
        for future in self._ahead:
            if not future.cancelled() and future.exception() is None:
                future.result().reader.close()


def _first(accepted: Accepted) -> int:
    return min(accepted.ranges)[0]


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
    waiting = _Waiting(folder, accepted)
    heap: list[tuple[int, int, _Open]] = []
    last, opened = -1, 0
    try:
        while waiting or heap:
            while waiting and (not heap or waiting.first <= heap[0][0]):
                opened += 1
                _push(heap, waiting.open(), opened)
            if not heap:
                continue
            number, order, part = heap[0]
            if number <= last or (whole and number != last + 1):
                what = "counts twice" if number <= last else f"does not follow {last}: some are missing"
                raise Corrupt(f"{folder.url}: mini-batch {number} (part {part.reader.name}) {what}")
            if part.next is not None:
                yield Placed(part.next, part.reader)
            last = number
            part.advance()
            if part.next is None:
                heapq.heappop(heap)
                part.reader.close()
            else:
                heapq.heapreplace(heap, (part.next.mini_batch, order, part))
    finally:
        waiting.close()
        for _, _, part in heap:
            part.reader.close()


def _push(heap: list[tuple[int, int, _Open]], part: _Open, order: int) -> None:
    if part.next is None:
        part.reader.close()
    else:
        heapq.heappush(heap, (part.next.mini_batch, order, part))

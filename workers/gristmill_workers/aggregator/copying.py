"""Blocks on their way from local parts into the output: the system copies them, and a thread checks them meanwhile.

Blocks that follow one another in a part too are copied as one run. Each is still read once here, to see that it is what
was written: what is published has been checked, but what stands in an unpublished output may not have been yet.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gristmill.errors import StorageFailed
from gristmill_storage.files import Writer
from gristmill_storage.parts import Block, PartReader

#: Bytes at which a run is copied, though more may follow.
_RUN: Final = 8 << 20

#: Bytes that are checked at once: they stay in the processor's cache.
_LOOK: Final = 256 << 10

#: Bytes of a run that is read, checked and written at once.
_SMALL: Final = 64 << 10

#: Runs that may wait to be checked.
_WAITING: Final = 4


@dataclass(kw_only=True)
class _Run:
    """Blocks that follow one another in a part."""

    reader: PartReader
    #: A descriptor of the part, which outlives the reader's.
    descriptor: int
    start: int
    #: Where bytes are read to; no other run is read there at the same time.
    room: memoryview
    size: int = 0
    #: (mini-batch, bytes, crc32) of each.
    blocks: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, mini_batch: int, size: int, crc: int) -> None:
        self.blocks.append((mini_batch, size, crc))
        self.size += size

    def check(self, data: memoryview | None = None) -> None:
        """Compare every block with its crc32; `data` is the whole run, where it is known.

        Raises:
            Corrupt: a block is not what was written.

        """
        place = 0
        for mini_batch, size, crc in self.blocks:
            if data is None:
                found = self.reader.patience.call(partial(self._crc, place, size), of=self.reader.path)
            else:
                found = zlib.crc32(data[place : place + size])
            if found != crc:
                raise self.reader.damaged_rows(mini_batch)
            place += size

    def _crc(self, place: int, size: int) -> int:
        crc, start, end = 0, self.start + place, self.start + place + size
        while start < end and (count := self._read_into(self.room[: end - start], start)):
            crc = zlib.crc32(self.room[:count], crc)
            start += count
        return crc

    def _read_into(self, room: memoryview, start: int) -> int:
        try:
            return os.preadv(self.descriptor, [room], start)
        except OSError as error:
            raise StorageFailed(f"{self.reader.path}: cannot be read: {error.strerror or error}") from error

    def read(self) -> memoryview:
        """Return the run's bytes, which are gone with the next run; fewer, where the part ends before."""
        done = 0
        while done < self.size and (count := self._read_into(self.room[done : self.size], self.start + done)):
            done += count
        return self.room[:done]

    def close(self) -> None:
        os.close(self.descriptor)


class Copier:
    """Copies blocks into a writer, in the order in which they are given."""

    def __init__(self, writer: Writer) -> None:
        """Take the writer."""
        self._writer = writer
        self._run: _Run | None = None
        self._checks: deque[tuple[_Run, Future[None]]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._small, self._large = (memoryview(bytearray(size)) for size in (_SMALL, _LOOK))

    def add(self, reader: PartReader, block: Block) -> bool:
        """Take a block, to be copied soon; False: its part is not on this machine.

        Raises:
            Corrupt: it, or one before it, is not what was written.
            StorageFailed: a part cannot be read, or the writer takes nothing.

        """
        start, size, crc = reader.span(block)
        run = self._run
        if run is None or run.reader is not reader or run.start + run.size != start or run.size >= _RUN:
            self.flush()
            descriptor = reader.duplicate()
            if descriptor is None:
                return False
            run = self._run = _Run(reader=reader, descriptor=descriptor, start=start, room=self._small)
        run.add(block.mini_batch, size, crc)
        return True

    def flush(self) -> None:
        """Copy what was taken."""
        run, self._run = self._run, None
        if run is None:
            return
        if run.size <= _SMALL:
            self._copy_small(run)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="check")
        run.room = self._large
        self._checks.append((run, self._pool.submit(run.check)))
        try:
            self._writer.copy_from(run.descriptor, run.start, run.size)
        except StorageFailed:
            self.settle()  # where the part is damaged, that is what is wrong
            raise
        while len(self._checks) > _WAITING:
            self._await()

    def _copy_small(self, run: _Run) -> None:
        try:
            data = run.reader.patience.call(run.read, of=run.reader.path)
            run.check(data)
        finally:
            run.close()
        self._writer.write(data)

    def _await(self) -> None:
        run, check = self._checks.popleft()
        try:
            check.result()
        finally:
            run.close()

    def settle(self) -> None:
        """Copy what was taken, and wait until all of it is checked.

        Raises:
            Corrupt: a block is not what was written.

        """
        self.flush()
        while self._checks:
            self._await()

    def close(self) -> None:
        """End what is under way; more than once is fine."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for run in [*(run for run, _ in self._checks), *([self._run] if self._run else [])]:
            run.close()
        self._checks.clear()
        self._run = None

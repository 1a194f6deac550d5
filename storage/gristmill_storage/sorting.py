"""Sorting more names than should be in memory: a folder may hold ten million files.

Whoever waits for the first of them need not wait until all are sorted: which are the smallest is known as soon as all
have been seen once.
"""

from __future__ import annotations

import heapq
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Final

#: Names that are sorted in memory at once; more than that are sorted in runs of so many, which wait in a file.
HELD: Final = 120_000
RUN: Final = 50_000

#: How many of the smallest names are there before the others are sorted.
EARLY: Final = 5000

#: Names that are taken at once, and that are written at once.
_BATCH: Final = 10_000
_PAGE: Final = 1000


def in_order(names: Iterable[bytes], *, held: int = HELD, run: int = RUN) -> Iterable[bytes]:
    """Return names sorted by their bytes; none may hold NUL (no file's name can)."""
    source = iter(names)
    batches = iter(lambda: list(itertools.islice(source, min(run, _BATCH))), [])
    return batches_in_order(batches, held=held, run=run)


def batches_in_order(
    batches: Iterable[list[bytes]], *, held: int = HELD, run: int = RUN, early: int = EARLY
) -> Iterable[bytes]:
    """Return names that come in batches, sorted by their bytes; none may hold NUL.

    Where there are more than `held`, the smallest `early` come as soon as all have been seen.
    """
    names: list[bytes] = []
    source = filter(None, batches)
    for batch in source:
        names += batch
        if len(names) > held:
            return _merged(names, source, run, early)
    names.sort()
    return names


def _merged(names: list[bytes], batches: Iterator[list[bytes]], run: int, early: int) -> Iterator[bytes]:
    """Yield names, and those of further batches, in order; `names` is emptied."""
    with tempfile.TemporaryFile() as file:
        smallest = _Smallest(early)
        ends, count = [0], 0
        while names:
            smallest.see(names)
            _put(file, names)
            count += len(names)
            names.clear()
            names += next(batches, [])
            if count >= run or not names:
                ends.append(file.tell())
                count = 0
        first = smallest.names()
        yield from first
        for start, end in itertools.pairwise(ends):
            _sort(file, start, end)
        runs = [_taken(file, start, end) for start, end in itertools.pairwise(ends)]
        yield from itertools.islice(heapq.merge(*runs), len(first), None)


class _Smallest:
    """The smallest of the names that were seen, so many."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._names: list[bytes] = []
        #: A name that as many as are wanted are not greater than, once there are as many.
        self._bound: bytes | None = None

    def see(self, names: list[bytes]) -> None:
        for page in range(0, len(names), self._count):
            bound, some = self._bound, names[page : page + self._count]
            self._names += some if bound is None else [name for name in some if name < bound]
            if len(self._names) > 2 * self._count:
                self._cut()

    def names(self) -> list[bytes]:
        self._cut()
        return self._names

    def _cut(self) -> None:
        self._names.sort()
        del self._names[self._count :]
        if len(self._names) == self._count:
            self._bound = self._names[-1]


def _sort(file: IO[bytes], start: int, end: int) -> None:
    """Sort the names of a run where they lie."""
    file.seek(start)
    names = file.read(end - start).split(b"\0")
    names.pop()
    names.sort()
    file.seek(start)
    _put(file, names)


def _put(file: IO[bytes], names: list[bytes]) -> None:
    for page in range(0, len(names), _PAGE):
        file.write(b"\0".join(names[page : page + _PAGE]) + b"\0")


def _taken(file: IO[bytes], position: int, end: int) -> Iterator[bytes]:
    rest = b""
    while position < end:
        file.seek(position)
        data = file.read(min(end - position, 1 << 14))
        position += len(data)
        *names, rest = (rest + data).split(b"\0")
        yield from names

"""Sorting more names than should be in memory: a folder may hold ten million files.

Whoever waits for the first of them need not wait until all are sorted: which are the smallest is known as soon as all
have been seen once.
"""

from __future__ import annotations

import itertools
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import IO, Final

#: Names that are sorted in memory at once; more than that are sorted in runs of so many, which wait in a file.
HELD: Final = 120_000
RUN: Final = 50_000

#: How many of the smallest names are there before the others are sorted.
EARLY: Final = 5000

#: Names that are taken at once.
_BATCH: Final = 10_000

#: Bytes of a run that are read at once.
_PAGE: Final = 1 << 14


def in_order(names: Iterable[bytes], *, held: int = HELD, run: int = RUN) -> Iterator[bytes]:
    """Yield names sorted by their bytes; none may hold NUL (no file's name can)."""
    source = (name.decode("latin-1") for name in names)
    batches = iter(lambda: list(itertools.islice(source, min(run, _BATCH))), [])
    for page in pages_in_order(batches, held=held, run=run):
        yield from "\0".join(page).encode("latin-1").split(b"\0")


def pages_in_order(
    batches: Iterable[list[str]], *, held: int = HELD, run: int = RUN, early: int = EARLY
) -> Iterator[list[str]]:
    """Yield names that come in batches, sorted, some at a time.

    A name is a text of as many letters as it has bytes (Latin-1), which sorts as these do; none may hold NUL.
    Where there are more than `held`, the smallest `early` come as soon as all have been seen.
    """
    names: list[str] = []
    source = filter(None, batches)
    for batch in source:
        names += batch
        if len(names) > held:
            everything = itertools.chain([names], source)
            del names, batch  # what was written down is held by nobody
            yield from _merged(everything, run, early)
            return
    names.sort()
    if names:
        yield names


def _merged(batches: Iterator[list[str]], run: int, early: int) -> Iterator[list[str]]:
    """Yield the names of batches in order: the smallest, then, once the runs are sorted, the others."""
    with tempfile.TemporaryFile() as file:
        smallest = _Smallest(early)
        ends = [0]
        while texts := list(_texts(batches, smallest, run)):
            file.write("".join(texts).encode("latin-1"))
            ends.append(file.tell())
        first = smallest.names()
        yield first
        for start, end in itertools.pairwise(ends):
            _sort(file, start, end)
        skipped = len(first)
        for page in _merge([_taken(file, start, end) for start, end in itertools.pairwise(ends)]):
            if rest := page[skipped:]:
                yield rest
            skipped = max(0, skipped - len(page))


def _texts(batches: Iterator[list[str]], smallest: _Smallest, run: int) -> Iterator[str]:
    """Yield the names of a run as they are written, each batch while it is warm in the processor's cache."""
    count = 0
    while count < run and (batch := next(batches, None)):
        smallest.see(batch)
        count += len(batch)
        yield "\0".join([*batch, ""])


def _merge(runs: list[Iterator[list[str]]]) -> Iterator[list[str]]:
    """Yield the names of sorted runs in order; of each run one page is in memory."""
    heads = [(page, run) for run in runs if (page := next(run, None))]
    while heads:
        # What is still to be read of any run comes behind this.
        bound = min(page[-1] for page, _ in heads)
        names: list[str] = []
        left = []
        for page, run in heads:
            count = bisect_right(page, bound)
            names += page[:count]
            del page[:count]
            if page or (page := next(run, [])):
                left.append((page, run))
        heads = left
        names.sort()
        yield names


class _Smallest:
    """The smallest of the names that were seen, so many."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._names: list[str] = []
        #: A name that as many as are wanted are not greater than, once there are as many.
        self._bound: str | None = None

    def see(self, names: list[str]) -> None:
        bound = self._bound
        self._names += names if bound is None else [name for name in names if name < bound]
        if len(self._names) > 2 * self._count:
            self._cut()

    def names(self) -> list[str]:
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
    names = file.read(end - start).decode("latin-1").split("\0")
    names.pop()
    names.sort()
    file.seek(start)
    file.write("\0".join([*names, ""]).encode("latin-1"))


def _taken(file: IO[bytes], position: int, end: int) -> Iterator[list[str]]:
    rest = ""
    while position < end:
        file.seek(position)
        data = file.read(min(end - position, _PAGE))
        position += len(data)
        *names, rest = (rest + data.decode("latin-1")).split("\0")
        if names:
            yield names

"""Sorting more names than should be in memory: a folder may hold ten million files.

Whoever waits for the first of them need not wait until all are sorted: which are the smallest is known as soon as all
have been seen once.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import IO, Final

#: Names that are sorted in memory at once; more than that are sorted in runs of so many, which wait in a file.
RUN: Final = 20_000

#: How many of the smallest names are there before the others are sorted.
EARLY: Final = 5000

#: Names of a sorted run that are read at once.
_PAGE: Final = 256


def in_order(names: Iterable[bytes], *, run: int = RUN) -> Iterator[bytes]:
    """Yield names sorted by their bytes; none may hold NUL (no file's name can)."""
    source = iter(names)
    batches = iter(lambda: list(itertools.islice(source, _PAGE)), [])
    for page in pages_in_order((os.fsdecode(b"\0".join(batch)).split("\0") for batch in batches), run=run):
        yield from "\0".join(page).encode("latin-1").split(b"\0")


def pages_in_order(batches: Iterable[list[str]], *, run: int = RUN, early: int = EARLY) -> Iterator[list[str]]:
    """Yield names that come in batches, as the system has them, sorted by their bytes, some at a time.

    A name is then a text of as many letters as it has bytes (Latin-1), which sorts as these do; none may hold NUL.
    Where there are more than `run`, the smallest `early` come as soon as all have been seen.
    """
    names: list[str] = []
    source = filter(None, batches)
    for batch in source:
        names += batch
        if len(names) > run:
            everything = itertools.chain([names], source)
            del names, batch  # what was written down is held by nobody
            yield from _merged(everything, run, early)
            return
    if names:
        names, _ = _sortable(names)
        names.sort()
        yield names


def _sortable(names: list[str]) -> tuple[list[str], str]:
    """Return names as texts of a letter a byte, and all of them joined; those of ASCII are that already."""
    text = "\0".join(names)
    if text.isascii():
        return names, text
    text = os.fsencode(text).decode("latin-1")
    return text.split("\0"), text


def _merged(batches: Iterator[list[str]], run: int, early: int) -> Iterator[list[str]]:
    """Yield the names of batches in order: the smallest, then, once the runs are sorted, the others."""
    with tempfile.TemporaryFile() as file:
        smallest = _Smallest(early)
        ends = list(_written(file, batches, smallest, run))
        yield smallest.take()
        skipped = early
        pages = [page for start, end in itertools.pairwise([0, *ends]) for page in _sort(file, start, end)]
        pages.sort()
        # What is left of a page of each run is sorted again whenever some are read: not too few at a time.
        for names in _merge(file, pages, len(ends) // 4 + 1):
            if rest := names[skipped:]:
                yield rest
            skipped = max(0, skipped - len(names))


def _written(file: IO[bytes], batches: Iterator[list[str]], smallest: _Smallest, run: int) -> Iterator[int]:
    """Write names down, each batch while it is warm in the processor's cache; yield where each run ends."""
    count = 0
    for batch in batches:
        names, text = _sortable(batch)
        smallest.see(names)
        file.write(f"{text}\0".encode("latin-1"))
        count += len(names)
        if count >= run:
            yield file.tell()
            count = 0
    if count:
        yield file.tell()


def _sort(file: IO[bytes], start: int, end: int) -> Iterator[str]:
    """Sort the names of a run where they lie; yield of each page its first name, where it begins and its bytes.

    These are one text, which takes a third of a tuple: a page of ten million names is one of forty thousand.
    """
    names = _read(file, start, end - start)
    names.sort()
    file.seek(start)
    for number in range(0, len(names), _PAGE):
        data = "\0".join([*names[number : number + _PAGE], ""]).encode("latin-1")
        file.write(data)
        yield f"{names[number]}\0{start}\0{len(data)}"
        start += len(data)


def _merge(file: IO[bytes], pages: list[str], count: int) -> Iterator[list[str]]:
    """Yield the names of pages, which come by their first names, in order; so many more are read at a time."""
    names: list[str] = []
    for number in range(0, len(pages), count):
        for page in pages[number : number + count]:
            _, start, size = page.split("\0")
            names += _read(file, int(start), int(size))
        names.sort()
        # What is still to be read comes behind this.
        unread = pages[number + count : number + count + 1]
        ready = bisect_left(names, unread[0].partition("\0")[0]) if unread else len(names)
        yield names[:ready]
        del names[:ready]


def _read(file: IO[bytes], start: int, size: int) -> list[str]:
    file.seek(start)
    names = file.read(size).decode("latin-1").split("\0")
    names.pop()
    return names


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

    def take(self) -> list[str]:
        self._cut()
        names, self._names = self._names, []
        return names

    def _cut(self) -> None:
        self._names.sort()
        del self._names[self._count :]
        if len(self._names) == self._count:
            self._bound = self._names[-1]

"""Sorting more names than should be in memory: a folder may hold ten million files."""

from __future__ import annotations

import heapq
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Final

#: Names that are sorted in memory; more than that are sorted in runs of as many, which wait in a file.
RUN: Final = 200_000

#: Names of a run that are in memory while runs are merged.
_PAGE: Final = 1000


def in_order(names: Iterable[bytes], *, run: int = RUN) -> Iterable[bytes]:
    """Return names sorted by their bytes; none may hold NUL (no file's name can)."""
    source = iter(names)
    first = sorted(itertools.islice(source, run))
    return first if len(first) < run else _merged(first, source, run)


def _merged(first: list[bytes], source: Iterator[bytes], run: int) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as file:
        spans = [_put(file, first)]
        first.clear()
        while names := sorted(itertools.islice(source, run)):
            spans.append(_put(file, names))
        yield from heapq.merge(*(_taken(file, start, end) for start, end in spans))


def _put(file: IO[bytes], names: list[bytes]) -> tuple[int, int]:
    """Write a run; return where it begins and ends."""
    start = file.tell()
    for page in range(0, len(names), _PAGE):
        file.write(b"\0".join(names[page : page + _PAGE]) + b"\0")
    return start, file.tell()


def _taken(file: IO[bytes], position: int, end: int) -> Iterator[bytes]:
    rest = b""
    while position < end:
        file.seek(position)
        data = file.read(min(end - position, 1 << 16))
        position += len(data)
        *names, rest = (rest + data).split(b"\0")
        yield from names

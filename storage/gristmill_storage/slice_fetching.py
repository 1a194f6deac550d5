"""Copies of remote items on this machine where tables are cut: of a slice, only its own bytes are fetched.

The copy of a slice is a file with holes, as long as the table up to there: each byte that was fetched stands where it
stands in the table, so that the slice is read there as it would be read from the table itself. What is fetched besides
is what tells how to read it: a CSV file's header and first row, a Parquet file's end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from gristmill.errors import StorageFailed
from gristmill_storage.fetching import arrive, contained
from gristmill_storage.patient_store import patience_of
from gristmill_storage.slices import Slice, file_of
from gristmill_storage.store import Store, shown

#: Bytes that are asked for at once.
_BLOCK: Final = 8 << 20

#: Bytes at a Parquet file's end that say how long the description before them is, and mark the file.
_PARQUET_TAIL: Final = 8


def fetch_item(store: Store, name: str, folder: Path) -> Path:
    """Copy an item into a folder, under the item's name; return the copy's path. The copy appears whole.

    Raises:
        NotFound: the file is not there (any more).
        StorageFailed: it cannot be read, or is shorter than it was, or this machine's disk does not take it.

    """
    target = contained(folder, name)
    return patience_of(store).call(lambda: arrive(target, lambda place: _write(store, name, place)), of=str(folder))


def _write(store: Store, name: str, place: Path) -> None:
    piece = Slice.of(name)
    if piece is None:
        store.download(file_of(name), place)
        return
    with place.open("xb", buffering=0) as file:
        for start, end in _ranges(store, piece):
            _copy(store, piece.file, start, end, file)


def _ranges(store: Store, piece: Slice) -> Iterator[tuple[int, int]]:
    yield piece.start, piece.end
    if piece.groups is None:
        yield 0, piece.head
        return
    size = store.size(piece.file)
    tail = store.read_range(piece.file, max(0, size - _PARQUET_TAIL), _PARQUET_TAIL)
    yield max(0, size - _PARQUET_TAIL - int.from_bytes(tail[:4], "little")), size


def _copy(store: Store, path: str, start: int, end: int, file: BinaryIO) -> None:
    file.seek(start)
    while start < end:
        data = store.read_range(path, start, min(_BLOCK, end - start))
        if not data:
            raise StorageFailed(f"{store.url}/{shown(path)}: ends at byte {start}, and is shorter than it was")
        file.write(data)
        start += len(data)

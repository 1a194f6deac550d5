"""Parts: finished results made durable by whoever scored them, read by whoever merges or checks them.

The format is in `part_format`.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from gristmill.counts import counted
from gristmill.errors import Corrupt, StorageFailed
from gristmill_storage.job_folder import PARTS, parse_part_name, parse_part_path, part_name, part_path
from gristmill_storage.part_format import (
    MAGIC,
    SEALED,
    TRAILER,
    VERSION,
    Block,
    Blocks,
    Encoding,
    Index,
    Piece,
    Place,
    Places,
    runs,
    trailer_bytes,
)
from gristmill_storage.part_index import IndexedBlocks, columns_of
from gristmill_storage.patient_store import patience_of
from gristmill_storage.store import BLOCK, Bytes, Store, Writer

__all__ = [
    "Block",
    "Blocks",
    "Encoding",
    "PartReader",
    "PartWriter",
    "Piece",
    "list_parts",
    "parse_part_name",
    "part_name",
]

#: Bytes of rows that are gathered before a part's writer is given them.
_PENDING: Final = 64 * 1024

#: Bytes of a block that is read at once.
_SMALL: Final = 64 << 10


class PartWriter:
    """Writes blocks into a part; nobody sees it until it is sealed. Not for several threads at once."""

    def __init__(self, store: Store, name: str) -> None:
        """Take the job folder's store and a name from `part_name`."""
        self.name = name
        self._store = store
        self._writer: Writer | None = None
        #: Rows of small blocks that the writer has not been given yet: a call for each costs more than they do.
        self._pending = bytearray()
        self._index = Index()
        self._numbers: set[int] = set()
        self._errors: list[bytes] = []
        self._errors_size = 0

    def add(self, block: Block, data: bytes | None = None, spool: Path | None = None) -> None:
        """Add a mini-batch's outcome; its rows are in `data` or in the file `spool`, which stays.

        Raises:
            ValueError: the mini-batch is in the part already, or the rows are not `block.size` bytes.
            StorageFailed: the store does not take it.

        """
        found = spool.stat().st_size if spool else len(data or b"")
        if block.mini_batch in self._numbers or found != block.size:
            raise ValueError(
                f"mini-batch {block.mini_batch}: twice in a part, or {found} bytes of rows, not {block.size}"
            )
        writer = self._begun()
        start = writer.tell() + len(self._pending)
        if spool:
            crc = self._append_file(writer, spool, block.size)
        else:
            self._append(writer, data or b"")
            crc = zlib.crc32(data or b"")
        errors = b"".join([json.dumps(error).encode() + b"\n" for error in block.errors]) if block.errors else b""
        self._index.add(block, Place(start, block.size, crc, self._errors_size, len(errors), zlib.crc32(errors)))
        self._errors.append(errors)
        self._errors_size += len(errors)
        self._numbers.add(block.mini_batch)

    def add_all(self, blocks: Blocks, data: bytes) -> None:
        """Add the outcomes of mini-batches, whose rows stand in `data` one behind the other.

        Raises:
            ValueError: a mini-batch is in the part already, or the rows are not `blocks.size` bytes.
            StorageFailed: the store does not take it.

        """
        numbers = set(blocks.mini_batches)
        if len(numbers) < len(blocks.mini_batches) or numbers & self._numbers or len(data) != blocks.size:
            raise ValueError(
                f"mini-batches twice in a part, or {counted(len(data), 'byte')} of rows, not {blocks.size:,}"
            )
        writer = self._begun()
        start, rows, ends = writer.tell() + len(self._pending), memoryview(data), list(accumulate(blocks.sizes))
        crcs = [zlib.crc32(rows[end - size : end]) for end, size in zip(ends, blocks.sizes, strict=True)]
        self._append(writer, data)
        self._index.add_all(blocks, Places(start, crcs, self._errors_size))
        self._numbers |= numbers

    def _begun(self) -> Writer:
        if self._writer is None:
            self._writer = self._store.writer(part_path(self.name))
        return self._writer

    def _append(self, writer: Writer, data: bytes) -> None:
        """Take rows, in order."""
        if len(self._pending) + len(data) > _PENDING:
            self._hand_over(writer)
        if len(data) > _PENDING:
            writer.write(data)
        else:
            self._pending += data

    def _append_file(self, writer: Writer, spool: Path, size: int) -> int:
        self._hand_over(writer)
        return _copy_file(writer, spool, size)

    def _hand_over(self, writer: Writer) -> None:
        if self._pending:
            writer.write(bytes(self._pending))
            self._pending.clear()

    def seal(self) -> None:
        """Make the part durable and visible.

        Raises:
            ValueError: nothing was added.
            AlreadyExists: there is a part of that name.

        """
        if self._writer is None:
            raise ValueError(f"part {self.name} is empty")
        with self._writer as writer:
            self._hand_over(writer)
            rows_end = writer.tell()
            for errors in self._errors:
                writer.write(errors)
            index = self._index.document(rows_end)
            errors_end = writer.tell()
            writer.write(index)
            writer.write(trailer_bytes(rows_end, errors_end, index))
            writer.publish()

    def discard(self) -> None:
        """Leave nothing of the part; after `seal` this does nothing."""
        if self._writer is not None:
            self._writer.close()


def _copy_file(writer: Writer, spool: Path, size: int) -> int:
    crc, left = 0, size
    with spool.open("rb", buffering=0) as file:
        while left and (data := file.read(min(left, BLOCK))):
            crc = zlib.crc32(data, crc)
            left -= writer.write(data)
    if left:
        raise StorageFailed(f"{spool}: ends {counted(left, 'byte')} too early")
    return crc


class PartReader:
    """Reads a part: its index at once, rows and errors when they are asked for. Not for several threads at once."""

    def __init__(self, store: Store, name: str, *, blocks: bool = True) -> None:
        """Open a part of the job folder's store; without `blocks`, only their `columns` are known.

        Raises:
            NotFound: there is none of that name.
            Corrupt: its trailer or index is damaged.

        """
        self.name = name
        #: Every list of columns that some of its blocks have.
        self.columns: list[tuple[str, ...]] = []
        self._blocks = IndexedBlocks()
        #: What large blocks are read into, once there is one.
        self._room: memoryview | None = None
        #: Its address, for messages.
        self.path = f"{store.url}/{part_path(name)}"
        #: How long its store is waited for.
        self.patience = patience_of(store)
        self._file = store.open(part_path(name))
        try:
            self._read_index(blocks=blocks)
        except BaseException:
            self._file.close()
            raise

    def blocks(self) -> Sequence[Block]:
        """Return the blocks sorted by mini-batch, from the index alone: their `errors` are empty."""
        return self._blocks

    def ranges(self) -> list[tuple[int, int]]:
        """Return the runs of mini-batches in the part, (first, last) each."""
        return list(runs([block.mini_batch for block in self._blocks]))

    def read(self, block: Block) -> bytes:
        """Return a block's rows.

        Raises:
            Corrupt: the bytes are not those that were written.

        """
        place = self._blocks.place(block.mini_batch)
        return self._bytes(place.start, place.size, place.crc, f"the rows of mini-batch {block.mini_batch}")

    def errors(self, block: Block) -> list[dict[str, Any]]:
        """Return a block's errors.

        Raises:
            Corrupt: the bytes are not those that were written.

        """
        place = self._blocks.place(block.mini_batch)
        if not place.errors_size:
            return []
        what = f"the errors of mini-batch {block.mini_batch}"
        data = self._bytes(place.errors_start, place.errors_size, place.errors_crc, what)
        return [json.loads(line) for line in data.splitlines()]

    def copy(self, block: Block, writer: Writer, *, verify: bool = True) -> int:
        """Append a block's rows to a writer, with flat memory; return their crc32 as it was written down.

        Args:
            block: One of `blocks`.
            writer: Where the rows go.
            verify: Whether the bytes pass through here to be checked; if not, a local store copies them in the kernel.

        Raises:
            Corrupt: the bytes are not those that were written; some of them may be in the writer, so discard it.

        """
        place = self._blocks.place(block.mini_batch)
        if verify:
            self._stream(place, block.mini_batch, writer.write)
        else:
            writer.copy_from(self._file, place.start, place.size)
        return place.crc

    def span(self, block: Block) -> tuple[int, int, int]:
        """Return where a block's rows begin in the part, their bytes, and their crc32."""
        place = self._blocks.place(block.mini_batch)
        return place.start, place.size, place.crc

    def duplicate(self) -> int | None:
        """Return a descriptor of the part's file, to be closed by the caller; None where it is elsewhere."""
        try:
            return os.dup(self._file.fileno())
        except OSError:
            return None

    def verify(self) -> None:
        """Read all of the part.

        Raises:
            Corrupt: something in it is not what was written.

        """
        for block in self._blocks:
            self.errors(block)
            self._stream(self._blocks.place(block.mini_batch), block.mini_batch, len)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def _stream(self, place: Place, mini_batch: int, take: Callable[[Bytes], int]) -> None:
        """Hand on a block's rows in pieces, which are gone when `take` returns, then check them."""
        crc, left = 0, place.size
        self._file.seek(place.start)
        if left <= _SMALL:
            data = self._file.read(left)
            crc, left = zlib.crc32(data), left - take(data)
        elif self._room is None:
            self._room = memoryview(bytearray(BLOCK))
        while left and (count := self._file.readinto(self._room[:left])):  # type: ignore[attr-defined,index]
            piece = self._room[:count]  # type: ignore[index]
            crc = zlib.crc32(piece, crc)
            left -= take(piece)
        if left or crc != place.crc:
            raise self.damaged_rows(mini_batch)

    def _bytes(self, start: int, size: int, crc: int, what: str) -> bytes:
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) != size or zlib.crc32(data) != crc:
            raise self._damaged(f"{what} are not those that were written")
        return data

    def _damaged(self, what: str) -> Corrupt:
        return Corrupt(f"{self.path}: {what}")

    def damaged_rows(self, mini_batch: int) -> Corrupt:
        """Return what is to be raised where a block's rows are not those that were written."""
        return self._damaged(f"the rows of mini-batch {mini_batch} are not those that were written")

    def _read_index(self, *, blocks: bool) -> None:
        size = self._file.seek(0, 2)
        if size < TRAILER.size:
            raise self._damaged(f"truncated: {counted(size, 'byte')}, less than a trailer")
        self._file.seek(size - TRAILER.size)
        trailer = self._file.read(TRAILER.size)
        rows_end, errors_end, index_end, length, crc, version, sealed, zero, magic = TRAILER.unpack(trailer)
        if magic != MAGIC or zero:
            raise self._damaged("truncated, or no part: it does not end with a part's trailer")
        if zlib.crc32(trailer[: SEALED.size]) != sealed:
            raise self._damaged("the trailer is not the one that was written")
        if version != VERSION:
            raise self._damaged(f"version {version}: this Gristmill reads version {VERSION}")
        if index_end + TRAILER.size != size or errors_end + length != index_end or rows_end > errors_end:
            raise self._damaged(
                f"truncated, or longer than it was: {counted(size, 'byte')}, {index_end + TRAILER.size:,} written"
            )
        self._parse(self._bytes(errors_end, length, crc, "the bytes of the index"), blocks=blocks)

    def _parse(self, index: bytes, *, blocks: bool) -> None:
        try:
            self.columns = columns_of(index)
            if blocks:
                self._blocks = IndexedBlocks(index)
        except (LookupError, OverflowError, TypeError, ValueError) as error:
            raise self._damaged(f"the index says what cannot be: {type(error).__name__}: {error}") from error


def list_parts(store: Store) -> Iterator[str]:
    """Yield the names of the parts in a job's folder, sorted."""
    for entry in store.list(PARTS):
        name = parse_part_path(entry.path)
        if name:
            yield name

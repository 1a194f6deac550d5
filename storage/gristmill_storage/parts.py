"""Parts: files of finished results, each holding many mini-batches with an index of what is in it.

A part is, from its first byte to its last:

    rows       the rows' bytes of each block, one block after the other, in the order in which they were added; they
               are already in the output's format, so that merging copies and does not parse
    errors     each block's errors as JSON lines, one block after the other
    index      one JSON object: {"columns": [[name, ...], ...], "blocks": [[...], ...]}; a block's fields are named by
               `_FIELDS`, its columns are a number in the list of columns (or null)
    trailer    56 bytes, little endian: where rows, errors and index end (u64 each), the index' length (u64), crc32
               of the index (u32), version (u32), crc32 of the trailer up to here (u32), 4 bytes of zero, magic (8)

Each block's rows and errors have a crc32 in the index. So a part that was cut short, or in which a byte was flipped, is
noticed by whoever reads that byte. A part appears whole or not at all, and is never changed.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from gristmill.errors import Corrupt, StorageFailed
from gristmill_storage.job_folder import PARTS, parse_part_name, parse_part_path, part_name, part_path
from gristmill_storage.store import BLOCK, Store, Writer

__all__ = ["Block", "Encoding", "PartInfo", "PartReader", "PartWriter", "list_parts", "parse_part_name", "part_name"]

#: How a block's rows are written; "none": it has no rows' bytes.
Encoding: TypeAlias = Literal["text", "csv", "jsonl", "arrow", "none"]

#: Version of the format that is written; a reader refuses any other.
VERSION: Final = 1

_MAGIC: Final = b"GRISTPRT"
_TRAILER: Final = struct.Struct("<QQQQIIII8s")
_SEALED: Final = struct.Struct("<QQQQII")

#: The fields of a block in the index, in order.
_FIELDS: Final = (
    "mini_batch", "attempt", "items", "succeeded", "failed", "rows", "seconds", "encoding", "columns",
    "start", "size", "crc", "errors_start", "errors_size", "errors_crc", "files",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The outcome of one mini-batch."""

    mini_batch: int
    #: Which attempt at the mini-batch this is, from 1.
    attempt: int
    items: int
    succeeded: int
    failed: int
    rows: int
    #: Seconds that run() took.
    seconds: float
    encoding: Encoding = "none"
    #: Names of the rows' columns; None where rows have none.
    columns: tuple[str, ...] | None = None
    #: Bytes of the rows.
    size: int = 0
    #: Errors, as the scorer's protocol describes them; empty in a reader's blocks: `PartReader.errors` reads them.
    errors: tuple[dict[str, Any], ...] = ()
    #: Relative paths of the files that the script wrote; they lie in `job_folder.files_folder(part, mini_batch)`.
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartInfo:
    """What a sealed part holds."""

    name: str
    #: Mini-batches.
    blocks: int
    #: Runs of mini-batches, (first, last) each.
    ranges: tuple[tuple[int, int], ...]
    items: int
    succeeded: int
    failed: int
    rows: int
    #: Bytes of the file.
    size: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a block's bytes are."""

    start: int
    size: int
    crc: int
    errors_start: int
    errors_size: int
    errors_crc: int


class PartWriter:
    """Writes blocks into a part; nobody sees it until it is sealed. Not for several threads at once."""

    def __init__(self, store: Store, name: str) -> None:
        """Take the job folder's store and a name from `part_name`."""
        self.name = name
        self._store = store
        self._writer: Writer | None = None
        self._blocks: list[Block] = []
        self._places: list[_Place] = []
        self._numbers: set[int] = set()
        self._errors: list[bytes] = []
        self._errors_size = 0

    @property
    def size(self) -> int:
        """Bytes of rows and errors so far."""
        return self._rows_size + self._errors_size

    @property
    def first(self) -> int | None:
        """The least mini-batch so far; None while there is none."""
        return min(self._numbers, default=None)

    @property
    def _rows_size(self) -> int:
        return self._writer.tell() if self._writer else 0

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
        if self._writer is None:
            self._writer = self._store.writer(part_path(self.name))
        start = self._writer.tell()
        crc = _append_file(self._writer, spool, block.size) if spool else _append(self._writer, data or b"")
        errors = b"".join(json.dumps(error).encode() + b"\n" for error in block.errors)
        self._places.append(_Place(start, block.size, crc, self._errors_size, len(errors), zlib.crc32(errors)))
        self._errors.append(errors)
        self._errors_size += len(errors)
        self._blocks.append(block)
        self._numbers.add(block.mini_batch)

    def seal(self) -> PartInfo:
        """Make the part durable and visible; return what it holds.

        Raises:
            ValueError: nothing was added.
            AlreadyExists: there is a part of that name.

        """
        if self._writer is None:
            raise ValueError(f"part {self.name} is empty")
        with self._writer as writer:
            rows_end = writer.tell()
            for errors in self._errors:
                writer.write(errors)
            index = _index(self._blocks, self._places, rows_end)
            errors_end = writer.tell()
            writer.write(index)
            writer.write(_trailer(rows_end, errors_end, index))
            size = writer.tell()
            writer.publish()
        return _info(self.name, self._blocks, size)

    def discard(self) -> None:
        """Leave nothing of the part; after `seal` this does nothing."""
        if self._writer is not None:
            self._writer.close()


def _append(writer: Writer, data: bytes) -> int:
    writer.write(data)
    return zlib.crc32(data)


def _append_file(writer: Writer, spool: Path, size: int) -> int:
    crc, left = 0, size
    with spool.open("rb", buffering=0) as file:
        while left and (data := file.read(min(left, BLOCK))):
            crc = zlib.crc32(data, crc)
            left -= writer.write(data)
    if left:
        raise StorageFailed(f"{spool}: ends {left} bytes too early")
    return crc


def _index(blocks: list[Block], places: list[_Place], rows_end: int) -> bytes:
    columns: dict[tuple[str, ...], int] = {}
    lines = []
    for block, place in zip(blocks, places, strict=True):
        number = None if block.columns is None else columns.setdefault(block.columns, len(columns))
        lines.append((
            block.mini_batch, block.attempt, block.items, block.succeeded, block.failed, block.rows,
            round(block.seconds, 6), block.encoding, number, place.start, place.size, place.crc,
            rows_end + place.errors_start, place.errors_size, place.errors_crc, block.files,
        ))  # fmt: skip
    return json.dumps({"columns": list(columns), "blocks": lines}, separators=(",", ":")).encode("ascii")


def _trailer(rows_end: int, errors_end: int, index: bytes) -> bytes:
    sealed = _SEALED.pack(rows_end, errors_end, errors_end + len(index), len(index), zlib.crc32(index), VERSION)
    return sealed + struct.pack("<II8s", zlib.crc32(sealed), 0, _MAGIC)


def _info(name: str, blocks: list[Block], size: int) -> PartInfo:
    return PartInfo(
        name=name,
        blocks=len(blocks),
        ranges=tuple(_ranges(sorted(block.mini_batch for block in blocks))),
        items=sum(block.items for block in blocks),
        succeeded=sum(block.succeeded for block in blocks),
        failed=sum(block.failed for block in blocks),
        rows=sum(block.rows for block in blocks),
        size=size,
    )


def _ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of sorted numbers, (first, last) each."""
    first = previous = None
    for number in numbers:
        if first is None or previous is None:
            first = number
        elif number != previous + 1:
            yield first, previous
            first = number
        previous = number
    if first is not None and previous is not None:
        yield first, previous


class PartReader:
    """Reads a part: its index at once, rows and errors when they are asked for. Not for several threads at once."""

    def __init__(self, store: Store, name: str) -> None:
        """Open a part of the job folder's store.

        Raises:
            NotFound: there is none of that name.
            Corrupt: its trailer or index is damaged.

        """
        self.name = name
        self._path = f"{store.url}/{part_path(name)}"
        self._file = store.open(part_path(name))
        try:
            self._read_index()
        except BaseException:
            self._file.close()
            raise

    def blocks(self) -> list[Block]:
        """Return the blocks sorted by mini-batch, from the index alone: their `errors` are empty."""
        return self._blocks

    def ranges(self) -> list[tuple[int, int]]:
        """Return the runs of mini-batches in the part, (first, last) each."""
        return list(_ranges([block.mini_batch for block in self._blocks]))

    def read(self, block: Block) -> bytes:
        """Return a block's rows.

        Raises:
            Corrupt: the bytes are not those that were written.

        """
        place = self._place(block.mini_batch)
        return self._bytes(place.start, place.size, place.crc, f"the rows of mini-batch {block.mini_batch}")

    def errors(self, block: Block) -> list[dict[str, Any]]:
        """Return a block's errors.

        Raises:
            Corrupt: the bytes are not those that were written.

        """
        place = self._place(block.mini_batch)
        what = f"the errors of mini-batch {block.mini_batch}"
        data = self._bytes(place.errors_start, place.errors_size, place.errors_crc, what)
        return [json.loads(line) for line in data.splitlines()]

    def copy(self, block: Block, writer: Writer, *, verify: bool = True) -> None:
        """Append a block's rows to a writer, with flat memory.

        Args:
            block: One of `blocks`.
            writer: Where the rows go.
            verify: Whether the bytes pass through here to be checked; if not, a local store copies them in the kernel.

        Raises:
            Corrupt: the bytes are not those that were written; some of them may be in the writer, so discard it.

        """
        place = self._place(block.mini_batch)
        if not verify:
            writer.copy_from(self._file, place.start, place.size)
            return
        crc, left = 0, place.size
        self._file.seek(place.start)
        while left and (data := self._file.read(min(left, BLOCK))):
            crc = zlib.crc32(data, crc)
            left -= writer.write(data)
        if left or crc != place.crc:
            raise self._damaged(f"the rows of mini-batch {block.mini_batch} are not those that were written")

    def verify(self) -> None:
        """Read all of the part.

        Raises:
            Corrupt: something in it is not what was written.

        """
        for block in self._blocks:
            self.errors(block)
            place = self._place(block.mini_batch)
            self._check_rows(place, block.mini_batch)

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

    def _check_rows(self, place: _Place, mini_batch: int) -> None:
        crc, left = 0, place.size
        self._file.seek(place.start)
        while left and (data := self._file.read(min(left, BLOCK))):
            crc = zlib.crc32(data, crc)
            left -= len(data)
        if left or crc != place.crc:
            raise self._damaged(f"the rows of mini-batch {mini_batch} are not those that were written")

    def _bytes(self, start: int, size: int, crc: int, what: str) -> bytes:
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) != size or zlib.crc32(data) != crc:
            raise self._damaged(f"{what} are not those that were written")
        return data

    def _damaged(self, what: str) -> Corrupt:
        return Corrupt(f"{self._path}: {what}")

    def _read_index(self) -> None:
        size = self._file.seek(0, 2)
        if size < _TRAILER.size:
            raise self._damaged(f"truncated: {size} bytes are less than a trailer")
        self._file.seek(size - _TRAILER.size)
        trailer = self._file.read(_TRAILER.size)
        rows_end, errors_end, index_end, length, crc, version, sealed, zero, magic = _TRAILER.unpack(trailer)
        if magic != _MAGIC or zero:
            raise self._damaged("truncated, or no part: it does not end with a part's trailer")
        if zlib.crc32(trailer[: _SEALED.size]) != sealed:
            raise self._damaged("the trailer is not the one that was written")
        if version != VERSION:
            raise self._damaged(f"version {version}: this Gristmill reads version {VERSION}")
        if index_end + _TRAILER.size != size or errors_end + length != index_end or rows_end > errors_end:
            raise self._damaged(f"truncated, or longer than it was: {size} bytes, {index_end + _TRAILER.size} written")
        self._parse(self._bytes(errors_end, length, crc, "the bytes of the index"))

    def _parse(self, index: bytes) -> None:
        document = json.loads(index)
        columns = [tuple(names) for names in document["columns"]]
        lines = sorted(document["blocks"])
        self._blocks = [_block(line, columns) for line in lines]
        self._lines = {line[0]: line for line in lines}

    def _place(self, mini_batch: int) -> _Place:
        return _Place(*self._lines[mini_batch][9:15])


def _block(line: list[Any], columns: list[tuple[str, ...]]) -> Block:
    return Block(
        mini_batch=line[0],
        attempt=line[1],
        items=line[2],
        succeeded=line[3],
        failed=line[4],
        rows=line[5],
        seconds=line[6],
        encoding=line[7],
        columns=None if line[8] is None else columns[line[8]],
        size=line[10],
        files=tuple(line[15]),
    )


def list_parts(store: Store) -> Iterator[str]:
    """Yield the names of the parts in a job's folder, sorted."""
    for entry in store.list(PARTS):
        name = parse_part_path(entry.path)
        if name:
            yield name

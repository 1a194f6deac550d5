"""The output's index: which bytes (or, in Parquet, rows) of the published output are which mini-batch's.

The parts go when a job is complete; this stays, and `verify` and `retry-failed` live on it. It is a file of JSON
lines, ASCII, written and read as a stream:

    {"index": 1, "job": ..., "format": ..., "output": ..., "columns": ..., "header": bytes, "crc": crc, "whole": ...}
    [mini-batch, items, succeeded, failed, rows, bytes, crc]
    [mini-batch, items, succeeded, failed, rows, bytes, crc, [[items, succeeded, rows, bytes], ...]]    with pieces
    ["segment", first mini-batch, last mini-batch, bytes, crc]       Parquet alone: a run of the file's bytes
    ["file", path, crc, [[mini-batch, bytes], ...]]                  a file that scripts wrote
    ["end", mini-batches, bytes of the output, crc of the output, crc of all up to here]

The first line says where the rows begin. From there each mini-batch's bytes follow those of the one before, so only
their length is written. A crc is the crc32 of the output *from its first byte to the end of* that mini-batch: the
next one goes on from it, and the last one is the whole output's. A mini-batch's own bytes are checked by going on
from the crc before it. In Parquet, mini-batches have rows and no bytes; the file's bytes are checked by segment.

While an output is being replaced, the index to come lies beside the present one under `NEXT`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Self

from gristmill.errors import Corrupt, NotFound
from gristmill_storage.job_folder import INDEX, INDEX_NEXT
from gristmill_storage.part_format import Piece
from gristmill_storage.store import BLOCK, Store

#: Version of the format that is written; a reader refuses any other.
VERSION: Final = 1

#: Where the index of an output lies that is about to appear.
NEXT: Final = INDEX_NEXT

#: What `json.dumps` does, without its overhead a call.
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode

#: And what `json.loads` does.
_DECODE: Final = json.JSONDecoder().decode

#: Lines that are written at once.
_BATCH: Final = 512

#: Bytes at the file's end that hold its last line.
_TAIL: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an index is about."""

    job: str
    #: The output's format, a `RowFormat`.
    format: str
    #: The output's name in its folder; None where there are written files alone.
    output: str | None
    #: The columns that the output's first line names; None where it has no such line.
    columns: tuple[str, ...] | None = None
    #: Bytes of that line.
    size: int = 0
    #: crc32 of that line.
    crc: int = 0
    #: Whether every mini-batch of the job is in it; of a job that was cancelled, only the finished ones are.
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the output holds of one mini-batch."""

    mini_batch: int
    items: int
    succeeded: int
    failed: int
    rows: int
    #: Bytes in the output; 0 in Parquet.
    size: int = 0
    #: crc32 of the output up to its end; 0 in Parquet.
    crc: int = 0
    #: Where items were scored apart: the pieces in order, with their bytes in the output. Empty: one piece.
    pieces: tuple[Piece, ...] = ()

    def units(self) -> tuple[Piece, ...]:
        """Return the pieces, or the whole mini-batch as the one piece that it is."""
        whole = Piece(items=self.items, succeeded=self.succeeded, rows=self.rows, size=self.size)
        return self.pieces or (whole,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of a Parquet file's bytes, and the mini-batches that were written meanwhile."""

    first: int
    last: int
    size: int
    #: crc32 of the output up to its end.
    crc: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file that scripts wrote."""

    #: Path in the output folder.
    name: str
    #: crc32 of all its bytes.
    crc: int
    #: (mini-batch, bytes) of what each wrote, in the file's order.
    sources: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return sum(size for _, size in self.sources)


class IndexWriter:
    """Writes an index; nobody sees it until it is published."""

    def __init__(self, store: Store, path: str, header: Header) -> None:
        """Take the job's folder, the index's path in it, and what it is about."""
        self._writer = store.writer(path, overwrite=True)
        self._lines: list[str] = []
        self._crc = 0
        self._records = 0
        document = {
            "index": VERSION, "job": header.job, "format": header.format, "output": header.output,
            "columns": header.columns, "header": header.size, "crc": header.crc, "whole": header.whole,
        }  # fmt: skip
        self._add(document)

    def record(self, record: Record) -> None:
        """Take the next mini-batch."""
        self._records += 1
        line = (
            f"[{record.mini_batch},{record.items},{record.succeeded},{record.failed},{record.rows},"
            f"{record.size},{record.crc}"
        )
        pieces = [(piece.items, piece.succeeded, piece.rows, piece.size) for piece in record.pieces]
        self._put(f"{line},{_ENCODE(pieces)}]" if pieces else f"{line}]")

    def segment(self, segment: Segment) -> None:
        """Take the next run of a Parquet file's bytes."""
        self._add(["segment", segment.first, segment.last, segment.size, segment.crc])

    def file(self, file: WrittenFile) -> None:
        """Take a written file."""
        self._add(["file", file.name, file.crc, file.sources])

    def publish(self, *, size: int, crc: int) -> None:
        """Seal the index with the output's size and crc32, and make it appear, durable."""
        self._flush()
        end = f'["end",{self._records},{size},{crc},'.encode("ascii")
        self._writer.write(end + f"{zlib.crc32(end, self._crc)}]\n".encode("ascii"))
        self._writer.publish()

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Discard what was not published."""
        self._writer.close()

    def _add(self, line: object) -> None:
        self._put(_ENCODE(line))

    def _put(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._lines:
            data = ("\n".join(self._lines) + "\n").encode("ascii")
            self._crc = zlib.crc32(data, self._crc)
            self._writer.write(data)
            self._lines = []


class IndexReader:
    """Reads an index, as often as it is asked to; nothing of it stays in memory."""

    def __init__(self, store: Store, path: str = INDEX) -> None:
        """Open an index of a job's folder, and read through it once to see that it is whole.

        Raises:
            NotFound: there is none.
            Corrupt: it is damaged, or of another version.

        """
        self._store = store
        self._path = path
        with store.open(path) as file:
            try:
                self._check(file)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                raise self._damaged(f"not an index that was written ({error})") from None

    #: What the index is about.
    header: Header
    #: Mini-batches in it.
    mini_batches: int
    #: Bytes of the output.
    size: int
    #: crc32 of the output.
    crc: int

    def records(self) -> Iterator[Record]:
        """Yield what the output holds of each mini-batch, in order."""
        for line in self._lines(named=False):
            yield _record(line)

    def segments(self) -> Iterator[Segment]:
        """Yield the runs of a Parquet file's bytes, in order."""
        for line in self._lines(named=True):
            if line[0] == "segment":
                yield Segment(first=line[1], last=line[2], size=line[3], crc=line[4])

    def files(self) -> Iterator[WrittenFile]:
        """Yield the files that scripts wrote."""
        for line in self._lines(named=True):
            if line[0] == "file":
                yield WrittenFile(name=line[1], crc=line[2], sources=tuple((n, size) for n, size in line[3]))

    def _lines(self, *, named: bool) -> Iterator[list[Any]]:
        """Yield the lines that begin with a word, or those that begin with a number; the others are not parsed."""
        with self._store.open(self._path) as file:
            file.readline()
            for line in file:
                if line.startswith(b'["') is named:
                    yield _DECODE(line.decode("ascii"))

    def _check(self, file: BinaryIO) -> None:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
        cut = tail.rfind(b"\n", 0, -1) + 1
        if not tail.endswith(b"\n") or not cut:
            raise self._damaged("truncated: it does not end with a whole line")
        word, self.mini_batches, self.size, self.crc, sealed = json.loads(tail[cut:])
        if word != "end":
            raise self._damaged("truncated: its last line is not its end")
        if stream_crc(file, size - len(tail) + tail.rindex(b",") + 1) != sealed:
            raise self._damaged("its bytes are not those that were written")
        file.seek(0)
        first = json.loads(file.readline())
        if first["index"] != VERSION:
            raise self._damaged(f"version {first['index']}: this Gristmill reads version {VERSION}")
        self.header = Header(
            job=first["job"],
            format=first["format"],
            output=first["output"],
            columns=None if first["columns"] is None else tuple(first["columns"]),
            size=first["header"],
            crc=first["crc"],
            whole=first["whole"],
        )

    def _damaged(self, what: str) -> Corrupt:
        return Corrupt(f"{self._store.url}/{self._path}: {what}")


def _record(line: list[Any]) -> Record:
    pieces = line[7] if len(line) > 7 else ()  # noqa: PLR2004 - the fields before are in every record
    return Record(
        mini_batch=line[0],
        items=line[1],
        succeeded=line[2],
        failed=line[3],
        rows=line[4],
        size=line[5],
        crc=line[6],
        pieces=tuple(
            Piece(items=items, succeeded=succeeded, rows=rows, size=size) for items, succeeded, rows, size in pieces
        ),
    )


def stream_crc(file: BinaryIO, length: int) -> int:
    """Return the crc32 of a stream's first bytes, with flat memory."""
    file.seek(0)
    crc = 0
    while length and (data := file.read(min(length, BLOCK))):
        crc = zlib.crc32(data, crc)
        length -= len(data)
    return crc


def fingerprint(store: Store, path: str) -> tuple[int, int] | None:
    """Return (bytes, crc32) of a file; None where there is none. It is read whole, with flat memory."""
    try:
        with store.open(path) as file:
            size = file.seek(0, 2)
            return size, stream_crc(file, size)
    except NotFound:
        return None


def settle(folder: Store) -> None:
    """Put the index that was to come in the present one's place; doing it again, or two at once, is fine."""
    copy(folder, NEXT, folder, INDEX)
    folder.delete(NEXT)


def copy(source: Store, path: str, destination: Store, place: str) -> None:
    """Copy a file over another, atomically; a source that is gone was copied by somebody who was faster.

    Raises:
        NotFound: neither file is there.

    """
    try:
        with source.open(path) as file, destination.writer(place, overwrite=True) as writer:
            writer.copy_from(file, 0, file.seek(0, 2))
            writer.publish()
    except NotFound:
        if not destination.exists(place):
            raise

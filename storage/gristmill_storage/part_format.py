"""The format of a part: a file of finished results of many mini-batches, with an index of what is in it.

A part is, from its first byte to its last:

    rows       the rows' bytes of each block, one block after the other, in the order in which they were added; they
               are already in the output's format, so that merging copies and does not parse
    errors     each block's errors as JSON lines, one block after the other
    index      one JSON object: {"fields": [name, ...], "columns": [[name, ...], ...], "blocks": [[...], ...]}; a block
               has `FIELDS` in their order, its columns are a number in the list of columns (or null), its pieces are
               [items, succeeded, rows, bytes, columns] each
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
from typing import Any, Final, Literal, TypeAlias, get_args

#: How a block's rows are written; "none": it has no rows' bytes.
Encoding: TypeAlias = Literal["text", "csv", "jsonl", "arrow", "none"]

#: All of them.
ENCODINGS: Final = frozenset(get_args(Encoding))

#: Version of the format that is written; a reader refuses any other.
VERSION: Final = 2

MAGIC: Final = b"GRISTPRT"
TRAILER: Final = struct.Struct("<QQQQIIII8s")
SEALED: Final = struct.Struct("<QQQQII")

#: The fields of a block in the index, in order.
FIELDS: Final = (
    "mini_batch", "attempt", "items", "succeeded", "failed", "rows", "seconds", "encoding", "columns",
    "start", "size", "crc", "errors_start", "errors_size", "errors_crc", "files", "pieces", "runs",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A run of a mini-batch's items whose rows stand together, apart from those of its other items."""

    #: How many items, in the mini-batch's order.
    items: int
    #: How many of them succeeded: all or none, unless run() gave fewer results than it had items.
    succeeded: int
    rows: int
    #: Bytes of its rows.
    size: int
    #: Names of its rows' columns; None where rows have none.
    columns: tuple[str, ...] | None = None


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
    #: Where items were scored apart: the pieces in order, which together have the block's items, rows and bytes; each
    #: has its rows whole in the block's encoding (an Arrow stream of its own). Empty: the block is of one piece.
    pieces: tuple[Piece, ...] = ()
    #: How often run() was called for the attempt: more than once where items were scored apart.
    runs: int = 1


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
class Place:
    """Where a block's bytes are."""

    start: int
    size: int
    crc: int
    errors_start: int
    errors_size: int
    errors_crc: int


def index_bytes(blocks: list[Block], places: list[Place], rows_end: int) -> bytes:
    """Return the index; `rows_end` is where the errors begin."""
    columns: dict[tuple[str, ...], int] = {}
    lines = []
    for block, place in zip(blocks, places, strict=True):
        number = _number(block.columns, columns)
        pieces = [(p.items, p.succeeded, p.rows, p.size, _number(p.columns, columns)) for p in block.pieces]
        lines.append((
            block.mini_batch, block.attempt, block.items, block.succeeded, block.failed, block.rows,
            round(block.seconds, 6), block.encoding, number, place.start, place.size, place.crc,
            rows_end + place.errors_start, place.errors_size, place.errors_crc, block.files, pieces, block.runs,
        ))  # fmt: skip
    return json.dumps({"fields": FIELDS, "columns": list(columns), "blocks": lines}, separators=(",", ":")).encode(
        "ascii"
    )


def _number(names: tuple[str, ...] | None, columns: dict[tuple[str, ...], int]) -> int | None:
    """Return the number of columns in the list of all; they get the next one when they are new."""
    return None if names is None else columns.setdefault(names, len(columns))


def trailer_bytes(rows_end: int, errors_end: int, index: bytes) -> bytes:
    """Return the trailer of a part with this index."""
    sealed = SEALED.pack(rows_end, errors_end, errors_end + len(index), len(index), zlib.crc32(index), VERSION)
    return sealed + struct.pack("<II8s", zlib.crc32(sealed), 0, MAGIC)


def part_info(name: str, blocks: list[Block], size: int) -> PartInfo:
    """Return what a part of `size` bytes with these blocks holds."""
    return PartInfo(
        name=name,
        blocks=len(blocks),
        ranges=tuple(runs(sorted(block.mini_batch for block in blocks))),
        items=sum(block.items for block in blocks),
        succeeded=sum(block.succeeded for block in blocks),
        failed=sum(block.failed for block in blocks),
        rows=sum(block.rows for block in blocks),
        size=size,
    )


def runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
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


def block_of(line: list[Any], columns: list[tuple[str, ...]]) -> Block:
    """Return the block of a line of the index.

    Raises:
        LookupError, TypeError, ValueError: the line is of no block.

    """
    mini_batch, _, items, succeeded, failed, rows, _, encoding, *_ = line
    if min(mini_batch, items, succeeded, failed, rows, *line[9:15]) < 0 or encoding not in ENCODINGS:
        raise ValueError(f"mini-batch {mini_batch}: counts or places below 0, or an unknown encoding")
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
        pieces=tuple(
            Piece(items=items, succeeded=good, rows=rows, size=size, columns=None if at is None else columns[at])
            for items, good, rows, size, at in line[16]
        ),
        runs=line[17],
    )

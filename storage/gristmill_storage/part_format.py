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
from itertools import accumulate, chain
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


#: What stands in the index for where errors begin, until that is known: no JSON holds a NUL.
_ERRORS: Final = "\0"


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
class Blocks:
    """The outcomes of mini-batches of which all items succeeded and nothing but rows came, by column.

    All lists are as long; the rows of all are in one encoding and have the same columns.
    """

    mini_batches: list[int]
    attempt: int
    items: list[int]
    rows: list[int]
    #: Microseconds that each run() took.
    microseconds: list[int]
    #: Bytes of the rows of each.
    sizes: list[int]
    encoding: Encoding = "none"
    #: Names of the rows' columns; None where rows have none.
    columns: tuple[str, ...] | None = None

    @property
    def size(self) -> int:
        """Bytes of the rows of all."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block's bytes are."""

    start: int
    size: int
    crc: int
    errors_start: int
    errors_size: int
    errors_crc: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where the bytes of `Blocks` are: one behind the other."""

    start: int
    crcs: list[int]
    #: Where their errors would begin, had they any.
    errors_start: int


class Index:
    """The index of a part that is being written, as far as it is known before the part's rows end."""

    def __init__(self) -> None:
        """Begin with no blocks."""
        self._columns: dict[tuple[str, ...], int] = {}
        #: The lines of what was added at once, as text: that is a third of what they are as numbers. And where their
        #: errors begin, counted from the first.
        self._lines: list[tuple[str, int]] = []

    def add(self, block: Block, place: Place) -> None:
        """Take a block and where it is."""
        self._lines.append((self._line(block, place), place.errors_start))

    def add_all(self, blocks: Blocks, places: Places) -> None:
        """Take blocks and where they are."""
        self._lines.append((self._line_each(blocks, places), places.errors_start))

    def document(self, rows_end: int) -> bytes:
        """Return the index; `rows_end` is where the errors begin."""
        lines = [lines.replace(_ERRORS, str(rows_end + errors_start)) for lines, errors_start in self._lines]
        head = json.dumps({"fields": FIELDS, "columns": list(self._columns)}, separators=(",", ":"))
        return f'{head[:-1]},"blocks":[{",".join(lines)}]}}'.encode("ascii")

    def _line(self, block: Block, place: Place) -> str:
        pieces = [(p.items, p.succeeded, p.rows, p.size, self._number(p.columns)) for p in block.pieces]
        line = (
            block.mini_batch, block.attempt, block.items, block.succeeded, block.failed, block.rows,
            round(block.seconds, 6), block.encoding, self._number(block.columns), place.start, place.size, place.crc,
            _ERRORS, place.errors_size, place.errors_crc, block.files, pieces, block.runs,
        )  # fmt: skip
        return json.dumps(line, separators=(",", ":")).replace(json.dumps(_ERRORS), _ERRORS)

    def _line_each(self, blocks: Blocks, places: Places) -> str:
        """Return the line of each block, as `_line` would, in a tenth of its time."""
        columns = json.dumps(self._number(blocks.columns))
        line = f'[%d,{blocks.attempt},%d,%d,0,%d,%r,"{blocks.encoding}",{columns},%d,%d,%d,{_ERRORS},0,0,[],[],1]'
        starts = accumulate(blocks.sizes[:-1], initial=places.start)
        seconds = [microseconds / 1e6 for microseconds in blocks.microseconds]
        counts = blocks.mini_batches, blocks.items, blocks.items, blocks.rows
        cells = zip(*counts, seconds, starts, blocks.sizes, places.crcs, strict=True)
        return ",".join([line] * len(seconds)) % tuple(chain.from_iterable(cells))

    def _number(self, names: tuple[str, ...] | None) -> int | None:
        """Return the number of columns in the list of all; they get the next one when they are new."""
        return None if names is None else self._columns.setdefault(names, len(self._columns))


def trailer_bytes(rows_end: int, errors_end: int, index: bytes) -> bytes:
    """Return the trailer of a part with this index."""
    sealed = SEALED.pack(rows_end, errors_end, errors_end + len(index), len(index), zlib.crc32(index), VERSION)
    return sealed + struct.pack("<II8s", zlib.crc32(sealed), 0, MAGIC)


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

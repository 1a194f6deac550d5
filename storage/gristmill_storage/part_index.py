"""The index of a part as it was read: by column, 150 bytes a block.

Merging a job keeps open as many parts as it had instances, and each may hold thousands of mini-batches.
"""

from __future__ import annotations

import json
import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final, overload

from gristmill_storage.part_format import ENCODINGS, FIELDS, Block, Piece, Place

#: What divides the columns' names from the blocks: no string in JSON holds a quotation mark without a backslash.
_BLOCKS: Final = b',"blocks":['

#: The fields of a block that are whole numbers from 0 on.
_COUNTS: Final = tuple(name for name in FIELDS if name not in ("seconds", "encoding", "columns", "files", "pieces"))


def columns_of(index: bytes) -> list[tuple[str, ...]]:
    """Return every list of columns that some blocks have.

    Raises:
        LookupError, TypeError, ValueError: it is no index.

    """
    head, _, _ = index.partition(_BLOCKS)
    return [tuple(names) for names in json.loads(head + b"}")["columns"]]


class IndexedBlocks(Sequence[Block]):
    """A part's blocks sorted by mini-batch; each is made when it is asked for, with empty `errors`."""

    def __init__(self, index: bytes = b'{"columns":[],"blocks":[]}') -> None:
        """Take an index.

        Raises:
            LookupError, OverflowError, TypeError, ValueError: it says what cannot be.

        """
        document = json.loads(index)
        self._names = [tuple(names) for names in document["columns"]]
        lines = sorted(document["blocks"], key=itemgetter(0))
        if any(len(line) != len(FIELDS) for line in lines):
            raise ValueError(f"a block has not {len(FIELDS)} fields")
        found: dict[str, Any] = dict(zip(FIELDS, zip(*lines, strict=True), strict=True)) if lines else {}
        self._counts = {name: array("Q", found.get(name, ())) for name in _COUNTS}
        self._seconds = array("d", found.get("seconds", ()))
        self._encodings = [sys.intern(encoding) for encoding in found.get("encoding", ())]
        if not ENCODINGS.issuperset(self._encodings):
            raise ValueError(f"an encoding is none of {', '.join(sorted(ENCODINGS))}")
        self._columns = [self._named(number) for number in found.get("columns", ())]
        self._files = [tuple(files) for files in found.get("files", ())]
        self._pieces = [tuple(map(self._piece, pieces)) for pieces in found.get("pieces", ())]
        #: The mini-batch whose place was asked for last, and the place: a merge asks three times.
        self._placed: tuple[int, Place] | None = None

    def _named(self, number: int | None) -> tuple[str, ...] | None:
        return None if number is None else self._names[number]

    def _piece(self, piece: list[Any]) -> Piece:
        items, succeeded, rows, size, number = piece
        return Piece(items=items, succeeded=succeeded, rows=rows, size=size, columns=self._named(number))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._columns)

    @overload
    def __getitem__(self, at: int) -> Block: ...
    @overload
    def __getitem__(self, at: slice) -> list[Block]: ...
    def __getitem__(self, at: int | slice) -> Block | list[Block]:
        """Return a block by its place among the others."""
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        counts = self._counts
        return Block(
            mini_batch=counts["mini_batch"][at],
            attempt=counts["attempt"][at],
            items=counts["items"][at],
            succeeded=counts["succeeded"][at],
            failed=counts["failed"][at],
            rows=counts["rows"][at],
            seconds=self._seconds[at],
            encoding=self._encodings[at],  # type: ignore[arg-type]
            columns=self._columns[at],
            size=counts["size"][at],
            files=self._files[at],
            pieces=self._pieces[at],
            runs=counts["runs"][at],
        )

    def place(self, mini_batch: int) -> Place:
        """Return where a mini-batch's bytes are.

        Raises:
            KeyError: the part has no such mini-batch.

        """
        if self._placed is not None and self._placed[0] == mini_batch:
            return self._placed[1]
        counts = self._counts
        at = bisect_left(counts["mini_batch"], mini_batch)
        if at == len(self) or counts["mini_batch"][at] != mini_batch:
            raise KeyError(mini_batch)
        place = Place(
            counts["start"][at], counts["size"][at], counts["crc"][at],
            counts["errors_start"][at], counts["errors_size"][at], counts["errors_crc"][at],
        )  # fmt: skip
        self._placed = mini_batch, place
        return place

"""A mini-batch that keeps failing, halved until the bad items stand alone. Pure: it runs, reads and writes nothing.

The mini-batch's items are cut in two, each half is a piece that is scored by a run() of its own, and a piece that fails
is cut again. So n items cost 2n - 1 calls of run() at most, the mini-batch's own included. A piece that ends its scorer
is dear: of those there are few, then what is still undecided is given up.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from gristmill.states import Category
from gristmill_storage.parts import Block, Encoding, Piece
from gristmill_workers.aggregator.written import LINE_SUFFIXES
from gristmill_workers.verdict import Halve, Outcome, lost, settle
from gristmill_workers.work import Failed, Scored, Work

#: Scorers that the pieces of one mini-batch may end by dying or hanging.
ISOLATION_KILLS: Final = 16


class _Undecided(NamedTuple):
    """A piece to be scored; the largest come first, so that what the last kills are spent on is small."""

    negative_size: int
    first: int
    #: How the piece that it was cut from failed; numbers before it tell any two apart.
    cause: Halve


class _Decided(NamedTuple):
    first: int
    work: Work
    block: Block
    #: Whether its rows and files are in the output.
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Isolated:
    """What came of a mini-batch whose items were scored apart."""

    block: Block
    #: The pieces whose rows and files are the block's, in the items' order.
    kept: tuple[Work, ...]


class Isolation:
    """One mini-batch from its last attempt's failure to its outcome.

    Score what `pieces` gives, hand each answer to `take`, and ask `pieces` again; when it is `decided`, there is an
    `outcome`.
    """

    def __init__(self, work: Work, cause: Halve, *, kills: int = ISOLATION_KILLS) -> None:
        """Take a mini-batch of several items, how it failed, and how many scorers it may cost."""
        self.work = work
        self._most_kills = self._kills_left = kills
        self._undecided: list[_Undecided] = []
        self._running: dict[tuple[int, int], Halve] = {}
        self._decided: list[_Decided] = []
        #: Calls of run(), that of the attempt which failed included.
        self.runs = 1
        self._halve(0, len(work.items), cause)

    def pieces(self) -> list[Work]:
        """Return what is to be scored now: no more at a time than there may still be scorers that end."""
        given: list[Work] = []
        while self._undecided and len(self._running) < self._kills_left:
            negative_size, first, cause = heapq.heappop(self._undecided)
            last = first - negative_size
            self._running[first, last] = cause
            given.append(self._piece(first, last))
        return given

    def take(self, event: Scored | Failed) -> Halve | Outcome:
        """Judge a piece's answer; with an `Outcome` its rows are to be kept until all is decided, if it has any.

        Raises:
            KeyError: the piece is none that `pieces` gave and that was not answered.

        """
        first, last = event.work.piece or (0, 0)
        del self._running[first, last]
        self.runs += not (isinstance(event, Failed) and event.category is Category.FETCH)
        if isinstance(event, Failed) and event.category in (Category.CRASH, Category.TIMEOUT):
            self._kills_left -= 1
        verdict = settle(event, isolate=True)
        if isinstance(verdict, Halve):
            self._halve(first, last, verdict)
        else:
            done = isinstance(event, Scored) and event.result["outcome"] == "done"
            self._decided.append(_Decided(first, event.work, verdict.block, done))
        return verdict

    @property
    def decided(self) -> bool:
        """Whether nothing is scored any more, and nothing will be."""
        return not self._running and (not self._undecided or self._kills_left <= 0)

    def outcome(self) -> Isolated:
        """Return what came of it."""
        given_up = (self._give_up(*undecided) for undecided in self._undecided)
        decided = list(_without_clashes(sorted([*self._decided, *given_up], key=lambda one: one.first)))
        return Isolated(block=self._block(decided), kept=tuple(one.work for one in decided if one.kept))

    def _piece(self, first: int, last: int) -> Work:
        return self.work._replace(items=self.work.items[first:last], places=None, size=0, line=b"", piece=(first, last))

    def _halve(self, first: int, last: int, cause: Halve) -> None:
        middle = (first + last + 1) // 2
        heapq.heappush(self._undecided, _Undecided(first - middle, first, cause))
        heapq.heappush(self._undecided, _Undecided(middle - last, middle, cause))

    def _give_up(self, negative_size: int, first: int, cause: Halve) -> _Decided:
        piece = self._piece(first, first - negative_size)
        message = (
            f"not scored by itself: {self._most_kills} scorers ended while files of its mini-batch were scored apart, "
            f"and no more are risked; the piece that it was in failed with: {cause.message}"
        )
        return _Decided(first, piece, lost(piece, Category(cause.category), message).block, kept=False)

    def _block(self, decided: list[_Decided]) -> Block:
        blocks = [one.block for one in decided]
        encoding: Encoding = next((block.encoding for block in blocks if block.size), "none")
        pieces = tuple(_pieces(blocks, merge=encoding != "arrow"))
        columns: dict[str, None] = {}
        for block in blocks:
            columns.update(dict.fromkeys(block.columns or ()))
        return Block(
            mini_batch=self.work.number,
            attempt=self.work.attempt,
            items=len(self.work.items),
            succeeded=sum(block.succeeded for block in blocks),
            failed=sum(block.failed for block in blocks),
            rows=sum(block.rows for block in blocks),
            seconds=sum(block.seconds for block in blocks),
            encoding=encoding,
            columns=tuple(columns) or None,
            size=sum(block.size for block in blocks),
            errors=tuple(error for block in blocks for error in block.errors),
            files=tuple(sorted({name for block in blocks for name in block.files})),
            pieces=pieces if len(pieces) > 1 else (),
            runs=self.runs,
        )


def _pieces(blocks: Iterable[Block], *, merge: bool) -> Iterator[Piece]:
    """Yield what stands together; `merge`: the rows of two pieces with the same columns are as good as one piece's."""
    current: Piece | None = None
    for block in blocks:
        piece = Piece(
            items=block.items, succeeded=block.succeeded, rows=block.rows, size=block.size, columns=block.columns
        )
        if current is not None and merge and _whole(current) and _whole(piece) and current.columns == piece.columns:
            current = _sum(current, piece)
            continue
        if current is not None:
            yield current
        current = piece
    if current is not None:
        yield current


def _whole(piece: Piece) -> bool:
    return piece.succeeded == piece.items


def _sum(one: Piece, other: Piece) -> Piece:
    return Piece(
        items=one.items + other.items,
        succeeded=one.succeeded + other.succeeded,
        rows=one.rows + other.rows,
        size=one.size + other.size,
        columns=one.columns,
    )


def _without_clashes(decided: Iterable[_Decided]) -> Iterator[_Decided]:
    """Let a piece fail that wrote a file of the same name as one before it, unless the file is made of lines."""
    seen: set[str] = set()
    for one in decided:
        clash = next((name for name in one.block.files if name in seen and not _made_of_lines(name)), None)
        if clash is None:
            seen.update(one.block.files)
            yield one
            continue
        message = (
            f"another piece of the mini-batch wrote {clash} too, and only files of lines "
            f"({', '.join(sorted(LINE_SUFFIXES))}) are put together: derive the name from the input file"
        )
        yield one._replace(block=lost(one.work, Category.ENCODING, message).block, kept=False)


def _made_of_lines(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in LINE_SUFFIXES

"""What an instance holds while it scores: leased mini-batches, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from gristmill.states import Category
from gristmill_storage.parts import Blocks
from gristmill_storage.slices import Slice, file_of


class Work(NamedTuple):
    """One mini-batch under a lease: one attempt at it.

    A tuple, not a data class: thousands are made at once, which takes 0.4 us each, and would take 1.5.
    """

    #: Its number in the manifest.
    number: int
    #: Which attempt this is, from 1.
    attempt: int
    #: The lease that it came with.
    token: str
    #: Its items' names, relative to the input's root.
    items: tuple[str, ...]
    #: Bytes of its items; 0 when they were not asked for.
    size: int = 0
    #: Where the items lie below the root on this machine, where that is not by their names.
    places: tuple[str, ...] | None = None
    #: Set where these are only some of its items, scored apart: the place of the first one, and that after the last.
    piece: tuple[int, int] | None = None
    #: Set where the same mini-batch has another attempt at the same time: its number among the instance's copies.
    copy: int | None = None
    #: Whether its items may be slices of tables (`gristmill_storage.slices`).
    split: bool = False
    #: When it was leased, by the clock that never jumps; 0 where nobody asks.
    leased: float = 0.0
    #: Its line in the manifest, where a scorer may be given that, with the lines of others; else nothing.
    line: bytes = b""

    @property
    def label(self) -> str:
        """What names the files of this attempt; no other that the instance holds has the same."""
        piece = "" if self.piece is None else f"-p{self.piece[0]}-{self.piece[1]}"
        copy = "" if self.copy is None else f"-c{self.copy}"
        return f"{self.number}-{self.attempt}{copy}{piece}"

    @property
    def alone(self) -> bool:
        """Whether a scorer is to hold nothing beside it: another piece or copy would bear the same number."""
        return self.piece is not None or self.copy is not None

    def command(self) -> dict[str, Any]:
        """Return it as it stands in a `run` frame."""
        command: dict[str, Any] = {"n": self.number, "attempt": self.attempt, "items": self.places or self.items}
        if self.split:
            command["items"] = self.items
            command["slices"] = list(map(_slice, self.items, self.places or map(file_of, self.items)))
        if self.alone:
            command["label"] = self.label
        return command

    def item(self, place: str) -> str:
        """Return the name of the item that a scorer knows by a place."""
        return self.items[self.places.index(place)] if self.places and place in self.places else place


def _slice(item: str, place: str) -> dict[str, Any]:
    """Return what a scorer must know of an item that may be a slice."""
    piece = Slice.of(item)
    return {"at": place, "file": file_of(item)} if piece is None else {"at": place, **piece.document()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """A scorer's answer to one mini-batch (see `scorer/protocol.py` for `result`)."""

    work: Work
    result: dict[str, Any]
    #: The rows, in the output's format; empty when the result names a spool file.
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredTogether:
    """A scorer's answer to mini-batches that it was given by their lines, of which nothing failed."""

    #: In the order of `blocks`.
    works: list[Work]
    blocks: Blocks
    #: The rows of all, one behind the other.
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """An attempt that ended without an answer: its scorer hung or died."""

    work: Work
    category: Category
    message: str
    traceback: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A scorer has run init()."""

    #: The `ready` frame.
    report: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class InitFailure:
    """A scorer could not run init()."""

    message: str
    traceback: str
    #: Whether some scorer of this instance has run init() before: then the deployment is not to blame at once.
    once_worked: bool


#: What can happen in a pool of scorers.
Event = Scored | ScoredTogether | Failed | Ready | InitFailure


def error_record(work: Work, *, file: str | None, category: str, message: str, traceback: str = "") -> dict[str, Any]:
    """Return an error as `errors.jsonl` holds it."""
    return {
        "file": file,
        "mini_batch": work.number,
        "attempts": work.attempt,
        "category": str(category),
        "message": message,
        "traceback": traceback,
    }

"""What an instance holds while it scores: leased mini-batches, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gristmill.states import Category


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One mini-batch under a lease: one attempt at it."""

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

    def command(self) -> dict[str, Any]:
        """Return it as it stands in a `run` frame."""
        return {"n": self.number, "attempt": self.attempt, "items": self.places or self.items}

    def item(self, place: str) -> str:
        """Return the name of the item that a scorer knows by a place."""
        return self.items[self.places.index(place)] if self.places and place in self.places else place


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """A scorer's answer to one mini-batch (see `scorer/protocol.py` for `result`)."""

    work: Work
    result: dict[str, Any]
    #: The rows, in the output's format; empty when the result names a spool file.
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
Event = Scored | Failed | Ready | InitFailure


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

"""What becomes of a mini-batch after an attempt: its outcome counts, or it is tried again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gristmill.states import Category
from gristmill_storage.parts import Block
from gristmill_workers.work import Failed, Scored, Work, error_record

#: Seconds before the second attempt; doubled for each further one.
FIRST_DELAY: Final = 0.25

#: Seconds that a further attempt waits at most.
LONGEST_DELAY: Final = 10.0

#: Characters of a traceback, from its end, that stand in an error.
TRACEBACK_LIMIT: Final = 4000

#: Characters of a message, from its start: a library may name five thousand columns in one.
MESSAGE_LIMIT: Final = 1500


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """The attempt counts for nothing; another is due."""

    category: str
    #: Seconds before it may begin.
    delay: float
    #: What went wrong, for the log.
    message: str
    traceback: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Halve:
    """The attempt was the last, and not every item need be to blame: each half is to be scored by itself."""

    category: str
    #: What went wrong, for the log, and for items that are not scored by themselves after all.
    message: str
    traceback: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The attempt was the last: what it gave, or the errors in its place, stands in the output."""

    block: Block


def judge(event: Scored | Failed, *, attempts: int, isolate: bool = False) -> Retry | Halve | Outcome:
    """Return what becomes of an attempt.

    Args:
        event: How it ended.
        attempts: How often a mini-batch is tried in all. A copy's failure is never the last: the other attempt decides.
        isolate: Whether several items are scored apart when the last attempt does not tell which of them are bad.

    """
    errors = _errors(event)
    passing = next((error for error in errors if not error.get("final")), None) if errors else None
    if passing is not None and (event.work.attempt < attempts or event.work.copy is not None):
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (event.work.attempt - 1))
        return Retry(delay=delay, **_words(passing))
    return _settle(event, errors, isolate=isolate)


def settle(event: Scored | Failed, *, isolate: bool) -> Halve | Outcome:
    """Return what becomes of an attempt after which none follows; `isolate` as for `judge`."""
    return _settle(event, _errors(event), isolate=isolate)


def _settle(event: Scored | Failed, errors: list[dict[str, Any]], *, isolate: bool) -> Halve | Outcome:
    if isolate and errors and len(event.work.items) > 1:
        shared = next((error for error in errors if not error.get("final") and not error.get("alone")), None)
        if shared is not None:
            return Halve(**_words(shared))
    if isinstance(event, Scored) and event.result["outcome"] == "done":
        return Outcome(block=_done(event, errors))
    return Outcome(block=_lost(event.work, errors, _seconds(event)))


def _words(error: dict[str, Any]) -> dict[str, str]:
    return {
        "category": str(error["category"]),
        "message": str(error["message"]),
        "traceback": str(error.get("traceback", "")),
    }


def lost(work: Work, category: Category, message: str) -> Outcome:
    """Return the outcome of a mini-batch that is not tried any more without an attempt of its own."""
    return Outcome(block=_lost(work, [{"file": None, "category": category, "message": message}], 0.0))


def _errors(event: Scored | Failed) -> list[dict[str, Any]]:
    if isinstance(event, Failed):
        return [{"file": None, "category": event.category, "message": event.message, "traceback": event.traceback}]
    return [
        {**error, "file": None if error.get("file") is None else event.work.item(error["file"])}
        for error in event.result["errors"]
    ]


def _seconds(event: Scored | Failed) -> float:
    return float(event.result["seconds"]) if isinstance(event, Scored) else 0.0


def _done(event: Scored, errors: list[dict[str, Any]]) -> Block:
    """Return the block of a mini-batch that run() gave something for; some of its items may be errors."""
    work, result = event.work, event.result
    succeeded = min(int(result["succeeded"]), len(work.items))
    columns = result["columns"]
    return Block(
        mini_batch=work.number,
        attempt=work.attempt,
        items=len(work.items),
        succeeded=succeeded,
        failed=len(work.items) - succeeded,
        rows=int(result["rows"]),
        seconds=float(result["seconds"]),
        encoding=result["encoding"],
        columns=None if columns is None else tuple(columns),
        size=int(result["bytes"]),
        errors=tuple(_record(work, error) for error in errors),
        files=tuple(result["files"]),
    )


def _lost(work: Work, errors: list[dict[str, Any]], seconds: float) -> Block:
    """Return the block of a mini-batch that gave nothing: one error an item."""
    general = next((error for error in errors if error.get("file") is None), None)
    named = {error["file"]: error for error in errors if error.get("file") is not None}
    fallback = general or errors[-1]
    return Block(
        mini_batch=work.number,
        attempt=work.attempt,
        items=len(work.items),
        succeeded=0,
        failed=len(work.items),
        rows=0,
        seconds=seconds,
        encoding="none",
        columns=None,
        size=0,
        errors=tuple(_record(work, {**named.get(item, fallback), "file": item}) for item in work.items),
        files=(),
    )


def _record(work: Work, error: dict[str, Any]) -> dict[str, Any]:
    file = work.items[0] if len(work.items) == 1 else error.get("file")
    record = error_record(
        work,
        file=file,
        category=error["category"],
        message=_shortened(str(error["message"])),
        traceback=str(error.get("traceback", ""))[-TRACEBACK_LIMIT:],
    )
    if file is None:
        record["items"] = list(work.items)
    return record


def _shortened(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else f"{message[:MESSAGE_LIMIT]} [...]"

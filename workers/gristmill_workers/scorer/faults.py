"""An exception of the user's code, in words: its message, and its traceback without our frames."""

# Paths are plain strings here: a Path a mini-batch would cost more than the mini-batch.
# ruff: noqa: PTH100, PTH120
# ruff: noqa: PTH

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import Any

from .failures import counted
from .formats import Unencodable
from .returned import WrongReturnType

#: Characters of a message that are kept.
MESSAGE_LIMIT = 4000

#: Characters of a traceback that are kept: most of its end.
TRACEBACK_LIMIT = 32_000

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


def message(error: BaseException) -> str:
    """Return "ValueError: text" in one string that is not too long, even if the error's own str() fails."""
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001 - a user's __str__
        text = f"<its str() failed: {type(failure).__name__}>"
    name = type(error).__name__
    whole = f"{name}: {text}" if text else name
    return whole if len(whole) <= MESSAGE_LIMIT else whole[:MESSAGE_LIMIT] + " ..."


def _cut(found: TracebackType | None) -> TracebackType | None:
    """Leave out the frames that led to the user's code: ours, and those of Python's import."""
    while found is not None:
        file = found.tb_frame.f_code.co_filename
        if not file.startswith((_OURS, "<frozen importlib")):
            break
        found = found.tb_next
    return found


def trace(error: BaseException) -> str:
    """Return the traceback as Python prints it, from the user's first frame on."""
    try:
        text = "".join(traceback.format_exception(type(error), error, _cut(error.__traceback__)))
    except Exception:  # noqa: BLE001 - out of memory, or an exception class that cannot be printed
        text = message(error) + "\n"
    if len(text) <= TRACEBACK_LIMIT:
        return text
    head = TRACEBACK_LIMIT // 4
    left_out = counted(len(text) - TRACEBACK_LIMIT, "character")
    return f"{text[:head]}\n... {left_out} left out ...\n{text[head - TRACEBACK_LIMIT :]}"


def as_error(error: BaseException) -> dict[str, Any]:
    """Return the protocol's error for what ended an attempt or init()."""
    if isinstance(error, WrongReturnType):
        return _error("return_type", str(error))
    if isinstance(error, Unencodable):
        cause = "" if error.__cause__ is None else trace(error.__cause__)
        return _error("encoding", str(error)[:MESSAGE_LIMIT], cause, final=error.final)
    return _error("exception", message(error), trace(error))


def missing_results(returned: int, items: int) -> dict[str, Any]:
    """Return the error of a run() that gave fewer results than it was given items."""
    missing = items - returned
    lacking = f"{counted(missing, 'file')} {'counts' if missing == 1 else 'count'} as failed"
    found = f"run() returned {counted(returned, 'result')} for {counted(items, 'file')}"
    return _error("missing_results", f"{found}: {lacking}")


def _error(category: str, text: str, trace_text: str = "", *, final: bool = False) -> dict[str, Any]:
    return {"file": None, "category": category, "message": text, "traceback": trace_text, "final": final}

"""The form of a process's log: lines for people, or JSON lines for what gathers logs.

Every process of Gristmill calls `begin` at its door, and so all lines of all its libraries have one form, on stderr.
What scripts print is never among them: that goes to the job's own logs.

A JSON line has the keys `time` (RFC 3339, UTC), `level`, `service` (which kind of process), `logger`, `message`, what
it is about (`job`, `instance`, `mini_batch`, `attempt`; see `log_context.py`), `trace_id` and `span_id` where traces
are made, `exception.type`, `exception.message` and `exception.stacktrace` where there is an exception, `host`, `pid`,
`thread`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from gristmill import log_context, tracing
from gristmill.errors import GristmillError
from gristmill.settings import ProcessSettings

#: Characters of a message, and of a stack, that stand in a JSON line: what gathers logs cuts long lines into pieces.
MOST_CHARACTERS: Final = 16_384

HUMAN: Final = "%(asctime)s %(levelname)s %(name)s%(ids)s %(message)s"

#: Loggers of ours; at level debug, libraries stay at info: theirs is a flood, and may hold what is secret.
_OURS: Final = "gristmill"

#: Libraries that say at info what is no news: every key that is fetched, every span that cannot be sent.
_QUIET: Final[Mapping[str, int]] = {"httpx": logging.WARNING}

log = logging.getLogger(_OURS)


class HumanLines(logging.Formatter):
    """Lines for people: time, level, logger, what it is about, message."""

    def __init__(self) -> None:
        """Take the form of all processes."""
        super().__init__(HUMAN)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text, with its stack below."""
        about = " ".join(f"{field}={value}" for field, value in log_context.of(record).items())
        record.ids = f" [{about}]" if about else ""
        return super().format(record)


class JsonLines(logging.Formatter):
    """One JSON object a line, ASCII alone, so that no reader can break it."""

    def __init__(self, service: str, host: str) -> None:
        """Take which kind of process this is, and the machine's name."""
        super().__init__()
        self._service = service
        self._host = host

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="microseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": _bounded(record.getMessage()),
            **log_context.of(record),
            **tracing.here(),
            **self._exception(record),
            "host": self._host,
            "pid": record.process,
            "thread": record.threadName,
        }
        return json.dumps(document)

    def _exception(self, record: logging.LogRecord) -> dict[str, str]:
        if not record.exc_info or record.exc_info[0] is None:
            return {}
        kind, error, _ = record.exc_info
        return {
            "exception.type": kind.__qualname__
            if kind.__module__ == "builtins"
            else f"{kind.__module__}.{kind.__qualname__}",
            "exception.message": _bounded(str(error)),
            "exception.stacktrace": _bounded(self.formatException(record.exc_info), end=True),
        }


def begin(service: str, settings: ProcessSettings, *, level: int = logging.INFO) -> None:
    """Let this process log as its settings say; `level` where they say nothing. What logs already is left as it is."""
    if logging.root.handlers:
        return
    wanted = logging.getLevelNamesMapping()[settings.log_level.upper()] if settings.log_level else level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service, settings.node_name) if settings.log_format == "json" else HumanLines())
    logging.basicConfig(level=max(wanted, logging.INFO), handlers=[handler])
    logging.getLogger(_OURS).setLevel(wanted)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(wanted, least))
    if settings.log_format == "json":
        logging.captureWarnings(capture=True)
        sys.excepthook = _uncaught
        threading.excepthook = _uncaught_in_thread


def close_stdout() -> None:
    """Have nothing printed from now on: what libraries tell a terminal is no line of a log that programs read."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def say(error: GristmillError) -> None:
    """Say what ends this process: a line for whoever started it, in the form of its log."""
    if any(isinstance(handler.formatter, JsonLines) for handler in logging.root.handlers):
        log.critical("%s", error.message)
    else:
        sys.stderr.write(f"error: {error.message}\n")


def words(line: str) -> str:
    """Return what a line of a log says, whichever form it has."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, TypeError, LookupError):
        return line


def _uncaught(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    log.critical("the process ends by an exception that nobody caught", exc_info=(kind, error, stack))


def _uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None:
        caught = (given.exc_type, given.exc_value, given.exc_traceback)
        log.critical("a thread ends by an exception that nobody caught", exc_info=caught)


def _bounded(text: str, *, end: bool = False) -> str:
    """Return a text that is no longer than may be; of a stack, the end says most."""
    more = len(text) - MOST_CHARACTERS
    if more <= 0:
        return text
    note = f"[{more} characters more]"
    return f"{note} {text[-MOST_CHARACTERS:]}" if end else f"{text[:MOST_CHARACTERS]} {note}"

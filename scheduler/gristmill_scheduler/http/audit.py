"""Who changed what: one JSON line for each request that is no mere look, written before its answer goes out.

    {"time", "who", "way", "from", "what", "resource", "made", "version", "status", "outcome"}

`resource` is the path that was asked, `made` the address of what came to be: a job, a version, a token.

The lines go to the log `gristmill.audit`, and for a workspace on this machine to `<workspace>/audit/<date>.jsonl`.
Neither the query nor the body nor any header is in them, so no token and no secret can be.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gristmill.log_context import ids
from gristmill_scheduler.http.gate import client_address
from gristmill_scheduler.http.principal import Principal

#: Requests that change nothing.
_LOOKS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

#: Characters of a path that are written down.
_MOST_CHARACTERS: Final = 500

#: A status from here on is a refusal.
_REFUSED: Final = 400

_JOB: Final = re.compile(r"/jobs/([^/?]+)")

log = logging.getLogger("gristmill.audit")


class AuditLog:
    """Where the lines go."""

    def __init__(self, folder: Path | None, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Take the folder of the files (None: the log alone), and a clock."""
        self._folder = folder
        self._now = now

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write one line; a disk that refuses it is told of in the log, and refuses nobody's request."""
        now = self._now()
        line = json.dumps({"time": now.isoformat(timespec="milliseconds"), **entry})
        found = _JOB.search(entry.get("made") or entry.get("resource") or "")
        log.info("%s", line, extra=ids(job=found[1] if found else None))
        if self._folder is None:
            return
        try:
            self._append(self._folder / f"{now:%Y-%m-%d}.jsonl", line)
        except OSError as error:
            log.error("%s: an audit line cannot be written: %s", self._folder, error)  # noqa: TRY400 - the reason is all

    def _append(self, path: Path, line: str) -> None:
        # One write to the end of the file: lines of several servers do not mix.
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)


class Audit:
    """Writes a line for each change that passes through."""

    def __init__(self, app: ASGIApp, *, audit_log: AuditLog) -> None:
        """Take what is behind it, and where the lines go."""
        self._app = app
        self._log = audit_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and write its line when it is answered."""
        if scope["type"] != "http" or scope["method"] in _LOOKS:
            await self._app(scope, receive, send)
            return

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                await run_in_threadpool(self._log.write, _entry(scope, message))
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception:
            # What was changed before it failed is a change all the same.
            await run_in_threadpool(self._log.write, _entry(scope, {"status": 500}))
            raise


def _entry(scope: Scope, answer: Message) -> dict[str, Any]:
    caller = scope.get("gristmill.caller")
    known = caller if isinstance(caller, Principal) else None
    status, headers = answer["status"], Headers(raw=answer.get("headers", []))
    return {
        "who": known.name if known else None,
        "way": known.way if known else None,
        "from": client_address(scope),
        "what": getattr(scope.get("route"), "operation_id", None) or scope["method"],
        "resource": scope["path"][:_MOST_CHARACTERS],
        "made": headers.get("location"),
        "version": headers.get("etag", "").strip('"') or None,
        "status": status,
        "outcome": "refused" if status >= _REFUSED else "done",
    }

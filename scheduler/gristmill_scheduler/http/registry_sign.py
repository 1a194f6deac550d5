"""Whether the registry of models answers: looked at in the background, for /status is to be quick when it does not."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from gristmill_storage.registry import redacted
from gristmill_storage.store import without_secrets

#: Seconds that what was seen is told again.
FRESH_SECONDS: Final = 30.0

#: Seconds that a registry is given for an answer.
_TIMEOUT: Final = 3.0

_SERVER_FAILS: Final = 500


class RegistrySign:
    """Tells where the registry is, and whether it answered when it was last looked at. Safe to share."""

    def __init__(
        self,
        uri: str,
        *,
        look: Callable[[str], bool | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take its address ("": there is none), what asks it, and a clock."""
        self._uri = uri
        self._look = look or answers
        self._clock = clock
        self._seen: bool | None = None
        self._due = float("-inf")
        self._looking = threading.Lock()

    def __call__(self) -> dict[str, Any] | None:
        """Return the address without secrets, and whether it answers (None: not known yet); None for no registry."""
        if not self._uri:
            return None
        if self._clock() >= self._due and self._looking.acquire(blocking=False):
            threading.Thread(target=self._refresh, name="registry", daemon=True).start()
        return {"address": without_secrets(redacted(self._uri)), "answers": self._seen}

    def _refresh(self) -> None:
        try:
            self._seen = self._look(self._uri)
        finally:
            self._due = self._clock() + FRESH_SECONDS
            self._looking.release()


def answers(uri: str) -> bool | None:
    """Return whether a registry answers at its address; None for one that cannot be asked so."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme in ("http", "https"):
        return _serves(parts, port)
    if parts.scheme in ("sqlite", "file", ""):
        path = parts.path[1:] if parts.scheme == "sqlite" else parts.path
        return _can_be_written(Path(path))
    return _is_open(parts.hostname, port) if parts.hostname and port else None


def _serves(parts: SplitResult, port: int | None) -> bool:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", port, timeout=_TIMEOUT)
    with contextlib.closing(connection):
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/health")
            # One that wants to know who asks is there.
            return connection.getresponse().status < _SERVER_FAILS
        except (OSError, ValueError, http.client.HTTPException):
            return False


def _is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT).close()
    except OSError:
        return False
    return True


def _can_be_written(path: Path) -> bool:
    """Return whether a file or folder is there, or can be made."""
    there = next((each for each in (path, *path.parents) if each.exists()), None)
    if there is None or (there != path and not there.is_dir()):
        return False
    return os.access(there, os.R_OK | os.W_OK)

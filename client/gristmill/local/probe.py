"""Asks a server of this machine one question, with nothing but the standard library: is it there, and who works for it.

The daemon of `gristmill up` has no use for an HTTP client that costs a tenth of a second to import.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gristmill.certificates import trusting
from gristmill.errors import Mistake

#: Bytes of an answer that are read at most.
_MOST: Final = 4 * 1024 * 1024


def ask(
    url: str, path: str, *, token: str = "", certificate: Path | None = None, timeout: float = 2.0
) -> dict[str, Any] | None:
    """Return the JSON object that a GET is answered with; None for any other answer, or none in time.

    `certificate` is the server's own, where it speaks TLS.
    """
    try:
        connection = _connection(url, certificate, timeout)
    except Mistake:
        return None
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        document = json.loads(answer.read(_MOST)) if answer.status == http.client.OK else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return document if isinstance(document, dict) else None


def _connection(url: str, certificate: Path | None, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    if parts.scheme != "https" or certificate is None:
        return http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)
    return http.client.HTTPSConnection(host, parts.port or 443, timeout=timeout, context=trusting(certificate))

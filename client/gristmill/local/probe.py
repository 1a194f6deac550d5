"""Asks a server of this machine one question, with nothing but the standard library: is it there, and who works for it.

The daemon of `gristmill up` has no use for an HTTP client that costs a tenth of a second to import.
"""

from __future__ import annotations

import http.client
import json
from typing import Any, Final
from urllib.parse import urlsplit

#: Bytes of an answer that are read at most.
_MOST: Final = 4 * 1024 * 1024


def ask(url: str, path: str, *, token: str = "", timeout: float = 2.0) -> dict[str, Any] | None:
    """Return the JSON object that a GET is answered with; None for any other answer, or none in time."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        document = json.loads(answer.read(_MOST)) if answer.status == http.client.OK else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return document if isinstance(document, dict) else None

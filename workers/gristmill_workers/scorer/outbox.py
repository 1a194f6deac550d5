"""Results on their way to the node: gathered for a moment, because a frame each would cost more than a short run()."""

from __future__ import annotations

import os
from time import monotonic
from typing import Any

from .protocol import write_frame

#: Seconds that a result may wait while others come.
FLUSH_SECONDS = 0.05

#: Bytes of rows that are sent at once.
FLUSH_BYTES = 1024 * 1024


class Outbox:
    """Gathers results, and sends them in order."""

    def __init__(self, descriptor: int) -> None:
        """Send to this pipe."""
        self._descriptor = descriptor
        self._owner = os.getpid()
        self._results: list[dict[str, Any]] = []
        self._payloads: list[bytes] = []
        self._size = 0
        self._flushed = monotonic()

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send a frame; a process that the user's code forked off and that came back into our loop ends here."""
        if os.getpid() != self._owner:
            os._exit(1)
        write_frame(self._descriptor, header, payload)

    def begin(self) -> None:
        """Start the clock: a frame has come."""
        self._flushed = monotonic()

    def add(self, result: dict[str, Any], payload: bytes) -> None:
        """Take a result and its rows; send what has gathered when it is old or large."""
        self._results.append(result)
        self._payloads.append(payload)
        self._size += len(payload)
        if self._size >= FLUSH_BYTES or monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered."""
        if self._results:
            self.send({"type": "results", "results": self._results}, b"".join(self._payloads))
            self._results, self._payloads, self._size = [], [], 0
        self._flushed = monotonic()

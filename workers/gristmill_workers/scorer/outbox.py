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
        #: Whether results of which nothing failed may be told by column.
        self._together = False
        #: What the gathered results have in common where they are told by column.
        self._alike: tuple[str, list[str] | None] | None = None
        self._results: list[dict[str, Any]] = []
        self._payloads: list[bytes] = []
        self._size = 0
        self._flushed = monotonic()

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send a frame; a process that the user's code forked off and that came back into our loop ends here."""
        if os.getpid() != self._owner:
            os._exit(1)
        write_frame(self._descriptor, header, payload)

    def begin(self, *, together: bool = False) -> None:
        """Start the clock: a frame has come. `together`: its results may be told by column."""
        self._together = together
        self._flushed = monotonic()

    def add(self, result: dict[str, Any], payload: bytes) -> None:
        """Take a result and its rows; send what has gathered when it is old or large."""
        if self._together:
            alike = (result["encoding"], result["columns"]) if _is_plain(result) else None
            if alike != self._alike:
                self.flush()
            self._alike = alike
        self._results.append(result)
        self._payloads.append(payload)
        self._size += len(payload)
        if self._size >= FLUSH_BYTES or monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered."""
        if self._results:
            self.send(self._header(), b"".join(self._payloads))
            self._results, self._payloads, self._size = [], [], 0
        self._alike = None
        self._flushed = monotonic()

    def _header(self) -> dict[str, Any]:
        if self._alike is None:
            return {"type": "results", "results": self._results}
        encoding, columns = self._alike
        return {
            "type": "scored",
            "n": [result["n"] for result in self._results],
            "rows": [result["rows"] for result in self._results],
            "us": [round(result["seconds"] * 1e6) for result in self._results],
            "bytes": [result["bytes"] for result in self._results],
            "encoding": encoding,
            "columns": columns,
            "writing": round(sum([result["writing"] for result in self._results]) * 1e6),
        }


def _is_plain(result: dict[str, Any]) -> bool:
    """Tell whether all items succeeded, and nothing but rows came that are in the payload."""
    if result["outcome"] != "done" or result["succeeded"] < result["items"]:
        return False
    return not (result["errors"] or result["files"] or "spool" in result)

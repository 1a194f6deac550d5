"""Tells whether an instance still moves: a heart that beats for a body that is stuck would keep its work from others.

Two things must move: the loop, which comes round ten times a second whatever the scorers do, and the sealing of parts,
where some wait. A long run() is neither. What takes long in an honest way is told beforehand by its size.
"""

from __future__ import annotations

import faulthandler
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

#: Seconds in which the loop must come round, and a part be sealed and committed.
STUCK_SECONDS: Final = 300.0

#: Bytes a second that the slowest store takes: what is larger has so much more time.
SLOWEST_BYTES: Final = 1 << 20


class Watchdog:
    """Is told what begins and ends, by whichever thread, and asked by the heartbeat's."""

    def __init__(self, seconds: float = STUCK_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        """Take how long nothing may move; nothing is watched before the first `turn`."""
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._turn: float | None = None
        #: When each part that was handed over must be committed.
        self._parts: deque[float] = deque()

    def turn(self, size: int = 0) -> None:
        """Note that the loop came round; it goes on to write `size` bytes."""
        with self._lock:
            self._turn = self._clock() + self._allowed(size)

    def handed(self, size: int) -> None:
        """Note that a part of `size` bytes was handed over to be sealed and committed, after those before it."""
        with self._lock:
            begins = max([self._clock(), *self._parts])
            self._parts.append(begins + self._allowed(size))

    def committed(self) -> None:
        """Note that the oldest part that was handed over is done with; the loop may have waited for that."""
        with self._lock:
            if self._parts:
                self._parts.popleft()
            if self._turn is not None:
                self._turn = max(self._turn, self._clock() + self._seconds)

    def stuck(self) -> str | None:
        """Return what is stuck, in words; None while all moves."""
        with self._lock:
            if self._parts:  # the loop may be waiting for them, and rightly so
                return "the sealing of a part" if self._clock() > self._parts[0] else None
            return "the loop" if self._turn is not None and self._clock() > self._turn else None

    def _allowed(self, size: int) -> float:
        return self._seconds + size / SLOWEST_BYTES


def stacks() -> str:
    """Return where every thread of this process is now."""
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read().decode("utf-8", "replace")

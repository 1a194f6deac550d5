"""Sees to it that a node goes on taking messages, whatever has become of its connection.

After a server was restarted while all slots were busy, Celery's consumer can be left connected, without an error, and
waiting for nothing: a lost acknowledgement keeps its place for ever, or a socket is dead and nobody touches it. From
outside all such faults look the same: messages wait, a slot is free, and nothing is taken. That is what is watched for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

#: Seconds between two looks.
LOOK_SECONDS: Final = 1.0

#: Seconds that messages may wait before a free slot.
PATIENCE_SECONDS: Final = 5.0

#: The same while the consumer has never been ready: it connects, on a machine that may be busy.
START_SECONDS: Final = 20.0

log = logging.getLogger("gristmill.node")


class Intake:
    """Compares what waits with what is taken."""

    def __init__(
        self,
        *,
        waiting: Callable[[], int],
        free: Callable[[], bool],
        stalled: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what it looks at, and what is to be done when nothing is taken.

        Args:
            waiting: how many messages wait; may raise OSError when nobody can say.
            free: whether one more could be taken.
            stalled: called when messages wait, a slot is free, and nothing was taken for too long; then at each look
                with a free slot, until the consumer takes something again.
            clock: in seconds.

        """
        self._waiting = waiting
        self._free = free
        self._stalled = stalled
        self._clock = clock
        self._taken = self._seen = 0
        self._since: float | None = None
        self._deaf = False
        self._patience = START_SECONDS
        self._over = threading.Event()

    def ready(self) -> None:
        """Note that the consumer takes messages from now on."""
        self._patience = PATIENCE_SECONDS

    def took(self) -> None:
        """Note that the consumer has taken a message, whatever it was."""
        self._taken += 1

    def close(self) -> None:
        """End `watch`."""
        self._over.set()

    def watch(self) -> None:
        """Look again and again, until `close`."""
        while not self._over.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception:
                log.exception("the queue could not be looked at")

    def look(self) -> None:
        """Look once."""
        moved, self._seen = self._taken != self._seen, self._taken
        if moved:
            self._since, self._deaf = None, False
        elif self._deaf:
            if self._free():
                self._stalled()
        elif not self._is_stuck():
            self._since = None
        elif self._since is None:
            self._since = self._clock()
        elif self._clock() - self._since >= self._patience:
            self._deaf = True
            self._stalled()

    def _is_stuck(self) -> bool:
        """Return whether messages wait before a free slot."""
        try:
            return self._free() and self._waiting() > 0
        except OSError:
            return False

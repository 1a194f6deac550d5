"""What a node's surroundings want of it: a pulse in a file for probes, and an end when there is nothing to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from gristmill.local.pulse import Pulse

log = logging.getLogger("gristmill.node")


class Vitality:
    """Keeps the pulse of a node, and counts how long it has been idle."""

    def __init__(
        self,
        path: Path | None,
        *,
        leave_after: float | None = None,
        leave: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where the pulse goes, and when to leave.

        Args:
            path: file of the pulse; None: nowhere.
            leave_after: seconds without work after which the node is to leave; None: never.
            leave: called once then.
            clock: in seconds.

        """
        self._path = path
        self._leave_after = leave_after
        self._leave = leave
        self._clock = clock
        self._ready = self._leaving = False
        self._writes = True
        self._idle_since: float | None = None

    def ready(self) -> None:
        """Note that the node takes work."""
        self._ready = True
        self.beat(0)

    def beat(self, running: int) -> None:
        """Note that the node has looked for work, and how many tasks it runs."""
        if not self._leaving:
            self._write(Pulse(at=time.time(), ready=self._ready, running=running))
            self._count(running)

    def leaves(self, running: int) -> None:
        """Note that the node was told to leave."""
        self._leaving = True
        self._write(Pulse(at=time.time(), ready=self._ready, running=running, leaving=True))

    def _count(self, running: int) -> None:
        """Leave when nothing was to be done for long enough, counted from the moment that work is taken."""
        if self._leave_after is None or not self._ready or running:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = self._clock()
        elif self._clock() - self._idle_since >= self._leave_after:
            log.info("nothing to do for %g s: leaving", self._leave_after)
            self._leave_after = None
            self._leave()

    def _write(self, pulse: Pulse) -> None:
        """Write the pulse; a fault is logged when it begins."""
        if self._path is None:
            return
        try:
            pulse.write(self._path)
        except OSError as error:
            if self._writes:
                log.warning("the node's pulse cannot be written: %s", error)
            self._writes = False
        else:
            self._writes = True

"""When an instance leaves before its job is scored: because its node leaves, or because others wait for its place.

Either way it takes nothing new, gives back what no scorer is in, and commits what its scorers finish. A node does not
wait for them for ever; a place that others wait for is given up after whatever is being scored, however long that
takes: killed, it would have been for nothing, each time anew.
"""

from __future__ import annotations

import math
import threading
import time

from gristmill_workers.heartbeat import Heartbeat


class Departure:
    """Whether an instance leaves, and until when it may finish what is being scored."""

    def __init__(self, drain: threading.Event, heartbeat: Heartbeat, *, grace_seconds: float) -> None:
        """Take what is set when the node leaves, what hears that the place is wanted, and the node's patience."""
        self._drain = drain
        self._heartbeat = heartbeat
        self._grace_seconds = grace_seconds
        self._until: float | None = None

    def news(self) -> str:
        """Return why the instance is to leave, once for each reason; "" otherwise."""
        if self._drain.is_set() and self._until in (None, math.inf):
            self._until = time.monotonic() + self._grace_seconds
            return "the node leaves"
        if self._heartbeat.surplus and self._until is None:
            self._until = math.inf
            self._heartbeat.say(leaving=True)
            return "other jobs wait for this place: leaving"
        return ""

    @property
    def begun(self) -> bool:
        """Whether the instance leaves."""
        return self._until is not None

    @property
    def hurried(self) -> bool:
        """Whether there is an end to the time that it may take."""
        return self._until is not None and self._until < math.inf

    @property
    def late(self) -> bool:
        """Whether nothing is waited for any more."""
        return self._until is not None and time.monotonic() > self._until

"""The sign of life of an instance: tells the ledger in time that its leases are in good hands."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from gristmill import log_context
from gristmill.errors import Fenced, GristmillError, LedgerFailed
from gristmill_workers.watchdog import stacks

#: Signs of life in the time of one lease.
BEATS: Final = 4

#: Seconds between two signs at most, so that a progress display is not stale.
LONGEST_SECONDS: Final = 1.0

log = logging.getLogger("gristmill.node")


class Heartbeat:
    """Renews in a thread of its own, until it is stopped or the ledger says that the instance is none of its own."""

    def __init__(
        self,
        renew: Callable[[Mapping[str, Any]], str],
        *,
        lease_seconds: float,
        stuck: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Take what renews (it returns the job's state), how long a lease lasts, and what tells that it beats in vain.

        `stuck` returns what is stuck; then the heartbeat stops, the leases expire, and others take the work over.
        """
        self._renew = renew
        self._stuck = stuck
        self._seconds = min(LONGEST_SECONDS, lease_seconds / BEATS)
        self._stopping = threading.Event()
        self._error: GristmillError | None = None
        self._info: dict[str, Any] = {}
        self._saying = threading.Lock()
        #: Returns what is told with each sign of life beside what was said; it changes too often to be told at once.
        self.passing: Callable[[], Mapping[str, Any]] = dict
        #: The job's state, as last heard.
        self.state = "open"
        #: Whether the instance was asked to leave, because its job has more than its share; it stays asked.
        self.surplus = False
        self._changed = threading.Event()
        self._thread = log_context.Thread(self._run, name="heartbeat")

    def start(self, info: Mapping[str, Any]) -> None:
        """Begin, with what the instance has to say of itself."""
        self._info = dict(info)
        self._thread.start()

    def say(self, **news: object) -> None:
        """Change what the instance says of itself; told at once when it changed."""
        with self._saying:
            changed = {**self._info, **news}
            if changed != self._info:
                self._info = changed
                self._changed.set()

    @property
    def needed(self) -> bool:
        """Whether the instance is one of the job's, and that is open and has use for it."""
        return self._error is None and self.state == "open" and not self.surplus

    def check(self) -> None:
        """Raise what ended the heartbeat, if something did."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if (what := self._stuck()) is not None:
                self._give_up(what)
                return
            try:
                self._hear(self._renew({**self._info, **self.passing()}))
            except LedgerFailed as error:
                if type(error) is not LedgerFailed:
                    self._error = error
                    return
                log.warning("no sign of life could be given: %s", error)
            self._changed.wait(self._seconds)
            self._changed.clear()

    def _hear(self, answer: str) -> None:
        self.surplus = self.surplus or answer == "surplus"
        self.state = "open" if answer == "surplus" else answer

    def _give_up(self, what: str) -> None:
        message = f"{what} has not moved for too long: no more signs of life are given, and others take the work over"
        self._error = Fenced(message)
        log.error("%s; what every thread does:\n%s", message, stacks())

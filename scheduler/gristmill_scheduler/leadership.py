"""Who leads a job: one coordinator at a time, under a name of its own, for as long as it says so again.

A coordinator that was stopped and goes on later may have been replaced. Every transition that it makes then is
idempotent or refused, so it needs no fence; it only must not end a job that is another's. `check` before such a step
asks the ledger anew when the last answer is older than a lead lasts.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Final

from gristmill import log_context
from gristmill.errors import LedgerFailed
from gristmill_storage.ledger import Ledger

#: A lead lasts at least this long, in seconds ...
LEAST_SECONDS: Final = 3.0

#: ... and otherwise this part of an instance's lease.
SHARE: Final = 3

#: How often a lead is renewed in the time that it lasts.
BEATS: Final = 3

#: Seconds between two tries to take over a lead that has not yet run out.
RETRY_SECONDS: Final = 0.1

#: Seconds that the end of the renewal is waited for.
JOIN_SECONDS: Final = 1.0

log = logging.getLogger("gristmill.scheduler")


class TakenOver(Exception):
    """Another coordinator leads the job: this one has nothing to do any more."""


def lead_seconds(lease_seconds: float) -> float:
    """Return how long a lead lasts that is not renewed."""
    return max(LEAST_SECONDS, lease_seconds / SHARE)


class Leadership:
    """One coordinator's lead of one job."""

    def __init__(self, job: str, ledger: Ledger, *, seconds: float, dead: str = "") -> None:
        """Take the job's name, the ledger, how long a lead lasts in seconds, and the name of a leader known to be dead.

        Its lead is not waited for. Should it live all the same, it finds at its next step that another leads.
        """
        self._job = job
        self._ledger = ledger
        self._dead = dead
        #: How long a lead lasts that is not renewed.
        self.seconds = seconds
        self.leader = uuid.uuid4().hex
        self._renewed = float("-inf")
        self._lost = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, *, patience: float = 0.0) -> bool:
        """Take the lead and keep it from now on; False when another still leads after `patience` seconds."""
        deadline = time.monotonic() + patience
        if self._dead:
            self._ledger.unlead(self._job, leader=self._dead)
        while not self._renew():
            if time.monotonic() >= deadline:
                return False
            time.sleep(RETRY_SECONDS)
        if self._thread is None:
            self._thread = log_context.Thread(self._keep, name=f"lead-{self._job}")
            self._thread.start()
        return True

    def check(self) -> None:
        """Make sure that this is the leader.

        Raises:
            TakenOver: it is not.

        """
        if self._lost:
            raise TakenOver(self._job)
        if time.monotonic() - self._renewed >= self.seconds * 2 / BEATS:
            self.confirm()

    def confirm(self) -> None:
        """Ask the ledger whether this is the leader; one that lost its memory takes it for that again.

        Raises:
            TakenOver: another leads.

        """
        if not self._renew():
            self._lost = True
            raise TakenOver(self._job)

    def stop(self) -> None:
        """End the lead, so that another may have it at once."""
        self._stopping.set()
        if self._thread is not None:
            # It may be waiting for a server that is away.
            self._thread.join(JOIN_SECONDS)
        if self._thread is not None and not self._lost:
            try:
                self._ledger.unlead(self._job, leader=self.leader)
            except LedgerFailed as error:
                log.warning("job %s: the lead runs out by itself: %s", self._job, error)

    def _renew(self) -> bool:
        # The lead runs from before the call: the answer may be late.
        began = time.monotonic()
        if not self._ledger.lead(self._job, leader=self.leader, seconds=self.seconds):
            return False
        self._renewed = began
        return True

    def _keep(self) -> None:
        """Renew until stopped; a coordinator that is busy for long, as with a rebuild, keeps its lead so."""
        while not self._stopping.wait(self.seconds / BEATS):
            try:
                if not self._renew():
                    self._lost = True
                    return
            except LedgerFailed as error:
                log.warning("job %s: its lead could not be renewed: %s", self._job, error)

"""Leads the jobs of a cluster that nobody leads: their scheduler died, or left them to others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from gristmill.errors import GristmillError, LedgerLost
from gristmill.log_context import about
from gristmill.spec import Job
from gristmill_scheduler.admission import read_led
from gristmill_scheduler.leadership import Leadership
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.ledger import Ledger

#: Seconds between two looks at the jobs that were announced.
LOOK_SECONDS: Final = 1.0

#: Seconds that a job is let alone which could not be taken over from here.
AGAIN_SECONDS: Final = 30.0

log = logging.getLogger("gristmill.scheduler")


class TakeOver:
    """Looks again and again, in a thread of its own."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        lead: Callable[[str], Leadership],
        led: Callable[[], set[str]],
        begin: Callable[[Job, Store, Leadership], None],
    ) -> None:
        """Take the ledger, what makes a lead, what says which jobs are led here, and what begins with one."""
        self._ledger = ledger
        self._lead = lead
        self._led = led
        self._begin = begin
        self._given_up: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="take-over", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Take nothing any more."""
        self._stopping.set()
        self._thread.join(LOOK_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except GristmillError as error:
                log.warning("nothing can be taken over now: %s", error)
            except Exception:
                log.exception("nothing can be taken over now")
            self._stopping.wait(LOOK_SECONDS)

    def look(self) -> None:
        """Take every job that nobody leads."""
        for name, folder in self._ledger.announced().items():
            if name in self._led() or self._stopping.is_set() or self._given_up.get(name, 0.0) > time.monotonic():
                continue
            with about(job=name):
                self._try(name, folder)

    def _try(self, name: str, folder: str) -> None:
        try:
            self._take(name, folder)
        except GristmillError as error:
            # Another scheduler may be able to: it must find the lead free.
            log.warning("job %s in %s cannot be taken over from here: %s", name, folder, error)
            self._given_up[name] = time.monotonic() + AGAIN_SECONDS

    def _take(self, name: str, url: str) -> None:
        lead = self._lead(name)
        if not lead.take():
            return
        try:
            job, folder = read_led(url)
            if self._is_over(name, folder):
                lead.stop()
                return
            log.info("job %s: nobody leads it; taking it over", name)
            self._begin(job, folder, lead)
        except BaseException:
            lead.stop()
            raise

    def _is_over(self, name: str, folder: Store) -> bool:
        """Return whether a job has ended, and whoever ended it did not come to withdraw it."""
        try:
            snapshot = self._ledger.snapshot(name)
        except LedgerLost:
            if folder.exists(job_folder.RESULT):
                self._ledger.forget(name)
                return True
            return False
        if snapshot.state == "closed" and folder.exists(job_folder.RESULT):
            self._ledger.close(name, status=snapshot.status, epoch=snapshot.epoch)
            return True
        return False

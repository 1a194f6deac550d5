"""Deletes what clients sent for jobs alone, some time after the last of these needed it.

An upload that is a job's input, and that nothing names for good (a data asset, a deployment, a model), goes when every
job whose input it was has been over for so many days; so does an input's address that holds a secret. A job is over
when it is completed and none of its items failed. One that may yet be resumed, or whose failed items may be tried
again, is over when somebody archives it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from gristmill.errors import GristmillError
from gristmill_scheduler.jobs.addresses import Addresses
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.jobs.rows import Row
from gristmill_storage.workspace import Uploads

#: Seconds between two looks, and before the first one.
LOOK_SECONDS: Final = 3600.0

#: Seconds for which an upload stays that somebody asked for: an invocation may follow.
ASKED_SECONDS: Final = 3600.0

_DAY: Final = 86400.0

log = logging.getLogger("gristmill.jobs")


class Clearing:
    """Looks every hour, where this server dispatches jobs."""

    def __init__(
        self, records: Records, uploads: Uploads, addresses: Addresses, *, days: float, leads: Callable[[], bool]
    ) -> None:
        """Take what it works with.

        Args:
            records: the jobs' records
            uploads: what clients sent
            addresses: of inputs that hold a secret
            days: how long inputs are kept; 0: for ever
            leads: tells whether this server is the one that looks

        """
        self._records = records
        self._uploads = uploads
        self._addresses = addresses
        self._seconds = days * _DAY
        self._leads = leads
        #: What is gone, and when the last job that needed it was over.
        self._gone: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clear-inputs", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        if self._seconds:
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def look(self, now: float | None = None) -> None:
        """Delete what has not been needed for long."""
        now = time.time() if now is None else now
        self._records.refresh()  # another server may have taken a job a moment ago
        rows = self._records.rows.all()
        for tree, over in _over(rows, lambda row: row.upload):
            if now - over >= self._seconds:
                self._guarded(tree, over, self._discard)
        for key, over in _over(rows, lambda row: row.input_key):
            if now - over >= self._seconds:
                self._guarded(key, over, self._forget)

    def _guarded(self, what: str, over: float, act: Callable[[str], bool]) -> None:
        if self._stopping.is_set() or self._gone.get(what) == over:
            return
        try:
            if act(what):
                self._gone[what] = over
        except GristmillError as error:
            log.warning("an input that no job needs cannot be deleted now: %s", error)

    def _discard(self, tree: str) -> bool:
        asked = self._uploads.asked.get(tree)
        if asked is not None and time.monotonic() - asked < ASKED_SECONDS:
            return False
        if self._uploads.is_kept(tree):
            return True
        gone = self._uploads.discard(tree)
        if gone:
            log.info("upload %s: deleted; the jobs whose input it was are over", tree)
        return gone

    def _forget(self, key: str) -> bool:
        self._addresses.forget(key)
        return True

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            if self._leads():
                self._look_safely()

    def _look_safely(self) -> None:
        try:
            self.look()
        except GristmillError as error:
            log.warning("inputs that no job needs cannot be looked for now: %s", error)
        except Exception:
            log.exception("inputs that no job needs cannot be looked for now")


def _over(rows: list[Row], what: Callable[[Row], str]) -> Iterator[tuple[str, float]]:
    """Yield each thing that jobs needed and none needs now, with the moment since which that is so."""
    needed: dict[str, list[float | None]] = defaultdict(list)
    for row in rows:
        if what(row):
            needed[what(row)].append(row.over)
    for name, overs in needed.items():
        ended = [over for over in overs if over is not None]
        if len(ended) == len(overs):
            yield name, max(ended)

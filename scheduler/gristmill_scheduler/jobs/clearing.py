"""Deletes what clients sent, some time after the last need of it.

An upload goes when no deployment, no data asset and no model has named it, and every job that reads it has been over,
for so many days; so does an input's address that holds a secret. A job is over when it is completed and none of its
items failed. One that may yet be resumed, or whose failed items may be tried again, is over when somebody archives it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gristmill.errors import GristmillError
from gristmill_scheduler.jobs.addresses import Addresses
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.jobs.rows import Row
from gristmill_scheduler.jobs.sweeping import Naming, Sweep
from gristmill_storage.workspace import Workspace

#: Seconds between two looks, and before the first one.
LOOK_SECONDS: Final = 3600.0

_DAY: Final = 86400.0

log = logging.getLogger("gristmill.jobs")


class Clearing:
    """Looks every hour, where this server dispatches jobs."""

    def __init__(
        self,
        workspace: Workspace,
        records: Records,
        addresses: Addresses,
        naming: Naming,
        *,
        days: float,
        leads: Callable[[], bool],
    ) -> None:
        """Take what it works with.

        Args:
            workspace: where the uploads are
            records: the jobs' records
            addresses: of inputs that hold a secret
            naming: tells what is named for good
            days: how long that is kept which nothing needs; 0: for ever
            leads: tells whether this server is the one that looks

        """
        self._records = records
        self._addresses = addresses
        self._seconds = days * _DAY
        self._sweep = Sweep(workspace, naming, seconds=self._seconds)
        self._leads = leads
        #: Addresses that are gone, and when the last job that needed each was over.
        self._gone: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clear-uploads", daemon=True)

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
        if self._records.newer:
            log.warning("uploads stay while a newer server works with this workspace, whose jobs cannot be read here")
            return
        rows = self._records.rows.all()
        self._forget_addresses(rows, now)
        self._sweep.look(rows, now)

    def _forget_addresses(self, rows: Sequence[Row], now: float) -> None:
        for key, over in _over(rows):
            if now - over >= self._seconds and self._gone.get(key) != over:
                try:
                    self._addresses.forget(key)
                    self._gone[key] = over
                except GristmillError as error:
                    log.warning("the address of an input that no job needs cannot be deleted now: %s", error)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            if self._leads():
                self._look_safely()

    def _look_safely(self) -> None:
        try:
            self.look()
        except GristmillError as error:
            log.warning("uploads that nothing needs cannot be looked for now: %s", error)
        except Exception:
            log.exception("uploads that nothing needs cannot be looked for now")


def _over(rows: Sequence[Row]) -> Iterator[tuple[str, float]]:
    """Yield the key of each address that jobs needed and none needs now, with the moment since which that is so."""
    needed: dict[str, list[float | None]] = defaultdict(list)
    for row in rows:
        if row.input_key:
            needed[row.input_key].append(row.over)
    for key, overs in needed.items():
        ended = [over for over in overs if over is not None]
        if len(ended) == len(overs):
            yield key, max(ended)

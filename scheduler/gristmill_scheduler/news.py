"""What a job's owner is told while it runs: each status once, what the job waits for, and how far it is."""

from __future__ import annotations

import logging
from typing import Final

from gristmill.states import JobStatus
from gristmill_scheduler.ending import Tell
from gristmill_scheduler.progress import Progress
from gristmill_scheduler.reconciler import AGGREGATOR
from gristmill_storage.ledger import Snapshot

#: What a job waits for that has begun and whose places others have now.
ITS_TURN: Final = "waiting for its turn"

log = logging.getLogger("gristmill.scheduler")


class News:
    """Tells of one job."""

    def __init__(self, job: str, tell: Tell) -> None:
        """Take the job's name, and who is told."""
        self._job = job
        self._tell = tell
        self._progress = Progress()
        self._told: tuple[JobStatus, str] | None = None
        #: What this process waits for, storage or the ledger's server; "" while it does not.
        self._waiting = ""

    def status(self, status: JobStatus, detail: str) -> None:
        """Tell a status, and what the job waits for, unless that was told last."""
        if (status, detail) != self._told:
            self._told = (status, detail)
            log.info("job %s: %s", self._job, f"{status}, {detail}" if detail else status)
            self._tell("status", {"job": self._job, "status": status, "detail": detail})

    def see(self, snapshot: Snapshot) -> None:
        """Tell what a snapshot shows."""
        status, detail = status_of(snapshot)
        self.status(status, self._waiting or detail)
        self._tell("progress", {"job": self._job, **self._progress.document(snapshot)})

    def waiting(self, text: str) -> None:
        """Tell what this process waits for, storage or the ledger's server, or ("") that it waits no more."""
        self._waiting = text
        self.status(self._told[0] if self._told else JobStatus.NOT_STARTED, text)


def status_of(snapshot: Snapshot) -> tuple[JobStatus, str]:
    """Return a job's status as the ledger shows it, and what it waits for."""
    workers = [instance for instance in snapshot.instances if instance.info.get("role") != AGGREGATOR]
    if snapshot.state == "canceled":
        return JobStatus.CANCEL_REQUESTED, ""
    waiting = next(filter(None, (str(instance.info.get("waiting", "")) for instance in snapshot.instances)), "")
    if snapshot.state != "open":
        doing = "merging the parts" if snapshot.state == "scored" else "gathering the errors"
        return JobStatus.FINALIZING, waiting or doing
    paused = "paused" if snapshot.paused else waiting
    if snapshot.done or any(instance.info.get("scorers", 0) for instance in workers):
        return JobStatus.RUNNING, paused or ("" if workers or snapshot.share != 0 else ITS_TURN)
    if workers:
        return JobStatus.PREPARING, paused or str(workers[0].info.get("doing", ""))
    return JobStatus.QUEUED, paused or "waiting for an instance"

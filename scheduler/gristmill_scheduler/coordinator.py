"""One job's life: admitted, planned, watched, aggregated, ended.

`Coordinator.run` is that life in order. Everything it knows is read from the ledger and from the job's folder, so that
it can be ended at any moment and begun again by another process.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from gristmill.errors import GristmillError, JobCanceled, JobFailed, LedgerLost, NotFound, unexpected
from gristmill.spec import Job, own_compute
from gristmill.states import JobStatus
from gristmill_scheduler.plan import Planner
from gristmill_scheduler.progress import Progress
from gristmill_scheduler.rebuild import new_epoch, rebuild
from gristmill_scheduler.reconciler import AGGREGATOR, Reconciler
from gristmill_scheduler.timeline import Timeline
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.ledger import Ledger, Snapshot
from gristmill_storage.queue import Queue

#: Seconds between two looks at the ledger when it does not ring.
WATCH_SECONDS: Final = 0.2

#: Seconds that instances are given to leave a job that was ended before its time.
LEAVE_SECONDS: Final = 5.0

#: What a coordinator tells: the event's name and its document.
Tell = Callable[[str, dict[str, Any]], None]

log = logging.getLogger("gristmill.scheduler")


class Coordinator:
    """Leads one job from its folder to its end."""

    def __init__(
        self, job: Job, folder: Store, *, ledger: Ledger, queue: Queue, lease_seconds: float, tell: Tell
    ) -> None:
        """Take a job that was admitted (its `job.json` stands in `folder`) and what it needs."""
        self.job = job
        self.folder = folder
        self._ledger = ledger
        self._queue = queue
        self._lease_seconds = lease_seconds
        self._tell = tell
        self._progress = Progress()
        self._timeline = Timeline(job.submitted)
        self._cancel = threading.Event()
        self._status: tuple[JobStatus, str] | None = None
        deployment = job.deployment
        self._reconciler = Reconciler(
            queue,
            compute=deployment.compute,
            job=job.name,
            folder=folder.url,
            instances=deployment.instance_count,
        )
        self._planner = Planner(job, folder, ledger)

    def cancel(self) -> None:
        """Ask for the job's end; `run` returns soon after."""
        self._cancel.set()

    def run(self, *, resume: bool) -> None:
        """Live the job's life; tells how it ended."""
        try:
            self._open(resume=resume)
            self._watch()
            self._aggregate()
            self._ended(self._result())
        except GristmillError as error:
            log.info("job %s ended: %s", self.job.name, error)
            self._give_up(error)
        except Exception as error:
            log.exception("job %s ended by a fault of the coordinator", self.job.name)
            self._give_up(unexpected("the coordinator", error))
        finally:
            self._planner.stop()

    def _open(self, *, resume: bool) -> None:
        """Open the ledger and let the plan begin; the first instances are wanted at once."""
        self._say(JobStatus.QUEUED, "waiting for an instance")
        if resume:
            self._reopen()
        else:
            self._ledger.open(
                self.job.name,
                epoch=new_epoch(),
                lease_seconds=self._lease_seconds,
                error_threshold=self.job.deployment.settings.error_threshold,
            )
        self._reconciler.want_instances(self._ledger.snapshot(self.job.name))
        self._planner.start()

    def _reopen(self) -> None:
        """Open the ledger with what an earlier run has done; what failed is tried again unless publishing had begun."""
        fixed = self.folder.exists(job_folder.PUBLISHING)
        if not fixed:
            self.folder.delete(job_folder.MERGE)
        rebuild(self.job, self.folder, self._ledger, lease_seconds=self._lease_seconds, retry_failed=not fixed)

    def _watch(self) -> None:
        """Stay until everything is scored, or the job was stopped."""
        while True:
            self._planner.check()
            snapshot = self._look()
            if snapshot.state != "open":
                break
            if self._cancel.is_set():
                self._say(JobStatus.CANCEL_REQUESTED, "")
                self._ledger.stop(self.job.name, state="canceled", error=None)
                continue
            self._reconciler.want_instances(snapshot)
            self._ledger.wait(self.job.name, WATCH_SECONDS)
        self._planner.stop()
        self._timeline.note("scored")

    def _look(self) -> Snapshot:
        """Read the ledger, tell what is new, and mend a ledger that lost its memory."""
        try:
            snapshot = self._ledger.snapshot(self.job.name)
        except LedgerLost:
            log.warning("job %s: the ledger lost its memory; rebuilding it from storage", self.job.name)
            self._planner.stop()
            rebuild(self.job, self.folder, self._ledger, lease_seconds=self._lease_seconds)
            self._planner = Planner(self.job, self.folder, self._ledger)
            self._planner.start()
            snapshot = self._ledger.snapshot(self.job.name)
        self._timeline.see(snapshot)
        self._say(*_status_of(snapshot))
        self._tell("progress", {"job": self.job.name, **self._progress.document(snapshot)})
        return snapshot

    def _aggregate(self) -> None:
        """Have the parts merged (or, of a job that was stopped, its errors gathered), and wait for the result."""
        snapshot = self._look()
        publish = snapshot.state == "scored"
        if snapshot.state == "canceled":
            self._wait_for_leavers()
            raise JobCanceled(f"job {self.job.name} was cancelled")
        self.folder.replace(job_folder.TIMELINE, self._timeline.to_bytes(snapshot))
        while snapshot.state != "closed":
            self._reconciler.want_aggregate(snapshot, publish=publish)
            self._ledger.wait(self.job.name, WATCH_SECONDS)
            snapshot = self._look()
            if self._cancel.is_set() and not publish:
                break

    def _wait_for_leavers(self) -> None:
        """Wait until no instance works for the job any more, or the time for leaving is over."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while time.monotonic() < deadline and self._ledger.snapshot(self.job.name).instances:
            self._ledger.wait(self.job.name, 0.05)

    def _result(self) -> dict[str, Any]:
        """Return what the aggregator said of its work."""
        try:
            document: dict[str, Any] = json.loads(self.folder.read(job_folder.RESULT))
        except NotFound as error:
            raise JobFailed(f"job {self.job.name} was closed without a result") from error
        return document

    def _give_up(self, error: GristmillError) -> None:
        """End a job that cannot go on here."""
        status = JobStatus.CANCELED if isinstance(error, JobCanceled) else JobStatus.FAILED
        try:
            self._ledger.stop(self.job.name, state="canceled", error=error.to_json())
            self._wait_for_leavers()
            self._ledger.close(self.job.name, status=status)
        except GristmillError as second:
            log.warning("job %s: its ledger could not be closed: %s", self.job.name, second)
        result = {"status": status, "error": error.to_json()}
        try:
            self.folder.replace(job_folder.RESULT, json.dumps(result).encode())
        except GristmillError as second:
            log.warning("job %s: its result could not be written: %s", self.job.name, second)
        self._ended(result)

    def _ended(self, result: dict[str, Any]) -> None:
        self._leave_queue()
        places = {name: result.get(name) for name in ("output", "summary", "errors")}
        self._say(JobStatus(result["status"]), "")
        self._tell(
            "finished",
            {
                "job": self.job.name,
                "status": result["status"],
                "error": result.get("error"),
                "folder": self.folder.url,
                "document": self._summary() if result.get("summary") else None,
                **places,
            },
        )

    def _leave_queue(self) -> None:
        """Remove the queue of a compute that served this job alone."""
        if self.job.deployment.compute != own_compute(self.job.name):
            return
        try:
            self._queue.remove(self.job.deployment.compute)
        except GristmillError as error:
            log.warning("job %s: its queue could not be removed: %s", self.job.name, error)

    def _summary(self) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] = json.loads(self.folder.read(job_folder.SUMMARY))
        except GristmillError as error:
            log.warning("job %s: its summary cannot be read: %s", self.job.name, error)
            return None
        return document

    def _say(self, status: JobStatus, detail: str) -> None:
        if (status, detail) != self._status:
            self._status = (status, detail)
            self._tell("status", {"job": self.job.name, "status": status, "detail": detail})


def _status_of(snapshot: Snapshot) -> tuple[JobStatus, str]:
    """Return a job's status as the ledger shows it, and what it waits for."""
    workers = [instance for instance in snapshot.instances if instance.info.get("role") != AGGREGATOR]
    if snapshot.state == "canceled":
        return JobStatus.CANCEL_REQUESTED, ""
    if snapshot.state != "open":
        return JobStatus.FINALIZING, "merging the parts" if snapshot.state == "scored" else "gathering the errors"
    if snapshot.done or any(instance.info.get("scorers", 0) for instance in workers):
        return JobStatus.RUNNING, ""
    if workers:
        return JobStatus.PREPARING, str(workers[0].info.get("doing", ""))
    return JobStatus.QUEUED, "waiting for an instance"

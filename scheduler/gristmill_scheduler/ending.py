"""A job's end, told: its result read or written, its own queue removed, and its owner informed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from gristmill.errors import AlreadyExists, GristmillError, JobCanceled, JobFailed, NotFound, StorageFailed
from gristmill.spec import Job, own_compute
from gristmill.states import JobStatus
from gristmill_scheduler.job_texts import JobTexts
from gristmill_storage import job_folder
from gristmill_storage.documents import document_or_none, read_document
from gristmill_storage.files import Store
from gristmill_storage.job_report import write_report
from gristmill_storage.messages import Sender

#: What a coordinator tells: the event's name and its document.
Tell = Callable[[str, dict[str, Any]], None]

log = logging.getLogger("gristmill.scheduler")


class Ending:
    """How one job's end becomes known."""

    def __init__(self, job: Job, folder: Store, *, queue: Sender, tell: Tell, texts: JobTexts) -> None:
        """Take the job, its folder, the queue that may be its own, who is told, and the texts for people."""
        self._job = job
        self._folder = folder
        self._queue = queue
        self._tell = tell
        self._texts = texts

    def result(self, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what the aggregator, or an earlier coordinator, said of the job's end.

        Where storage has not taken it, or does not give it, what the ledger knew of the end (`known`) stands for it.

        Raises:
            JobFailed: there is nothing.

        """
        try:
            document = read_document(self._folder, job_folder.RESULT)
        except StorageFailed as error:
            if known:
                canceled = known.get("class") == JobCanceled.__name__
                return {"status": JobStatus.CANCELED if canceled else JobStatus.FAILED, "error": dict(known)}
            if not isinstance(error, NotFound):
                raise
            raise JobFailed(f"job {self._job.name} was closed without a result") from error
        return document

    def write(self, error: GristmillError) -> dict[str, Any]:
        """Write down that an error ended the job; return its result, which is a good one where that came first.

        No aggregator may have been there, so its attempts are reported here.
        """
        write_report(self._folder)
        status = JobStatus.CANCELED if isinstance(error, JobCanceled) else JobStatus.FAILED
        result = {"status": status, "error": error.to_json()}
        try:
            return self._note(result)
        except GristmillError as second:
            log.warning("job %s: its result could not be written: %s", self._job.name, second)
        return result

    def retract(self) -> None:
        """Take back a bad end: the job goes on. A good one stays: its parts may be gone, and the ledger follows."""
        known = document_or_none(self._folder, job_folder.RESULT)
        if known is None or known.get("status") != JobStatus.COMPLETED:
            self._folder.delete(job_folder.RESULT)

    def _note(self, result: dict[str, Any]) -> dict[str, Any]:
        """Write down a bad end, unless the aggregator has come to a good one meanwhile; return what stands there."""
        data = json.dumps(result).encode()
        try:
            self._folder.create(job_folder.RESULT, data)
        except AlreadyExists:
            known = document_or_none(self._folder, job_folder.RESULT)
            if known is not None and known.get("status") == JobStatus.COMPLETED:
                return known
            self._folder.replace(job_folder.RESULT, data)
        return result

    def tell(self, result: dict[str, Any]) -> None:
        """Tell the owner how the job ended."""
        self._leave_queue()
        self._texts.end(result)
        log.info("job %s: %s", self._job.name, result["status"])
        places = {name: result.get(name) for name in ("output", "summary", "errors")}
        self._tell("status", {"job": self._job.name, "status": JobStatus(result["status"]), "detail": ""})
        self._tell(
            "finished",
            {
                "job": self._job.name,
                "status": result["status"],
                "error": result.get("error"),
                "folder": self._folder.url,
                "document": self._summary() if result.get("summary") else None,
                **places,
            },
        )

    def _leave_queue(self) -> None:
        """Remove the queue of a compute that served this job alone."""
        if self._job.deployment.compute != own_compute(self._job.name):
            return
        try:
            self._queue.remove(self._job.deployment.compute)
        except GristmillError as error:
            log.warning("job %s: its queue could not be removed: %s", self._job.name, error)

    def _summary(self) -> dict[str, Any] | None:
        try:
            return read_document(self._folder, job_folder.SUMMARY)
        except GristmillError as error:
            log.warning("job %s: its summary cannot be read: %s", self._job.name, error)
            return None

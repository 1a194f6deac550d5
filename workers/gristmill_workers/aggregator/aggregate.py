"""A job's end: what counts is fixed, merged, published, reported, and the job is closed.

Each step can be ended at any moment and the whole begun again: what counts is written down before the merge, the output
appears at once or not at all, the result is written when all else is in its place, and only then do the parts go. Two
aggregators at once do the same work to the same bytes; the first to publish wins, and the other finds its own bytes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from typing import Any, Final

from gristmill.counts import counted
from gristmill.errors import Corrupt, GristmillError, JobCanceled, LedgerFailed, NotFound, NothingSucceeded, unexpected
from gristmill.spec import Job
from gristmill.states import JobStatus
from gristmill_storage import job_folder, log_files
from gristmill_storage.documents import document_or_none, read_document
from gristmill_storage.files import Store, open_store
from gristmill_storage.job_report import write_report
from gristmill_storage.ledger import Ledger
from gristmill_storage.output_index import settle
from gristmill_storage.patient_store import patience_of, patient
from gristmill_workers.aggregator.indexing import output_name
from gristmill_workers.aggregator.merging import Merge, accepted_now, count, fix_what_counts
from gristmill_workers.aggregator.ordered import in_order
from gristmill_workers.aggregator.partial import Published
from gristmill_workers.aggregator.publishing import publishing
from gristmill_workers.aggregator.summary import Tally, summary_document

#: The documented sentence for a job in which nothing succeeded.
NOTHING_SUCCEEDED: Final = (
    "There is no succeeded mini batch item returned from run(). "
    "Please check 'response: run()' in https://aka.ms/batch-inference-documentation."
)

#: Seconds that instances are given to bring their logs, and between two looks whether they have.
LEAVE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.02

log = logging.getLogger("gristmill.node")


def aggregate(
    job: Job,
    folder: Store,
    ledger: Ledger,
    *,
    publish: bool,
    partial: bool = False,
    merging: Callable[[Tally], None] = lambda _tally: None,
) -> None:
    """Merge and publish a job's results; of a job that failed (`publish` false), gather its errors only.

    With `partial`, what is finished of a job that was cancelled is published, and its parts stay for a resume.
    The result, good or bad, is written to the job's folder and the job is closed in the ledger. `merging` is handed
    the counts of the merge when that begins; they grow while it goes on.

    Raises:
        LedgerFailed: the ledger is away, or lost its memory; nothing of the job has ended.

    """
    aggregation = Aggregation(job, folder, ledger, merging=merging)
    life = ledger.snapshot(job.name).epoch
    result = _completed(folder)
    if result is None:
        try:
            result = _end(aggregation, publish=publish, partial=partial)
        except LedgerFailed:
            # No fault of the job's: its coordinator makes the ledger again, and asks for an aggregator then.
            raise
        except GristmillError as error:
            result = _completed(folder) or aggregation.report(error)
        except Exception as error:
            # Passed over, it would end the next try too, for ever.
            log.exception("the parts of job %s could not be merged", job.name)
            result = aggregation.report(unexpected("merging the parts", error))
        if result["status"] != JobStatus.COMPLETED and ledger.snapshot(job.name).epoch != life:
            log.info("job %s was resumed meanwhile: what this aggregator found ends nothing", job.name)
            return
        aggregation.log_attempts()
        try:
            folder.replace(job_folder.RESULT, json.dumps(result).encode())
        except GristmillError as error:
            # Storage takes no result: the ledger carries what went wrong, and a resume goes on from the parts.
            log.warning("job %s: its result could not be written: %s", job.name, error)
            status = result["status"] if result["error"] else JobStatus.FAILED
            result = {"status": status, "error": result["error"] or error.to_json()}
    if result["status"] == JobStatus.COMPLETED:
        _tidy(folder)
    aggregation.sweep()
    ledger.close(job.name, status=result["status"], error=result["error"], epoch=_life_of(result, life))


def _life_of(result: dict[str, Any], life: str) -> str:
    """Return which life of the job ends: a good end is any life's, a bad one that of its own alone."""
    return "" if result["status"] == JobStatus.COMPLETED else life


def _completed(folder: Store) -> dict[str, Any] | None:
    """Return the result of an earlier try, or of another aggregator, that came to the job's good end."""
    result = document_or_none(folder, job_folder.RESULT)
    return result if result is not None and result.get("status") == JobStatus.COMPLETED else None


def _end(aggregation: Aggregation, *, publish: bool, partial: bool) -> dict[str, Any]:
    if partial:
        return aggregation.keep()
    return aggregation.run() if publish else aggregation.report()


def _tidy(folder: Store) -> None:
    """Remove what a completed job needs no more."""
    for tree in (job_folder.PARTS, job_folder.FILES):
        folder.delete_tree(tree)
    folder.delete(job_folder.PARTIAL)


class Aggregation:
    """One try at a job's end."""

    def __init__(
        self, job: Job, folder: Store, ledger: Ledger, *, merging: Callable[[Tally], None] = lambda _tally: None
    ) -> None:
        """Take the job, its folder, the ledger that knows what counts, and who is told of a merge that begins."""
        self._merging = merging
        self._job = job
        self._folder = folder
        self._ledger = ledger
        self._output = patient(open_store(job.output.folder), patience_of(folder))
        self._began = time.time()

    def run(self) -> dict[str, Any]:
        """Merge, publish, report; return the result.

        Raises:
            GristmillError: the output cannot be published; nothing half-written is left.

        """
        if self._job.retry_of:
            # Seldom needed, and a fifth of what the aggregator imports.
            splice = import_module("gristmill_workers.aggregator.splice")
            result: dict[str, Any] = splice.Splice(self._job, self._folder, self._ledger).run(self._summary)
            return result
        accepted = fix_what_counts(self._folder, self._ledger, self._job.name)
        merge = self._merge(whole=True)
        with ExitStack() as stack:
            indexed = merge.run(accepted, stack)
            self._check_whole(merge.tally)
            merge.files.check()
            indexed.close(merge.files.describe())
            with publishing(self._folder):
                self._publish(merge)
        return self._finish(merge, JobStatus.COMPLETED, None)

    def keep(self) -> dict[str, Any]:
        """Publish what is finished of a job that was cancelled; return the result.

        Raises:
            GristmillError: there is nothing to publish, or it cannot be.

        """
        if self._job.retry_of:
            return self.report()
        merge = self._merge(whole=False)
        with ExitStack() as stack:
            indexed = merge.run(accepted_now(self._ledger, self._job.name), stack)
            merge.tally.unscored = self._ledger.snapshot(self._job.name).items_planned - merge.tally.items
            if not merge.tally.succeeded:
                return self.report()
            merge.files.check()
            indexed.close(merge.files.describe())
            name, rows = output_name(self._job), merge.rows
            if name is not None and rows is not None and merge.place is not None:
                merge.place.refuse(rows)
                Published.read(self._folder).note(self._folder, self._output, name, rows.fingerprint)
            else:
                self._folder.replace(job_folder.PARTIAL, b'{"size": 0, "crc": 0}')
            self._publish(merge)
        return self._finish(merge, JobStatus.CANCELED, self._why_ended().to_json())

    def log_attempts(self) -> None:
        """Put the report of all attempts into the job's logs; where they are elsewhere, instances bring theirs last."""
        with log_files.harmless("the report of the attempts"):
            self._await_logs()
            write_report(self._folder)

    def _await_logs(self) -> None:
        deadline = time.monotonic() + LEAVE_SECONDS
        elsewhere = self._folder.local_path(job_folder.LOGS) is None
        while elsewhere and time.monotonic() < deadline and self._scored_by():
            time.sleep(LOOK_SECONDS)

    def _scored_by(self) -> bool:
        instances = self._ledger.snapshot(self._job.name).instances
        return any(instance.info.get("role") == "instance" for instance in instances)

    def sweep(self) -> None:
        """Remove what aggregators left half written that were killed."""
        for store in (self._output, self._folder):
            store.sweep(recursive=False)

    def _merge(self, *, whole: bool) -> Merge:
        own = Published.read(self._folder).own
        merge = Merge(self._job, self._folder, self._output, whole=whole, own=own)
        self._merging(merge.tally)
        return merge

    def _check_whole(self, tally: Tally) -> None:
        planned = self._ledger.snapshot(self._job.name).planned
        if tally.mini_batches != planned:
            raise Corrupt(
                f"{self._folder.url}: its parts hold {tally.mini_batches:,} of {counted(planned, 'mini-batch')}"
            )
        if not tally.succeeded:
            raise NothingSucceeded(NOTHING_SUCCEEDED)

    def _publish(self, merge: Merge) -> None:
        """Make everything appear, the output last; then the index takes its place."""
        if merge.place is not None and merge.rows is not None:
            merge.place.refuse(merge.rows)
            merge.files.publish()
            merge.place.publish(merge.rows)
        else:
            merge.files.publish()
        settle(self._folder)
        if merge.tally.failed:
            merge.errors.publish()
        else:
            self._output.delete(job_folder.OUTPUT_ERRORS)

    def _finish(self, merge: Merge, status: JobStatus, error: dict[str, Any] | None) -> dict[str, Any]:
        """Write the summary; return the result."""
        name, tally = output_name(self._job), merge.tally
        result = {
            "status": status,
            "error": error,
            "output": self._output.url if name is None else self._address(name),
            "summary": self._address(job_folder.OUTPUT_SUMMARY),
            "errors": self._address(job_folder.OUTPUT_ERRORS) if tally.failed else None,
        }
        size = None if merge.rows is None else merge.rows.tell()
        document = self._summary(result, tally, output_bytes=size, written_files=len(merge.files))
        self._output.replace(job_folder.OUTPUT_SUMMARY, document)
        self._folder.replace(job_folder.SUMMARY, document)
        return result

    def report(self, error: GristmillError | None = None) -> dict[str, Any]:
        """Gather the errors of a job that was ended into its folder, with a summary; return the result.

        The output folder is left as it was.
        """
        error = error or self._why_ended()
        patience_of(self._folder).end()  # the job has failed: what can be said of it is said at once
        tally = Tally()
        try:
            with self._folder.writer(job_folder.ERRORS, overwrite=True) as errors:
                for placed in in_order(self._folder, accepted_now(self._ledger, self._job.name), whole=False):
                    count(placed, tally, errors)
                errors.publish()
        except GristmillError as second:
            log.warning("job %s: its errors could not be gathered: %s", self._job.name, second)
        result = {
            "status": JobStatus.CANCELED if isinstance(error, JobCanceled) else JobStatus.FAILED,
            "error": error.to_json(),
            "output": None,
            "summary": f"{self._folder.url}/{job_folder.SUMMARY}",
            "errors": f"{self._folder.url}/{job_folder.ERRORS}" if tally.failed else None,
        }
        try:
            self._folder.replace(job_folder.SUMMARY, self._summary(result, tally))
        except GristmillError as second:
            log.warning("job %s: its summary could not be written: %s", self._job.name, second)
            result["summary"] = None
        return result

    def _why_ended(self) -> GristmillError:
        snapshot = self._ledger.snapshot(self._job.name)
        if snapshot.error:
            return GristmillError.from_json(dict(snapshot.error))
        if snapshot.state == "canceled":
            return JobCanceled(f"job {self._job.name} was cancelled")
        return GristmillError(f"job {self._job.name} was stopped")

    def _summary(self, result: dict[str, Any], tally: Tally, **more: object) -> bytes:
        try:
            timeline = read_document(self._folder, job_folder.TIMELINE)
        except (NotFound, Corrupt) as error:
            log.warning("job %s: the times of its summary are not known: %s", self._job.name, error)
            timeline = {}
        document = summary_document(
            self._job, result, tally, timeline, aggregate_began=self._began, tallies=self._tallies()
        )
        return (json.dumps({**document, **more}, indent=2) + "\n").encode()

    def _tallies(self) -> dict[str, int]:
        try:
            return self._ledger.tallies(self._job.name)
        except GristmillError as error:
            log.warning("job %s: what took how long is not known: %s", self._job.name, error)
            return {}

    def _address(self, name: str) -> str:
        return f"{self._output.url}/{name}"

"""A job's end: what counts is fixed, merged, published, reported, and the job is closed.

Each step can be ended at any moment and the whole begun again: what counts is written down before the merge, the output
appears at once or not at all, and the result is written last. Two aggregators at once do the same work to the same
bytes; the first to publish wins.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from gristmill.errors import (
    AlreadyExists,
    Corrupt,
    GristmillError,
    NotFound,
    NothingSucceeded,
    OutputExists,
    unexpected,
)
from gristmill.spec import Job, OutputAction, RowFormat
from gristmill.states import JobStatus
from gristmill_storage import job_folder
from gristmill_storage.files import Store, Writer, open_store
from gristmill_storage.ledger import Ledger, Range
from gristmill_workers.aggregator.ordered import Accepted, Placed, in_order
from gristmill_workers.aggregator.rows import RowCopier, union_of_columns
from gristmill_workers.aggregator.summary import Tally, summary_document
from gristmill_workers.aggregator.written import WrittenFiles

#: The documented sentence for a job in which nothing succeeded.
NOTHING_SUCCEEDED: Final = (
    "There is no succeeded mini batch item returned from run(). "
    "Please check 'response: run()' in https://aka.ms/batch-inference-documentation."
)

log = logging.getLogger("gristmill.node")


def aggregate(job: Job, folder: Store, ledger: Ledger, *, publish: bool) -> None:
    """Merge and publish a job's results; of a job that failed (`publish` false), gather its errors only.

    The result, good or bad, is written to the job's folder and the job is closed in the ledger.
    """
    aggregation = Aggregation(job, folder, ledger)
    try:
        result = aggregation.run() if publish else aggregation.report(_why_stopped(ledger, job))
    except GristmillError as error:
        result = aggregation.report(error)
    except Exception as error:
        # Passed over, it would end the next try too, for ever.
        log.exception("the parts of job %s could not be merged", job.name)
        result = aggregation.report(unexpected("merging the parts", error))
    folder.replace(job_folder.RESULT, json.dumps(result).encode())
    ledger.close(job.name, status=result["status"])


def _why_stopped(ledger: Ledger, job: Job) -> GristmillError:
    error = ledger.snapshot(job.name).error
    return GristmillError.from_json(dict(error)) if error else GristmillError(f"job {job.name} was stopped")


class Aggregation:
    """One try at a job's end."""

    def __init__(self, job: Job, folder: Store, ledger: Ledger) -> None:
        """Take the job, its folder, and the ledger that knows what counts."""
        self._job = job
        self._folder = folder
        self._ledger = ledger
        self._settings = job.deployment.settings
        self._output = open_store(job.output.folder)
        self._began = time.time()
        self._tally = Tally()

    def run(self) -> dict[str, Any]:
        """Merge, publish, report; return the result.

        Raises:
            GristmillError: the output cannot be published; nothing half-written is left.

        """
        accepted = self._fix_what_counts()
        overwrite = self._job.output.overwrite
        reserved = (self._settings.output_file_name, job_folder.OUTPUT_SUMMARY, job_folder.OUTPUT_ERRORS)
        files = WrittenFiles(
            self._folder,
            self._output,
            job=self._job.name,
            reserved=reserved,
            overwrite=overwrite,
        )
        with ExitStack() as stack:
            rows = self._rows_writer(stack)
            errors = stack.enter_context(self._output.writer(job_folder.OUTPUT_ERRORS, overwrite=True))
            self._merge(accepted, rows, errors, files)
            if not self._tally.succeeded:
                raise NothingSucceeded(NOTHING_SUCCEEDED)
            files.check()
            with self._publishing() as begun_before:
                files.publish()
                if rows is not None:
                    self._publish(rows, begun_before=begun_before)
            if self._tally.failed:
                errors.publish()
            else:
                self._output.delete(job_folder.OUTPUT_ERRORS)
        return self._finish(len(files))

    def _fix_what_counts(self) -> list[Accepted]:
        """Write down which mini-batches count from which part, unless an earlier try did; return it."""
        try:
            document = json.loads(self._folder.read(job_folder.MERGE))
        except NotFound:
            document = sorted(self._ledger.parts(self._job.name))
            try:
                self._folder.create(job_folder.MERGE, json.dumps(document).encode())
            except AlreadyExists:
                document = json.loads(self._folder.read(job_folder.MERGE))
        return [Accepted(part=part, ranges=tuple(map(_range, ranges))) for part, ranges in document]

    def _rows_writer(self, stack: ExitStack) -> Writer | None:
        if self._settings.output_action is OutputAction.SUMMARY_ONLY:
            return None
        name = self._settings.output_file_name
        return stack.enter_context(self._output.writer(name, overwrite=self._job.output.overwrite))

    def _merge(self, accepted: list[Accepted], rows: Writer | None, errors: Writer, files: WrittenFiles) -> None:
        """Go through every mini-batch once, in order."""
        add, close = self._row_sink(accepted, rows)
        for placed in in_order(self._folder, accepted, whole=True):
            add(placed)
            self._count(placed, errors)
            files.add(placed.reader.name, placed.block.mini_batch, placed.block.files)
        close()
        planned = self._ledger.snapshot(self._job.name).planned
        if self._tally.mini_batches != planned:
            raise Corrupt(f"{self._folder.url}: {self._tally.mini_batches} of {planned} mini-batches are in its parts")

    def _row_sink(
        self,
        accepted: list[Accepted],
        rows: Writer | None,
    ) -> tuple[Callable[[Placed], None], Callable[[], None]]:
        """Return what takes a mini-batch's rows, and what ends them."""
        if rows is None:
            return lambda _: None, lambda: None
        if self._settings.output_format is RowFormat.PARQUET:
            from gristmill_workers.aggregator.parquet import (  # noqa: PLC0415 - an optional extra
                ParquetRows,
                schema_of,
            )

            parquet = ParquetRows(rows, schema_of(self._blocks(accepted)))
            return parquet.add, parquet.close
        header = union_of_columns(self._blocks(accepted)) if self._settings.header else ()
        return RowCopier(rows, self._settings, header).add, lambda: None

    def _blocks(self, accepted: list[Accepted]) -> Iterator[Placed]:
        return in_order(self._folder, accepted, whole=True)

    def _count(self, placed: Placed, errors: Writer) -> None:
        """Add a mini-batch to the summary's counts and its errors to errors.jsonl."""
        found = placed.reader.errors(placed.block)
        self._tally.add(placed.block, found)
        for error in found:
            errors.write(_line(error))

    @contextmanager
    def _publishing(self) -> Iterator[bool]:
        """Note that from here on a file of the output's name may be the job's own; gives whether it was noted before.

        Where the first try finds somebody else's file, the note goes: the next one must not take that for its own.
        """
        begun_before = self._folder.exists(job_folder.PUBLISHING)
        self._folder.replace(job_folder.PUBLISHING, b"{}")
        try:
            yield begun_before
        except OutputExists:
            if not begun_before:
                self._folder.delete(job_folder.PUBLISHING)
            raise

    def _publish(self, rows: Writer, *, begun_before: bool) -> None:
        """Make the output appear; a same one that an earlier try of this job put there is fine."""
        name, size = self._settings.output_file_name, rows.tell()
        try:
            rows.publish()
        except AlreadyExists as error:
            if begun_before and self._output.size(name) == size:
                return
            message = f"output: {name} appeared in {self._output.url} while the job ran; allow --overwrite"
            raise OutputExists(message) from error

    def _finish(self, files: int) -> dict[str, Any]:
        """Write the summary, remove the parts, return the result."""
        rows = self._settings.output_action is OutputAction.APPEND_ROW
        output = self._address(self._settings.output_file_name) if rows else self._output.url
        result = {
            "status": JobStatus.COMPLETED,
            "error": None,
            "output": output,
            "summary": self._address(job_folder.OUTPUT_SUMMARY),
            "errors": self._address(job_folder.OUTPUT_ERRORS) if self._tally.failed else None,
        }
        size = self._output.size(self._settings.output_file_name) if rows else None
        document = self._summary(result, output_bytes=size, written_files=files)
        self._output.replace(job_folder.OUTPUT_SUMMARY, document)
        self._folder.replace(job_folder.SUMMARY, document)
        for tree in (job_folder.PARTS, job_folder.FILES):
            self._folder.delete_tree(tree)
        return result

    def report(self, error: GristmillError) -> dict[str, Any]:
        """Gather the errors of a job that failed into its folder, with a summary; return the result.

        The output folder is left as it was.
        """
        self._tally = Tally()
        try:
            with self._folder.writer(job_folder.ERRORS, overwrite=True) as errors:
                for placed in in_order(self._folder, self._accepted_now(), whole=False):
                    self._count(placed, errors)
                errors.publish()
        except GristmillError as second:
            log.warning("job %s: its errors could not be gathered: %s", self._job.name, second)
        result = {
            "status": JobStatus.FAILED,
            "error": error.to_json(),
            "output": None,
            "summary": f"{self._folder.url}/{job_folder.SUMMARY}",
            "errors": f"{self._folder.url}/{job_folder.ERRORS}" if self._tally.failed else None,
        }
        self._folder.replace(job_folder.SUMMARY, self._summary(result))
        return result

    def _accepted_now(self) -> Iterable[Accepted]:
        for part, ranges in self._ledger.parts(self._job.name):
            yield Accepted(part=part, ranges=tuple(map(_range, ranges)))

    def _summary(self, result: dict[str, Any], **more: object) -> bytes:
        try:
            timeline = json.loads(self._folder.read(job_folder.TIMELINE))
        except NotFound:
            timeline = {}
        document = summary_document(self._job, result, self._tally, timeline, aggregate_began=self._began)
        return (json.dumps({**document, **more}, indent=2) + "\n").encode()

    def _address(self, name: str) -> str:
        return f"{self._output.url}/{name}"


def _range(pair: Iterable[int]) -> Range:
    first, last = pair
    return first, last


def _line(error: dict[str, Any]) -> bytes:
    return (json.dumps(error) + "\n").encode("ascii")

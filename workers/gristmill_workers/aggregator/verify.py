"""Proves from storage alone that a job's items are each in exactly one place: `python -m ... --folder URL`.

Of a completed job: every mini-batch of the manifest is once in the index, the index' mini-batches follow one another
over the whole output, each one's bytes are those that were written, every failed item stands in errors.jsonl, and the
summary's numbers are those found. Of any other: its parts are whole, and what of it is done is counted. Memory is
flat. Prints one JSON document; exits with 0 (all is well), 1 (something is wrong) or 2 (there is no such job).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from gristmill.counts import counted
from gristmill.errors import Corrupt, GristmillError, JobNotFound, NotFound
from gristmill.spec import Job
from gristmill.states import JobStatus
from gristmill_storage import job_folder
from gristmill_storage.documents import document_or_none, read_job
from gristmill_storage.files import Store, open_store
from gristmill_storage.manifest import ManifestReader, Totals
from gristmill_storage.output_index import NEXT, IndexReader, Record, fingerprint
from gristmill_storage.parts import list_parts
from gristmill_workers.aggregator.check_errors import ErrorsCheck
from gristmill_workers.aggregator.check_parts import check_parts
from gristmill_workers.aggregator.check_rows import RowsCheck
from gristmill_workers.aggregator.faults import Findings
from gristmill_workers.aggregator.planned import Planned


def verify(url: str) -> dict[str, Any]:
    """Check the job in a folder; return what was looked at and what is wrong.

    Raises:
        JobNotFound: there is no job in that folder.

    """
    folder = open_store(url)
    job, findings = read_job(folder), Findings()
    status = str((document_or_none(folder, job_folder.RESULT) or {}).get("status", JobStatus.NOT_STARTED))
    _Verification(job, folder, findings, complete=status == JobStatus.COMPLETED).run()
    return findings.document(job.name, status)


def _output_of(job: Job, folder: Store) -> Store:
    """Return the output folder: where the job's folder is now, also if both were moved."""
    below = f"/{job_folder.HIDDEN}/{job.name}"
    place = folder.url.rstrip("/")
    return open_store(place.removesuffix(below) if place.endswith(below) else job.output.folder)


class _Verification:
    """One look at a job's storage."""

    def __init__(self, job: Job, folder: Store, findings: Findings, *, complete: bool) -> None:
        self._job = job
        self._folder = folder
        self._output = _output_of(job, folder)
        self._findings = findings
        self._complete = complete
        self._totals: Totals | None = None

    def run(self) -> None:
        """Look at all there is."""
        self._check_manifest()
        if self._complete:
            # What a late writer left counts for nothing; it is told, and is no fault.
            left = sum(1 for _ in list_parts(self._folder))
            self._findings.checked.update({"parts_left": left} if left else {})
        else:
            check_parts(self._folder, self._findings)
        if self._job.retry_of:
            if self._complete:
                self._check_retried()
        elif not self._complete and self._folder.exists(NEXT):
            self._findings.checked["publishing_interrupted"] = 1
        elif self._complete or self._folder.exists(job_folder.PARTIAL):
            self._check_output()

    def _check_manifest(self) -> None:
        manifest = ManifestReader(self._folder)
        try:
            self._totals = manifest.verify()
            if self._complete and manifest.totals() is None:
                self._findings.fault(f"{job_folder.MANIFEST_END}: is gone: nothing says that the plan is whole")
        except GristmillError as error:
            self._findings.fault(error.message)

    def _check_retried(self) -> None:
        """Check the output of the job whose failed items this one scored again: it is that job's."""
        folder = open_store(self._folder.url.rstrip("/").removesuffix(self._job.name) + self._job.retry_of)
        try:
            _Verification(read_job(folder), folder, self._findings, complete=True).run()
        except JobNotFound as error:
            self._findings.fault(error.message)

    def _check_output(self) -> None:
        try:
            index = IndexReader(self._folder)
        except NotFound:
            self._findings.fault(f"{job_folder.INDEX}: is gone: nothing says whose the output's bytes are")
            return
        except Corrupt as error:
            self._findings.fault(error.message)
            return
        with ExitStack() as stack:
            rows = self._rows(index, stack)
            errors = ErrorsCheck(self._output, job_folder.OUTPUT_ERRORS, self._findings)
            counts = self._go_through(index, rows, errors)
            errors.finish()
            if rows is not None:
                rows.finish(rows=counts["rows"])
        self._check_files(index)
        self._check_summary(index, counts, errors)

    def _rows(self, index: IndexReader, stack: ExitStack) -> RowsCheck | None:
        name = index.header.output
        if name is None:
            return None
        try:
            file = stack.enter_context(self._output.open(name))
        except NotFound:
            self._findings.fault(f"{name}: is gone from {self._output.url}")
            return None
        return RowsCheck(name, file, index, self._findings)

    def _go_through(self, index: IndexReader, rows: RowsCheck | None, errors: ErrorsCheck) -> dict[str, int]:
        """Go through manifest, index, output and errors side by side; return what was counted."""
        plan = Planned(self._folder, readable=self._totals is not None)
        counts = dict.fromkeys(("mini_batches", "items", "succeeded", "failed", "rows"), 0)
        expected = 0
        for record in index.records():
            number = record.mini_batch
            if number < expected or (index.header.whole and number > expected):
                what = "is there twice" if number < expected else f"follows {expected - 1}: some are missing"
                self._findings.fault(f"{job_folder.INDEX}: mini-batch {number} {what}")
            expected = number + 1
            items = plan.items(number)
            self._check_record(record, items, known=self._totals is not None)
            if rows is not None:
                rows.check(record, items)
            errors.check(record, items)
            counts["mini_batches"] += 1
            for key in ("items", "succeeded", "failed", "rows"):
                counts[key] += getattr(record, key)
        if index.header.whole and self._totals is not None:
            self._compare(job_folder.INDEX, "mini-batches", counts["mini_batches"], self._totals.mini_batches)
            self._compare(job_folder.INDEX, "items", counts["items"], self._totals.items)
        self._findings.checked.update(counts)
        return counts

    def _check_record(self, record: Record, items: tuple[str, ...] | None, *, known: bool) -> None:
        who = f"{job_folder.INDEX}: mini-batch {record.mini_batch}"
        if known and items is None:
            self._findings.fault(f"{who} is not in the manifest")
        if items is not None and len(items) != record.items:
            self._findings.fault(f"{who} has {counted(record.items, 'item')}, {len(items):,} in the manifest")
        if record.succeeded + record.failed != record.items:
            self._findings.fault(f"{who}: {record.succeeded} succeeded and {record.failed} failed of {record.items}")
        for key in ("items", "succeeded", "rows", "size") if record.pieces else ():
            if sum(getattr(piece, key) for piece in record.pieces) != getattr(record, key):
                self._findings.fault(f"{who}: its pieces do not make up its {key}")

    def _check_files(self, index: IndexReader) -> None:
        for file in index.files():
            self._findings.checked["files"] += 1
            found = fingerprint(self._output, file.name)
            if found is None:
                self._findings.fault(f"{file.name}: is gone from {self._output.url}")
            elif found != (file.size, file.crc):
                numbers = ", ".join(str(number) for number, _ in file.sources[:5])
                self._findings.fault(
                    f"{file.name}: its {found[0]} bytes are not the {file.size} that the script wrote "
                    f"(mini-batch {numbers})"
                )

    def _check_summary(self, index: IndexReader, counts: dict[str, int], errors: ErrorsCheck) -> None:
        """Compare the summary's numbers with those found."""
        name = job_folder.OUTPUT_SUMMARY
        summary = document_or_none(self._output, name)
        if summary is None:
            self._findings.fault(f"{name}: is gone from {self._output.url}, or is no JSON document")
            return
        try:
            stated = summary["items"]
            for key in ("succeeded", "failed"):
                self._compare(name, f"{key} items", stated[key], counts[key])
            self._compare(name, "items", stated["total"] - stated.get("unscored", 0), counts["items"])
            self._compare(name, "rows", summary["rows"], counts["rows"])
            self._compare(name, "mini-batches", summary["mini_batches"]["total"], counts["mini_batches"])
            self._compare(name, "errors", sum(summary["errors_by_category"].values()), errors.categories.total())
            if index.header.output is not None:
                self._compare(name, "bytes of output", summary["output_bytes"], index.size)
        except (KeyError, TypeError, AttributeError) as error:
            self._findings.fault(f"{name}: is not the summary of a job that ended ({error!r})")

    def _compare(self, where: str, what: str, stated: object, found: int) -> None:
        if stated != found:
            self._findings.fault(f"{where}: says {stated} {what}, there are {found}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a job and print what was found."""
    parser = argparse.ArgumentParser(prog="gristmill_workers.aggregator.verify", description="Verify a job's storage.")
    parser.add_argument("--folder", required=True, help="the job's folder, <output folder>/.gristmill/<job>")
    options = parser.parse_args(arguments)
    try:
        document = verify(options.folder)
    except JobNotFound as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    except GristmillError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 1
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""The end of a retry: what was scored again is brought into the output of the job whose items failed.

A new output is made from the one before and the retry's parts, in the manifest's order, with everything else as it
was, byte by byte. What is to take the others' places, errors and index, is durable in the retry's folder before the
output appears, and `splice.json` says which bytes it belongs to. So at any moment either the output before is there
and all can be made again, or the new one is and only the rest has to follow.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from gristmill.errors import GristmillError
from gristmill.spec import Job
from gristmill.states import JobStatus
from gristmill_storage import job_folder
from gristmill_storage.documents import document_or_none
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Ledger
from gristmill_storage.output_index import NEXT, IndexReader, copy, fingerprint
from gristmill_storage.patient_store import patience_of, patient
from gristmill_workers.aggregator.indexing import output_name
from gristmill_workers.aggregator.measured import Measured
from gristmill_workers.aggregator.merging import fix_what_counts
from gristmill_workers.aggregator.ordered import Accepted, in_order
from gristmill_workers.aggregator.publishing import publishing
from gristmill_workers.aggregator.splice_pass import Places, Retried, SplicePass
from gristmill_workers.aggregator.splice_rows import changed
from gristmill_workers.aggregator.summary import Tally


class Splice:
    """One try at a retry's end."""

    def __init__(self, job: Job, folder: Store, ledger: Ledger) -> None:
        """Take the retry, its folder, and the ledger that knows what of it counts."""
        self._job = job
        self._folder = folder
        self._ledger = ledger
        patience = patience_of(folder)
        self._output = patient(open_store(job.output.folder), patience)
        self._home = patient(open_store(job_folder.url(job.output.folder, job.retry_of)), patience)
        self._name = output_name(job)
        self._merge_crc = 0

    def run(self, summary: Callable[[dict[str, Any], Tally], bytes]) -> dict[str, Any]:
        """Bring in what was scored again; return the retry's result.

        Args:
            summary: Makes the retry's own summary from its result and counts.

        Raises:
            GristmillError: it cannot be brought in; the output is as it was.

        """
        accepted = fix_what_counts(self._folder, self._ledger, self._job.name)
        self._merge_crc = zlib.crc32(self._folder.read(job_folder.MERGE))
        staged = self._appeared()
        if staged is None:
            try:
                staged = self._make(accepted)
            except GristmillError:
                # Another aggregator may have been faster: what this one read was then gone under its hands.
                staged = self._appeared()
                if staged is None:
                    raise
        return self._finish(staged, accepted, summary)

    def _appeared(self) -> dict[str, Any] | None:
        """Return what was staged if it has appeared."""
        staged = document_or_none(self._folder, job_folder.SPLICE) or {}
        if staged.get("merge") != self._merge_crc:
            return None
        if self._name is None or staged["output"] == staged["before"]:
            present, wanted = fingerprint(self._home, job_folder.INDEX), staged["index"]
        else:
            present, wanted = fingerprint(self._output, self._name), staged["output"]
        return staged if present == tuple(wanted) else None

    def _make(self, accepted: list[Accepted]) -> dict[str, Any]:
        """Make the new output and all that belongs to it, and have it appear; return what was staged."""
        begun = fingerprint(self._home, job_folder.INDEX)
        index = IndexReader(self._home)
        with ExitStack() as stack:
            rows = None
            if self._name is not None:
                rows = stack.enter_context(Measured(self._output.writer(self._name, overwrite=True)))
            retried = Retried(self._folder, accepted, planned=self._ledger.snapshot(self._job.name).planned)
            places = Places(job=self._job, folder=self._folder, home=self._home, output=self._output)
            making = SplicePass(places, retried, index, rows, stack)
            making.run()
            if fingerprint(self._home, job_folder.INDEX) != begun:
                # Somebody brought in what he scored meanwhile: what was read here may be half before and half after.
                raise changed(self._name or job_folder.OUTPUT_ERRORS)
            making.publish()
            staged = making.staged(self._merge_crc)
            self._folder.replace(job_folder.SPLICE, json.dumps(staged).encode())
            with publishing(self._folder):
                making.files.publish()
                if rows is not None:
                    self._publish(rows, before=(index.size, index.crc))
        copy(self._folder, NEXT, self._home, job_folder.INDEX)
        return staged

    def _publish(self, rows: Measured, *, before: tuple[int, int]) -> None:
        """Put the new output in the old one's place, if it is still that, or nothing where it is there already."""
        present = fingerprint(self._output, str(self._name))
        if present == rows.fingerprint:
            return
        if present != before:
            raise changed(self._name)
        rows.publish()

    def _finish(
        self, staged: dict[str, Any], accepted: list[Accepted], summary: Callable[[dict[str, Any], Tally], bytes]
    ) -> dict[str, Any]:
        """Put what belongs to the new output in its place; return the retry's result."""
        copy(self._folder, NEXT, self._home, job_folder.INDEX)
        if staged["failed"]:
            copy(self._folder, job_folder.SPLICE_ERRORS, self._output, job_folder.OUTPUT_ERRORS)
        else:
            self._output.delete(job_folder.OUTPUT_ERRORS)
        errors = self._address(job_folder.OUTPUT_ERRORS) if staged["failed"] else None
        result = {
            "status": JobStatus.COMPLETED,
            "error": None,
            "output": self._output.url if self._name is None else self._address(self._name),
            "summary": self._address(job_folder.OUTPUT_SUMMARY),
            "errors": errors,
        }
        document = self._mended_summary(staged, errors)
        self._output.replace(job_folder.OUTPUT_SUMMARY, document)
        self._home.replace(job_folder.SUMMARY, document)
        before = document_or_none(self._home, job_folder.RESULT) or {}
        self._home.replace(
            job_folder.RESULT, json.dumps({"status": JobStatus.COMPLETED, **before, "errors": errors}).encode()
        )
        tally = Tally()
        for placed in in_order(self._folder, accepted, whole=True):
            tally.add(placed.block, placed.reader.errors(placed.block))
        self._folder.replace(job_folder.SUMMARY, summary(result, tally))
        return result

    def _mended_summary(self, staged: dict[str, Any], errors: str | None) -> bytes:
        """Return the retried job's summary with the numbers of now."""
        document = document_or_none(self._home, job_folder.SUMMARY) or {}
        document["items"] = {"total": staged["items"], "succeeded": staged["succeeded"], "failed": staged["failed"]}
        document["rows"] = staged["rows"]
        counted = {"total": staged["mini_batches"], "failed": staged["mini_batches_failed"]}
        document["mini_batches"] = {**document.get("mini_batches", {}), **counted}
        document["errors_by_category"] = staged["categories"]
        document["errors"] = errors
        document["output_bytes"] = None if staged["output"] is None else staged["output"][0]
        document["written_files"] = staged["files"]
        others = [retry for retry in document.get("retries", []) if retry["job"] != self._job.name]
        mine = {"job": self._job.name, "items": staged["retried"], "succeeded": staged["mended"]}
        document["retries"] = [*others, mine]
        return (json.dumps(document, indent=2) + "\n").encode()

    def _address(self, name: str) -> str:
        return f"{self._output.url}/{name}"

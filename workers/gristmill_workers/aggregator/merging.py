"""One pass over the mini-batches that count: rows, errors and index are written where nobody sees them yet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

from gristmill.errors import AlreadyExists, LedgerLost, NotFound
from gristmill.spec import Job
from gristmill_storage import job_folder
from gristmill_storage.files import Store, Writer
from gristmill_storage.ledger import Ledger, Range
from gristmill_workers.aggregator.indexing import IndexedRows, output_name
from gristmill_workers.aggregator.measured import Measured
from gristmill_workers.aggregator.ordered import Accepted, Placed, columns_here, in_order
from gristmill_workers.aggregator.partial import Fingerprint
from gristmill_workers.aggregator.publishing import OutputPlace
from gristmill_workers.aggregator.summary import Tally
from gristmill_workers.aggregator.written import WrittenFiles, known_files


def accepted_now(ledger: Ledger, job: str) -> list[Accepted]:
    """Return what the ledger says counts."""
    return [_accepted(part, ranges) for part, ranges in ledger.parts(job)]


def fix_what_counts(folder: Store, ledger: Ledger, job: str) -> list[Accepted]:
    """Write down which mini-batches count from which part, unless an earlier try did; return it.

    Raises:
        LedgerLost: the ledger lost its memory, and was not made again whole while this looked.

    """
    try:
        document = json.loads(folder.read(job_folder.MERGE))
    except NotFound:
        epoch = ledger.snapshot(job).epoch
        document = sorted(ledger.parts(job))
        after = ledger.snapshot(job)
        if after.epoch != epoch or after.state == "open":
            raise LedgerLost(f"job {job}: the ledger was made again while its parts were counted") from None
        try:
            folder.create(job_folder.MERGE, json.dumps(document).encode())
        except AlreadyExists:
            document = json.loads(folder.read(job_folder.MERGE))
    return [_accepted(part, ranges) for part, ranges in document]


def _accepted(part: str, ranges: Iterable[Iterable[int]]) -> Accepted:
    return Accepted(part=part, ranges=tuple(map(_range, ranges)))


def _range(pair: Iterable[int]) -> Range:
    first, last = pair
    return first, last


def error_line(error: dict[str, Any]) -> bytes:
    """Return an error as `errors.jsonl` holds it."""
    return (json.dumps(error) + "\n").encode("ascii")


class Merge:
    """A job's results, gathered for publishing; leaving the stack discards what was not published."""

    def __init__(self, job: Job, folder: Store, output: Store, *, whole: bool, own: tuple[Fingerprint, ...]) -> None:
        """Take the job, its folder, the output folder, whether all of it is there, and what it published before."""
        self._job = job
        self._folder = folder
        self._output = output
        self._whole = whole
        self._name = output_name(job)
        self.tally = Tally()
        self.place = (
            None if self._name is None else OutputPlace(output, self._name, overwrite=job.output.overwrite, own=own)
        )
        self.rows: Measured | None = None
        self.errors: Writer
        self.files = WrittenFiles(
            folder,
            output,
            job=job.name,
            reserved=(
                job.deployment.settings.output_file_name,
                job_folder.OUTPUT_SUMMARY,
                job_folder.OUTPUT_ERRORS,
            ),
            overwrite=job.output.overwrite,
            keep=not whole,
            known=known_files(folder),
        )

    def run(self, accepted: list[Accepted], stack: ExitStack) -> IndexedRows:
        """Go through every mini-batch once, in order; return the index, which is still to be closed."""
        if self.place is not None:
            self.rows = stack.enter_context(self.place.writer())
        self.errors = stack.enter_context(self._output.writer(job_folder.OUTPUT_ERRORS, overwrite=True))

        def blocks() -> Iterator[Placed]:
            return in_order(self._folder, accepted, whole=self._whole)

        indexed = IndexedRows(
            self._job,
            self._folder,
            self.rows,
            blocks,
            whole=self._whole,
            every=lambda: columns_here(self._folder, accepted),
        )
        stack.callback(indexed.discard)
        for placed in blocks():
            indexed.add(placed)
            count(placed, self.tally, self.errors)
            self.files.add(placed.reader.name, placed.block.mini_batch, placed.block.files)
        return indexed


def count(placed: Placed, tally: Tally, errors: Writer) -> None:
    """Add a mini-batch to the summary's counts and its errors to errors.jsonl."""
    found = placed.reader.errors(placed.block)
    tally.add(placed.block, found)
    for error in found:
        errors.write(error_line(error))

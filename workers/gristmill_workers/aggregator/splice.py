"""The end of a retry: what was scored again is brought into the output of the job whose items failed.

A new output is made from the one before and the retry's parts, in the manifest's order, with everything else as it
was, byte by byte. What is to take the others' places, errors and index, is durable in the retry's folder before the
output appears, and `splice.json` says which bytes it belongs to. So at any moment either the output before is there
and all can be made again, or the new one is and only the rest has to follow.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from gristmill.errors import Corrupt, GristmillError, NotFound
from gristmill.spec import Job
from gristmill.states import JobStatus
from gristmill_storage import job_folder
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Ledger
from gristmill_storage.output_index import NEXT, IndexReader, IndexWriter, Record, copy, fingerprint
from gristmill_storage.part_format import Piece
from gristmill_storage.retry_plan import Run, read_runs
from gristmill_workers.aggregator.indexing import index_header, output_name
from gristmill_workers.aggregator.measured import Measured
from gristmill_workers.aggregator.merging import error_line, fix_what_counts
from gristmill_workers.aggregator.ordered import Accepted, Placed, in_order
from gristmill_workers.aggregator.planned import Planned
from gristmill_workers.aggregator.publishing import publishing
from gristmill_workers.aggregator.rows import cut
from gristmill_workers.aggregator.splice_files import SplicedFiles
from gristmill_workers.aggregator.splice_rows import RowSplice, changed, splice_of
from gristmill_workers.aggregator.summary import Tally
from gristmill_workers.aggregator.written import known_files

#: What is about to appear, in the retry's folder.
STAGED: Final = "splice.json"

#: The errors of the output to come, there too.
STAGED_ERRORS: Final = f"{job_folder.ERRORS}.next"

#: Counts of the output that stand in `STAGED`.
_COUNTED: Final = ("mini_batches", "mini_batches_failed", "items", "succeeded", "failed", "rows", "files")


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """A run of items that was scored again, and what came of it."""

    run: Run
    #: Its number in the retry.
    number: int
    items: tuple[str, ...]
    placed: Placed
    #: The rows' bytes.
    data: bytes
    errors: list[dict[str, Any]]


class Splice:
    """One try at a retry's end."""

    def __init__(self, job: Job, folder: Store, ledger: Ledger) -> None:
        """Take the retry, its folder, and the ledger that knows what of it counts."""
        self._job = job
        self._folder = folder
        self._ledger = ledger
        self._output = open_store(job.output.folder)
        self._home = open_store(job_folder.url(job.output.folder, job.retry_of))
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
        try:
            staged: dict[str, Any] = json.loads(self._folder.read(STAGED))
        except NotFound:
            return None
        if staged["merge"] != self._merge_crc:
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
            making = _Making(self, index, accepted, rows, stack)
            making.run()
            if fingerprint(self._home, job_folder.INDEX) != begun:
                # Somebody brought in what he scored meanwhile: what was read here may be half before and half after.
                raise changed(self._name or job_folder.OUTPUT_ERRORS)
            making.publish()
            staged = making.staged(self._merge_crc)
            self._folder.replace(STAGED, json.dumps(staged).encode())
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

    def blocks(self, accepted: list[Accepted]) -> Iterator[Placed]:
        """Yield the retry's own mini-batches in order."""
        return in_order(self._folder, accepted, whole=True)

    def fresh(self, accepted: list[Accepted]) -> Iterator[Fresh]:
        """Yield what was scored again, in order.

        Raises:
            Corrupt: it is not what was planned.

        """
        planned, runs = Planned(self._folder), read_runs(self._folder)
        number = -1
        for number, (run, placed) in enumerate(zip(runs, self.blocks(accepted), strict=False)):
            items = planned.items(number)
            if items is None or len(items) != run.items or placed.block.items != run.items:
                raise Corrupt(f"{self._folder.url}: mini-batch {number} is not the one that was planned")
            data = placed.reader.read(placed.block) if placed.block.size else b""
            errors = placed.reader.errors(placed.block)
            yield Fresh(run=run, number=number, items=items, placed=placed, data=data, errors=errors)
        if next(runs, None) is not None or number + 1 != self._ledger.snapshot(self._job.name).planned:
            raise Corrupt(f"{self._folder.url}: {number + 1} mini-batches are in its parts, more are planned")

    def parts_of(self) -> tuple[Job, Store, Store, Store]:
        """Return the retry, its folder, the retried job's folder, and the output folder."""
        return self._job, self._folder, self._home, self._output

    def _finish(
        self, staged: dict[str, Any], accepted: list[Accepted], summary: Callable[[dict[str, Any], Tally], bytes]
    ) -> dict[str, Any]:
        """Put what belongs to the new output in its place; return the retry's result."""
        copy(self._folder, NEXT, self._home, job_folder.INDEX)
        if staged["failed"]:
            copy(self._folder, STAGED_ERRORS, self._output, job_folder.OUTPUT_ERRORS)
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
        before = json.loads(self._home.read(job_folder.RESULT))
        self._home.replace(job_folder.RESULT, json.dumps({**before, "errors": errors}).encode())
        tally = Tally()
        for placed in self.blocks(accepted):
            tally.add(placed.block, placed.reader.errors(placed.block))
        self._folder.replace(job_folder.SUMMARY, summary(result, tally))
        return result

    def _mended_summary(self, staged: dict[str, Any], errors: str | None) -> bytes:
        """Return the retried job's summary with the numbers of now."""
        document = json.loads(self._home.read(job_folder.SUMMARY))
        document["items"] = {"total": staged["items"], "succeeded": staged["succeeded"], "failed": staged["failed"]}
        document["rows"] = staged["rows"]
        document["mini_batches"]["failed"] = staged["mini_batches_failed"]
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


class _Making:
    """One pass over the output before, with what was scored again at its side."""

    def __init__(
        self, splice: Splice, index: IndexReader, accepted: list[Accepted], rows: Measured | None, stack: ExitStack
    ) -> None:
        job, folder, home, output = splice.parts_of()
        self._index = index
        self._rows = rows
        self._fresh = splice.fresh(accepted)
        self._next = next(self._fresh, None)
        old = None if index.header.output is None else stack.enter_context(output.open(index.header.output))
        self._sink: RowSplice = splice_of(job.deployment.settings, old, index, rows, splice.blocks(accepted))
        self._planned = Planned(home)
        self._old_errors = _OldErrors(output)
        self._errors = stack.enter_context(folder.writer(STAGED_ERRORS, overwrite=True))
        self._folder = folder
        earlier = known_files(folder)
        self.files = SplicedFiles(
            folder,
            output,
            index.files(),
            earlier=[files[0] for files in earlier.values()],
            reserved=(job.deployment.settings.output_file_name, job_folder.OUTPUT_SUMMARY, job_folder.OUTPUT_ERRORS),
        )
        self._writer = stack.enter_context(
            IndexWriter(folder, NEXT, index_header(job, self._sink.columns, rows, whole=index.header.whole))
        )
        self.counts = dict.fromkeys((*_COUNTED, "retried", "mended"), 0)
        self._categories: Counter[str] = Counter()

    def run(self) -> None:
        """Go through all mini-batches."""
        for record in self._index.records():
            again: list[Fresh] = []
            while self._next is not None and self._next.run.mini_batch == record.mini_batch:
                again.append(self._next)
                self._next = next(self._fresh, None)
            self._mini_batch(record, again)
        if self._next is not None:
            raise Corrupt(f"{self._folder.url}: mini-batch {self._next.run.mini_batch} is not in the output's index")
        self._sink.close()
        self._note_segments()
        for file in self.files.describe():
            self.counts["files"] += 1
            self._writer.file(file)

    def publish(self) -> None:
        """Make errors and index durable in the retry's folder."""
        size, crc = (0, 0) if self._rows is None else self._rows.fingerprint
        self._writer.publish(size=size, crc=crc)
        self._errors.publish()

    def _mini_batch(self, record: Record, again: list[Fresh]) -> None:
        """Write one mini-batch: what stays of it, and what comes in."""
        start = 0 if self._rows is None else self._rows.tell()
        taken = [one for one in again if _is_better(one, record)]
        pieces = self._pieces(record, {one.run.first: one for one in taken})
        self._sink.check(record)
        new = self._record(record, pieces, start, whole=bool(record.pieces) or bool(taken))
        self._writer.record(new)
        self._note_segments()
        self._count(new, again, taken)
        self._write_errors(record, taken)
        for one in taken:
            self.files.add(
                one.placed.reader.name,
                one.number,
                record.mini_batch,
                one.placed.block.files,
                whole=one.run.items == record.items,
            )

    def _pieces(self, record: Record, taken: dict[int, Fresh]) -> list[Piece]:
        """Write a mini-batch's rows; return the pieces that they are now."""
        pieces: list[Piece] = []
        place = until = 0
        for unit in record.units():
            one = taken.get(place)
            if one is not None:
                until = one.run.end
                pieces += [
                    self._sink.fresh(record.mini_batch, piece, data, one.placed.block.encoding)
                    for piece, data in cut(one.placed.block, one.data)
                ]
            if place < until:
                self._sink.skip(unit)
            else:
                pieces.append(self._sink.keep(record.mini_batch, unit))
            place += unit.items
        return pieces

    def _record(self, record: Record, pieces: list[Piece], start: int, *, whole: bool) -> Record:
        """Return what the new index says of a mini-batch; `whole`: its pieces are known."""
        parquet = self._index.header.format == "parquet"
        size, crc = (0, 0) if self._rows is None or parquet else (self._rows.tell() - start, self._rows.crc)
        succeeded = sum(piece.succeeded for piece in pieces)
        return Record(
            mini_batch=record.mini_batch,
            items=record.items,
            succeeded=succeeded,
            failed=record.items - succeeded,
            rows=sum(piece.rows for piece in pieces),
            size=size,
            crc=crc,
            pieces=tuple(pieces) if whole and len(pieces) > 1 else (),
        )

    def _count(self, record: Record, again: list[Fresh], taken: list[Fresh]) -> None:
        counts = self.counts
        counts["mini_batches"] += 1
        counts["mini_batches_failed"] += bool(record.failed)
        for key in ("items", "succeeded", "failed", "rows"):
            counts[key] += getattr(record, key)
        counts["retried"] += sum(one.run.items for one in again)
        counts["mended"] += sum(one.placed.block.succeeded for one in taken)

    def _write_errors(self, record: Record, taken: list[Fresh]) -> None:
        """Write the errors of a mini-batch in its items' order: those that stay, and those of what was taken."""
        lines = self._old_errors.take(record.mini_batch)
        if taken:
            items = {name: place for place, name in enumerate(self._planned.items(record.mini_batch) or ())}
            gone = {name for one in taken for name in one.items}
            lines = [line for line in lines if not gone.intersection(_names(line))]
            lines += [{**line, "mini_batch": record.mini_batch} for one in taken for line in one.errors]
            lines.sort(key=lambda line: min((items.get(name, 0) for name in _names(line)), default=0))
        for line in lines:
            self._categories[str(line["category"])] += 1
            self._errors.write(error_line(line))

    def _note_segments(self) -> None:
        for segment in self._sink.segments():
            self._writer.segment(segment)

    def staged(self, merge: int) -> dict[str, Any]:
        """Return what `STAGED` says."""
        return {
            "merge": merge,
            "before": None if self._rows is None else (self._index.size, self._index.crc),
            "output": None if self._rows is None else self._rows.fingerprint,
            "index": fingerprint(self._folder, NEXT),
            "categories": dict(self._categories),
            **self.counts,
        }


def _is_better(one: Fresh, record: Record) -> bool:
    """Return whether what came of items that were scored again takes the place of what was there.

    It does where nothing was, and where more items succeeded than before: those of a mini-batch in which good and
    failed items cannot be told apart are scored again together, and may come out worse.
    """
    place = before = 0
    for unit in record.units():
        if one.run.first <= place < one.run.end:
            before += unit.succeeded
        place += unit.items
    return not before or one.placed.block.succeeded > before


def _names(line: dict[str, Any]) -> list[str]:
    """Return the items that an error is about."""
    return [line["file"]] if line.get("file") is not None else list(line.get("items") or ())


class _OldErrors:
    """The errors of the output before, mini-batch by mini-batch."""

    def __init__(self, output: Store) -> None:
        self._lines = self._read(output)
        self._next: dict[str, Any] | None = next(self._lines, None)

    @staticmethod
    def _read(output: Store) -> Iterator[dict[str, Any]]:
        try:
            file = output.open(job_folder.OUTPUT_ERRORS)
        except NotFound:
            return
        with file:
            for line in file:
                yield json.loads(line)

    def take(self, mini_batch: int) -> list[dict[str, Any]]:
        """Return a mini-batch's errors."""
        found = []
        while self._next is not None and self._next["mini_batch"] <= mini_batch:
            if self._next["mini_batch"] == mini_batch:
                found.append(self._next)
            self._next = next(self._lines, None)
        return found

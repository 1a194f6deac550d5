"""One pass over the output before a retry, with what was scored again at its side: the output to come."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from gristmill.counts import counted
from gristmill.errors import Corrupt, NotFound
from gristmill.spec import Job
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.output_index import NEXT, IndexReader, IndexWriter, Record, fingerprint
from gristmill_storage.part_format import Piece
from gristmill_storage.retry_plan import Run, read_runs
from gristmill_workers.aggregator.indexing import index_header
from gristmill_workers.aggregator.measured import Measured
from gristmill_workers.aggregator.merging import error_line
from gristmill_workers.aggregator.ordered import Accepted, Placed, in_order
from gristmill_workers.aggregator.planned import Planned
from gristmill_workers.aggregator.rows import cut
from gristmill_workers.aggregator.splice_files import SplicedFiles
from gristmill_workers.aggregator.splice_rows import RowSplice, splice_of
from gristmill_workers.aggregator.written import known_files

#: Counts of the output that stand in `splice.json`.
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


class Retried:
    """What a retry scored."""

    def __init__(self, folder: Store, accepted: list[Accepted], *, planned: int) -> None:
        """Take the retry's folder, what of its parts counts, and how many mini-batches it has."""
        self._folder = folder
        self._accepted = accepted
        self._planned = planned

    def blocks(self) -> Iterator[Placed]:
        """Yield the retry's own mini-batches in order."""
        return in_order(self._folder, self._accepted, whole=True)

    def fresh(self) -> Iterator[Fresh]:
        """Yield what was scored again, in order.

        Raises:
            Corrupt: it is not what was planned.

        """
        planned, runs = Planned(self._folder), read_runs(self._folder)
        number = -1
        for number, (run, placed) in enumerate(zip(runs, self.blocks(), strict=False)):
            items = planned.items(number)
            if items is None or len(items) != run.items or placed.block.items != run.items:
                raise Corrupt(f"{self._folder.url}: mini-batch {number} is not the one that was planned")
            data = placed.reader.read(placed.block) if placed.block.size else b""
            errors = placed.reader.errors(placed.block)
            yield Fresh(run=run, number=number, items=items, placed=placed, data=data, errors=errors)
        if next(runs, None) is not None or number + 1 != self._planned:
            raise Corrupt(f"{self._folder.url}: its parts hold {counted(number + 1, 'mini-batch')}, more are planned")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Whose storage a retry's end is about."""

    #: The retry.
    job: Job
    #: Its folder.
    folder: Store
    #: The folder of the job that is retried.
    home: Store
    #: The output folder of both.
    output: Store


class SplicePass:
    """The one pass; `run`, `publish` and `staged` follow one another."""

    def __init__(
        self, places: Places, retried: Retried, index: IndexReader, rows: Measured | None, stack: ExitStack
    ) -> None:
        """Take what it is about, what was scored again, the index of the output before, and the output to come.

        Leaving the stack closes what is read, and discards what was not published.
        """
        folder, output = places.folder, places.output
        settings = places.job.deployment.settings
        self._index = index
        self._rows = rows
        self._fresh = retried.fresh()
        self._next = next(self._fresh, None)
        old = None if index.header.output is None else stack.enter_context(output.open(index.header.output))
        self._sink: RowSplice = splice_of(settings, old, index, rows, retried.blocks())
        self._planned = Planned(places.home)
        self._old_errors = _OldErrors(output)
        self._errors = stack.enter_context(folder.writer(job_folder.SPLICE_ERRORS, overwrite=True))
        self._folder = folder
        earlier = known_files(folder)
        #: The files of the output to come.
        self.files = SplicedFiles(
            folder,
            output,
            index.files(),
            earlier=[files[0] for files in earlier.values()],
            reserved=(settings.output_file_name, job_folder.OUTPUT_SUMMARY, job_folder.OUTPUT_ERRORS),
        )
        self._writer = stack.enter_context(
            IndexWriter(folder, NEXT, index_header(places.job, self._sink.columns, rows, whole=index.header.whole))
        )
        #: What the output to come holds, and what of it was scored again.
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
        """Return what `splice.json` says."""
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
            for number, line in enumerate(file, 1):
                try:
                    document = json.loads(line)
                    int(document["mini_batch"])
                except (ValueError, TypeError, KeyError) as error:
                    where = f"{output.url}/{job_folder.OUTPUT_ERRORS}"
                    raise Corrupt(f"{where}: line {number} is no error that was written ({error})") from None
                yield document

    def take(self, mini_batch: int) -> list[dict[str, Any]]:
        """Return a mini-batch's errors."""
        found = []
        while self._next is not None and self._next["mini_batch"] <= mini_batch:
            if self._next["mini_batch"] == mini_batch:
                found.append(self._next)
            self._next = next(self._lines, None)
        return found

"""Rows on their way into the output, each mini-batch noted in the index."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from gristmill.spec import Job, OutputAction, RowFormat
from gristmill_storage.files import Store
from gristmill_storage.output_index import NEXT, Header, IndexWriter, Record, WrittenFile
from gristmill_storage.part_format import Block, Piece
from gristmill_workers.aggregator.measured import Measured
from gristmill_workers.aggregator.ordered import Placed
from gristmill_workers.aggregator.rows import RowCopier, union_of_columns

if TYPE_CHECKING:
    from gristmill_workers.aggregator.parquet import ParquetRows

#: What the index says of an output that has no bytes.
NOTHING: Final = (0, 0)


class Sink(Protocol):
    """What takes rows in the output's format."""

    def add(self, placed: Placed) -> tuple[Piece, ...]:
        """Append a mini-batch's rows; return its pieces with what the output has of them."""

    def close(self) -> None:
        """Write what is left."""


def output_name(job: Job) -> str | None:
    """Return the name of the job's output file; None where it has none."""
    settings = job.deployment.settings
    return None if settings.output_action is OutputAction.SUMMARY_ONLY else settings.output_file_name


def index_header(job: Job, columns: tuple[str, ...] | None, rows: Measured | None, *, whole: bool = True) -> Header:
    """Return the index's first line of an output of which nothing but its header was written."""
    settings = job.deployment.settings
    parquet = settings.output_format is RowFormat.PARQUET
    size, crc = NOTHING if rows is None or parquet else rows.fingerprint
    return Header(
        job=job.retry_of or job.name,
        format=str(settings.output_format),
        output=output_name(job),
        columns=columns or None,
        size=size,
        crc=crc,
        whole=whole,
    )


class IndexedRows:
    """Puts mini-batches into the output and into its index."""

    def __init__(
        self,
        job: Job,
        folder: Store,
        rows: Measured | None,
        blocks: Callable[[], Iterable[Placed]],
        *,
        whole: bool = True,
        every: Callable[[], AbstractSet[tuple[str, ...]] | None] = lambda: None,
    ) -> None:
        """Take the job, its folder, the output (None: there is none), and what goes through the mini-batches to come.

        `every` tells all lists of columns that there can be, if that is known.

        Raises:
            JobFailed: the mini-batches' rows cannot stand in one file.

        """
        self._rows = rows
        self._sink: Sink | None = None
        self._parquet: ParquetRows | None = None
        settings = job.deployment.settings
        columns: tuple[str, ...] = ()
        if rows is not None and settings.output_format is RowFormat.PARQUET:
            from gristmill_workers.aggregator.parquet import (  # noqa: PLC0415 - an optional extra
                ParquetRows,
                schema_of,
            )

            self._sink = self._parquet = ParquetRows(rows, schema_of(blocks()))
        elif rows is not None:
            columns = union_of_columns(blocks(), every=every()) if settings.header else ()
            self._sink = RowCopier(rows, settings, columns)
        self._index = IndexWriter(folder, NEXT, index_header(job, columns, rows, whole=whole))

    def add(self, placed: Placed) -> None:
        """Append one mini-batch."""
        if self._rows is None or self._sink is None:
            pieces = tuple(replace(piece, size=0) for piece in placed.block.pieces)
            self._index.record(record_of(placed.block, pieces, NOTHING))
            return
        start = self._rows.tell()
        pieces = self._sink.add(placed)
        if self._parquet is None:
            size, crc = self._rows.fingerprint
            self._index.record(record_of(placed.block, pieces, (size - start, crc)))
        else:
            kept = pieces if placed.block.pieces else ()
            self._index.record(record_of(placed.block, kept, NOTHING, rows=sum(piece.rows for piece in pieces)))
            self._note_segments()

    def close(self, files: Iterable[WrittenFile]) -> None:
        """Write what is left of the rows, and make the index durable beside the one that counts now."""
        if self._sink is not None:
            self._sink.close()
        self._note_segments()
        for file in files:
            self._index.file(file)
        size, crc = NOTHING if self._rows is None else self._rows.fingerprint
        self._index.publish(size=size, crc=crc)

    def discard(self) -> None:
        """Leave no index where none was published."""
        self._index.__exit__()

    def _note_segments(self) -> None:
        if self._parquet is not None:
            for segment in self._parquet.segments:
                self._index.segment(segment)
            self._parquet.segments.clear()


def record_of(block: Block, pieces: tuple[Piece, ...], place: tuple[int, int], *, rows: int | None = None) -> Record:
    """Return what the index says of a block: its counts, pieces, and (bytes, crc) in the output."""
    return Record(
        mini_batch=block.mini_batch,
        items=block.items,
        succeeded=block.succeeded,
        failed=block.failed,
        rows=block.rows if rows is None else rows,
        size=place[0],
        crc=place[1],
        pieces=pieces,
    )

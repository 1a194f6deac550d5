"""Whether the output's bytes are those that were written, mini-batch by mini-batch, with nothing between or behind."""

from __future__ import annotations

import zlib
from typing import BinaryIO, Final

from gristmill.counts import counted
from gristmill.spec import RowFormat
from gristmill_storage.output_index import IndexReader, Record
from gristmill_storage.store import BLOCK
from gristmill_workers.aggregator.faults import Findings, some

#: The mini-batch that stands in the index for a Parquet file's own end.
_FOOTER: Final = -1


class Rows:
    """Counts records in bytes that come in blocks, by the output's format."""

    def __init__(self, form: str) -> None:
        """Take the format."""
        self._quotes = form == RowFormat.CSV
        self._inside = False
        self.count = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if not self._quotes or (not self._inside and b'"' not in data):
            self.count += data.count(b"\n")
            return
        for segment in data.split(b'"'):
            if not self._inside:
                self.count += segment.count(b"\n")
            self._inside = not self._inside
        self._inside = not self._inside


class RowsCheck:
    """Goes through the output beside its index."""

    def __init__(self, name: str, file: BinaryIO, index: IndexReader, findings: Findings) -> None:
        """Take the output's name and stream, its index, and who is told."""
        self._name = name
        self._file = file
        self._index = index
        self._findings = findings
        self._form = index.header.format
        self._size = file.seek(0, 2)
        self._crc = index.header.crc
        self._place = index.header.size
        #: Bytes by which what follows is moved: where rows were lost or came in, all behind them is.
        self._moved = 0
        #: The mini-batches found bad in a row, told as one.
        self._bad: list[tuple[Record, int, tuple[str, ...] | None]] = []
        if self._size != index.size:
            findings.fault(f"{name}: {counted(self._size, 'byte')}, {index.size:,} were written")
        if index.header.size and self._read(0, index.header.size, 0)[0] != index.header.crc:
            findings.fault(f"{name}: the header (bytes 0 to {index.header.size}) is not the one that was written")

    def check(self, record: Record, items: tuple[str, ...] | None) -> None:
        """Check the next mini-batch's bytes."""
        if self._form == RowFormat.PARQUET:
            return
        if not record.size and not record.rows and record.crc == self._crc:
            return
        start, self._place = self._place, self._place + record.size
        rows = self._find(start, record)
        self._crc = record.crc
        if rows is None:
            self._note_bad(record, start, items)
            return
        self._tell_bad()
        if not self._agrees(rows, record):
            self._findings.fault(
                f"{self._name}: mini-batch {record.mini_batch} (bytes {start} to {self._place}) has "
                f"{counted(rows, 'row')}, the index says {record.rows}"
            )

    def _agrees(self, rows: int, record: Record) -> bool:
        """Return whether rows were counted as the index has them; a row of text may take several lines."""
        return rows >= record.rows if self._form == RowFormat.TEXT else rows == record.rows

    def _find(self, start: int, record: Record) -> int | None:
        """Return the rows at a mini-batch's place, or where that has moved to; None where they are not there."""
        for moved in dict.fromkeys((self._moved, 0, self._size - self._index.size)):
            crc, rows = self._read(start + moved, record.size, self._crc)
            if crc == record.crc:
                self._move(start, moved, record)
                return rows
        return None

    def _move(self, start: int, moved: int, record: Record) -> None:
        """Note by how much what follows is moved; where nothing before was bad, it is what came in between."""
        if moved > self._moved and not self._bad:
            self._findings.fault(
                f"{self._name}: before the rows of mini-batch {record.mini_batch} "
                f"(bytes {start + self._moved} to {start + moved}) stands what nobody wrote"
            )
        self._moved = moved

    def _read(self, start: int, size: int, crc: int) -> tuple[int | None, int]:
        """Return the crc that the bytes lead to (None: they are not all there) and the rows in them."""
        if start < 0 or start + size > self._size:
            return None, 0
        rows = Rows(self._form)
        self._file.seek(start)
        while size and (data := self._file.read(min(size, BLOCK))):
            crc = zlib.crc32(data, crc)
            rows.feed(data)
            size -= len(data)
        return (None if size else crc), rows.count

    def _note_bad(self, record: Record, start: int, items: tuple[str, ...] | None) -> None:
        """Remember the first and the last of a run of bad ones."""
        self._bad[1:] = [(record, start, items)]

    def _tell_bad(self) -> None:
        if not self._bad:
            return
        (first, start, items), (last, begin, more) = self._bad[0], self._bad[-1]
        names = (*(items or ()), *((more or ()) if last is not first else ()))
        who = f"mini-batch {first.mini_batch}"
        if last is not first:
            who = f"mini-batches {first.mini_batch} to {last.mini_batch}"
        what = f", items {some(names)}" if names else ""
        self._findings.fault(
            f"{self._name}: the rows of {who} (bytes {start} to {begin + last.size}{what}) "
            "are not those that were written"
        )
        self._bad = []

    def finish(self, *, rows: int) -> None:
        """Check what is left when every mini-batch has been."""
        self._tell_bad()
        if self._form == RowFormat.PARQUET:
            self._check_segments(rows)
        elif (self._place, self._crc) != (self._index.size, self._index.crc):
            self._findings.fault(
                f"{self._name}: the index' mini-batches end at byte {self._place}, its output at {self._index.size}"
            )
        self._findings.checked["bytes"] += self._size

    def _check_segments(self, rows: int) -> None:
        """Check a Parquet file's bytes, then its number of rows."""
        place, whole = 0, self._size == self._index.size
        for segment in self._index.segments():
            crc, _ = self._read(place, segment.size, self._crc)
            if crc != segment.crc:
                whole = False
                who = f"the rows of mini-batches {segment.first} to {segment.last}"
                who = "the file's own end" if segment.first == _FOOTER else who
                span = f"bytes {place} to {place + segment.size}"
                self._findings.fault(f"{self._name}: {who} ({span}) are not those that were written")
            place, self._crc = place + segment.size, segment.crc
        if whole:
            self._check_parquet_rows(rows)

    def _check_parquet_rows(self, rows: int) -> None:
        import pyarrow.parquet  # noqa: PLC0415 - an optional extra

        self._file.seek(0)
        found = pyarrow.parquet.ParquetFile(self._file).metadata.num_rows
        if found != rows:
            self._findings.fault(f"{self._name}: {counted(found, 'row')}, the index says {rows}")

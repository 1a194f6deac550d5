"""A writer that knows the crc32 of all that it was given."""

from __future__ import annotations

import zlib

from gristmill_storage.files import Writer
from gristmill_storage.joined_crc import joined
from gristmill_storage.parts import Block, PartReader
from gristmill_workers.aggregator.copying import Copier


class Measured(Writer):
    """Passes everything on to another writer; publishing and discarding are that one's."""

    def __init__(self, writer: Writer) -> None:
        """Take the writer that does the work."""
        super().__init__()
        self._writer = writer
        self._copier = Copier(writer)
        #: crc32 of all bytes so far.
        self.crc = 0

    @property
    def fingerprint(self) -> tuple[int, int]:
        """Bytes so far and their crc32, as `output_index.fingerprint` gives them of a file."""
        return self.tell(), self.crc

    def copy(self, reader: PartReader, block: Block) -> None:
        """Append a block's rows, which are checked until `settle` returns.

        Raises:
            Corrupt: they, or some before them, are not those that were written; discard the output.

        """
        if not block.size:
            return
        if not self._copier.add(reader, block):
            reader.copy(block, self)
            return
        self.crc = joined(self.crc, reader.span(block)[2], block.size)
        self._written += block.size

    def settle(self) -> None:
        """Wait until all that was copied is checked.

        Raises:
            Corrupt: some rows are not those that were written.

        """
        self._copier.settle()

    def _append(self, data: memoryview) -> None:
        self._copier.flush()
        self.crc = zlib.crc32(data, self.crc)
        self._writer.write(data)

    def _publish(self) -> None:
        self._copier.settle()
        self._copier.close()
        self._writer.publish()

    def _discard(self) -> None:
        self._copier.close()
        self._writer.close()

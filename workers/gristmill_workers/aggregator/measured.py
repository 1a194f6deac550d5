"""A writer that knows the crc32 of all that it was given."""

from __future__ import annotations

import zlib

from gristmill_storage.files import Writer


class Measured(Writer):
    """Passes everything on to another writer; publishing and discarding are that one's."""

    def __init__(self, writer: Writer) -> None:
        """Take the writer that does the work."""
        super().__init__()
        self._writer = writer
        #: crc32 of all bytes so far.
        self.crc = 0

    @property
    def fingerprint(self) -> tuple[int, int]:
        """Bytes so far and their crc32, as `output_index.fingerprint` gives them of a file."""
        return self.tell(), self.crc

    def _append(self, data: memoryview) -> None:
        self.crc = zlib.crc32(data, self.crc)
        self._writer.write(data)

    def _publish(self) -> None:
        self._writer.publish()

    def _discard(self) -> None:
        self._writer.close()

"""Where rows' bytes go: into memory, and from a size on into a file, so that a huge result costs disk, not memory."""

# Paths are plain strings here: a Path a mini-batch would cost more than the mini-batch.
# ruff: noqa: PTH108, PTH123
# ruff: noqa: PTH

from __future__ import annotations

import io
import os
from typing import BinaryIO

#: Bytes of one mini-batch's rows that are kept in memory, and sent through the pipe.
SPOOL_ABOVE = 16 * 1024 * 1024


class Sink:
    """Takes one mini-batch's bytes."""

    __slots__ = ("_chunks", "_file", "_path", "limit", "size")

    def __init__(self, path: str, limit: int = SPOOL_ABOVE) -> None:
        """Start empty; `path` is the file to make if more than `limit` bytes come."""
        self._path = path
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = None
        self.limit = limit
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take bytes.

        Raises:
            OSError: the file could not be written.

        """
        self.size += len(data)
        if self._file is not None:
            self._file.write(data)
            return
        self._chunks.append(data)
        if self.size > self.limit:
            self._spill()

    def _spill(self) -> None:
        self._file = open(self._path, "wb")  # noqa: SIM115 - closed by finish or discard
        self._file.writelines(self._chunks)
        self._chunks.clear()

    def finish(self) -> tuple[bytes, str | None]:
        """Return (the bytes, None), or (no bytes, the path of the file that has them)."""
        if self._file is None:
            return (self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)), None
        self._file.close()
        return b"", self._path

    def discard(self) -> None:
        """Forget what came."""
        self._chunks.clear()
        if self._file is not None:
            self._file.close()
            os.unlink(self._path)
            self._file = None


class SinkStream(io.BufferedIOBase):
    """A sink as a binary file, for those who write to files."""

    def __init__(self, sink: Sink) -> None:
        """Wrap the sink; closing the stream leaves it open."""
        super().__init__()
        self._sink = sink

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: object) -> int:
        """Take anything with a buffer."""
        taken = bytes(data)  # type: ignore[call-overload]
        self._sink.write(taken)
        return len(taken)

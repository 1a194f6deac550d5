"""What a node and a scorer say to each other, over two pipes and a few bytes of shared memory.

A frame is a head of twelve bytes (header length u32, payload length u64, little endian), a header in JSON, and a
payload of raw bytes.

Node to scorer:
    start    the first frame; everything the scorer must know (see `start.py`)
    run      `batches`: [{"n": mini-batch number, "attempt": 1.., "items": [path relative to the input's root, ...]},
             ...], each of which is one call of the user's run(); a "label" names its files in place of <n>-<attempt>;
             "slices", where tables are cut into items: for each item {"at": path of its file, "file": the file's
             name} and, where it is not all of it, "row", "rows", "start", "end", "head", "groups" (see `sources.py`)
    lines    `attempt`, of all; the payload has a line a mini-batch, as it stands in the manifest: {"n", "items", ...}
    stop     finish: call shutdown(), answer `stopped`, leave with exit code 0. The end of the pipe means the same.
    rest     the job is over, and another may come: answer `rested`. A scorer that cannot bear that does as for `stop`.
    job      to one that rests, the next job: `root`, `staging_dir` and `node` as in `start`, and the files `stdout`
             and `stderr`, which exist; it answers `ready`, with 0 seconds
Scorer to node:
    ready    init() is done: `init_seconds`, `python` ("3.8.18"), `versions` {"pandas": "2.0.3", ...} of what is loaded
    failed   init() is not done: `error`; the scorer leaves with exit code 1
    results  `results`: one object a mini-batch, in order; the payload is their rows' bytes, one after the other
    rested   what it prints from now on is dropped, and nothing of the job is open by our doing
    scored   in answer to `lines`, mini-batches of which all items succeeded and nothing but rows came, in order, by
             column: `n`, `rows`, `us` (microseconds in run()), `bytes`; `columns` and `encoding` are those of all of
             them, `writing` is in microseconds and of all together. The others of the frame stand in `results`
    stopped  the answer to `stop`; `files`: what init() and shutdown() wrote, under `staging_dir`/stop, of no mini-batch

A result: {"n", "attempt", "outcome": "done" | "failed", "items", "succeeded", "rows", "seconds",
           "writing": seconds that its rows took to be written (of one that is done),
           "bytes": length of its rows in the payload, "columns": [name, ...] or null,
           "encoding": "text" | "csv" | "jsonl" | "arrow" | "none", "errors": [error, ...],
           "files": [path relative to `staging_dir`/<label>, ...],
           "spool": path of a file with the rows, in place of bytes in the payload; only there when they are many}
`bytes` is the length of the spool's file then, and counts nothing in the payload; the node deletes the file.
`done`: run() returned something usable; items lost on the way stand in `errors`, then `succeeded` is below `items`.
`failed`: the attempt gave nothing; `errors` holds the one error, whose `final` says that another would end the same.
An error: {"file": item or null, "category", "message", "traceback", "final": bool, "alone": bool}; `alone`, which may
be missing: its item was tried by itself, so that to score it apart from the others would tell no more.

The progress memory (`Progress`) tells which mini-batch the scorer is in and since when, without a message.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import time
from typing import Any, Dict, Tuple

Frame = Tuple[Dict[str, Any], bytes]

#: Header length, payload length.
HEAD = struct.Struct("<IQ")

#: Sequence number, mini-batch number (-1: none; -2 - n: n's result is being written), start in nanoseconds of the
#: monotonic clock, sequence number again.
_PROGRESS = struct.Struct("<QqqQ")

#: Bytes of the progress memory.
PROGRESS_SIZE = _PROGRESS.size

#: A header larger than this is nonsense, not a frame.
HEADER_LIMIT = 256 * 1024 * 1024


class ProtocolError(Exception):
    """What came over the pipe is no frame."""


def encode(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """Return the bytes of a frame's head and header; the payload is to follow."""
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    return HEAD.pack(len(text), len(payload)) + text


def write_all(fd: int, data: bytes) -> None:
    """Write every byte to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_frame(fd: int, header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one frame to a blocking descriptor."""
    head = encode(header, payload)
    if len(payload) < 65536:  # noqa: PLR2004 - one write beats a copy below a pipe's size
        write_all(fd, head + payload)
    else:
        write_all(fd, head)
        write_all(fd, payload)


def _read_exactly(fd: int, count: int) -> bytes | None:
    chunks = []
    while count:
        chunk = os.read(fd, min(count, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


def read_frame(fd: int) -> Frame | None:
    """Return (header, payload) from a blocking descriptor, or None at its end.

    Raises:
        ProtocolError: the bytes are no frame.

    """
    head = _read_exactly(fd, HEAD.size)
    if head is None:
        return None
    header_length, payload_length = HEAD.unpack(head)
    if header_length > HEADER_LIMIT:
        message = f"header of {header_length} bytes"
        raise ProtocolError(message)
    text = _read_exactly(fd, header_length)
    payload = _read_exactly(fd, payload_length)
    if text is None or payload is None:
        return None
    return _parse(text), payload


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("ascii"))
    except ValueError as error:
        message = f"header is not JSON: {error}"
        raise ProtocolError(message) from error
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        message = "header is no object with a type"
        raise ProtocolError(message)
    return header


class FrameReader:
    """Cuts frames out of bytes as they come: the node's side, which must not block."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; return the whole frames they complete, as a list of (header, payload).

        Raises:
            ProtocolError: the bytes are no frame. What came whole before them is returned first: the next call raises.

        """
        self._buffer += data
        frames: list[Frame] = []
        while True:
            try:
                frame = self._next()
            except ProtocolError:
                if not frames:
                    raise
                return frames
            if frame is None:
                return frames
            frames.append(frame)

    def _next(self) -> Frame | None:
        if len(self._buffer) < HEAD.size:
            return None
        header_length, payload_length = HEAD.unpack_from(self._buffer)
        if header_length > HEADER_LIMIT:
            message = f"header of {header_length} bytes"
            raise ProtocolError(message)
        end = HEAD.size + header_length + payload_length
        if len(self._buffer) < end:
            return None
        body = HEAD.size + header_length
        header = _parse(bytes(self._buffer[HEAD.size : body]))
        payload = bytes(self._buffer[body:end])
        del self._buffer[:end]
        return header, payload


class Progress:
    """The progress memory: written by the scorer around each run(), read by the node at any moment."""

    def __init__(self, fd: int) -> None:
        """Map the shared memory behind a descriptor of `PROGRESS_SIZE` bytes."""
        self._memory = mmap.mmap(fd, PROGRESS_SIZE)
        self._sequence = 0

    def enter(self, mini_batch: int) -> None:
        """Note that run() begins with this mini-batch."""
        self._write(mini_batch, time.monotonic_ns())

    def leave(self) -> None:
        """Note that run() has ended."""
        self._write(-1, time.monotonic_ns())

    def wrap_up(self, mini_batch: int) -> None:
        """Note that run() has ended, and that its result is being written: `read` sees it as ended."""
        self._write(-2 - mini_batch, time.monotonic_ns())

    def _write(self, mini_batch: int, moment: int) -> None:
        self._sequence += 1
        _PROGRESS.pack_into(self._memory, 0, self._sequence, mini_batch, moment, self._sequence)

    def read(self) -> tuple[int | None, float]:
        """Return (mini-batch or None, seconds since it began or ended) as the other side last noted it."""
        first, mini_batch, moment = self._stable()
        seconds = max(0.0, (time.monotonic_ns() - moment) / 1e9) if first else 0.0
        return (None if mini_batch < 0 or not first else mini_batch), seconds

    def culprit(self) -> int | None:
        """Return the mini-batch in whose run(), or in the writing of whose result, the other side was last seen."""
        first, mini_batch, _ = self._stable()
        if not first or mini_batch == -1:
            return None
        return mini_batch if mini_batch >= 0 else -2 - mini_batch

    def _stable(self) -> tuple[int, int, int]:
        for _ in range(100):
            first, mini_batch, moment, last = _PROGRESS.unpack_from(self._memory)
            if first == last:
                break
        return first, mini_batch, moment

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()

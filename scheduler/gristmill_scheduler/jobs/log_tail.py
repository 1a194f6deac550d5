"""Follows a job's log files: what was added to each since the last look, in whole lines, so much at a time."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gristmill.errors import StorageFailed
from gristmill_storage import job_folder
from gristmill_storage.files import Store

#: Where the logs lie that users follow.
FOLDER: Final = f"{job_folder.LOGS}/user"

#: Bytes of a file that are told at most at one look; of one that was there before, that much of its end.
_MOST: Final = 65536

#: Bytes that are told at most at one look.
_MOST_AT_ONCE: Final = 4 * _MOST

#: Letters of a listener's place at most: it travels in a header.
MOST_PLACE: Final = 6000

#: Bytes that a place may hold when it is unpacked.
_MOST_UNPACKED: Final = 1 << 20


def sizes(folder: Store) -> dict[str, int]:
    """Return the bytes of each log file; nothing where storage does not say."""
    try:
        return {entry.path: entry.size for entry in folder.list(FOLDER)}
    except StorageFailed:
        return {}


class LogTail:
    """One listener's place in a job's log files."""

    def __init__(self, folder: Store, place: str = "") -> None:
        """Take the job's folder, and where an earlier listener was; "", or what is no place: at the beginning."""
        self._folder = folder
        self._told = _unpacked(place)
        self._first = not self._told

    @property
    def place(self) -> str:
        """Where the listener is, for one that goes on there; "" where that takes too many letters."""
        packed = zlib.compress(json.dumps(self._told, separators=(",", ":")).encode())
        text = base64.urlsafe_b64encode(packed).decode()
        return text if len(text) <= MOST_PLACE else ""

    def behind(self, known: Mapping[str, int]) -> bool:
        """Return whether files of these sizes hold something untold."""
        return any(self._told.get(path, 0) < size for path, size in known.items())

    def new(self, known: Mapping[str, int], *, last: bool = False) -> Iterator[tuple[str, str]]:
        """Yield what was added to files of these sizes: the file's path and the text.

        Args:
            known: each file's bytes
            last: whether nothing will be added any more, so that a line without an end is told too

        """
        left = _MOST_AT_ONCE
        for path, size in known.items():
            if self._first and size > _MOST:
                self._told[path] = self._line_after(path, size - _MOST)
            start = self._told.get(path, 0)
            if size <= start or not left:
                continue
            data = self._read(path, start, min(size - start, _MOST, left))
            cut = data.rfind(b"\n") + 1
            if (last and start + len(data) >= size) or (not cut and len(data) >= _MOST):
                cut = len(data)
            self._told[path] = start + cut
            left -= cut
            if cut:
                yield path, data[:cut].decode("utf-8", "replace")
        self._first = False

    def _line_after(self, path: str, place: int) -> int:
        """Return where the first line begins behind a place."""
        data = self._read(path, place, _MOST)
        return place + data.find(b"\n") + 1

    def _read(self, path: str, start: int, length: int) -> bytes:
        try:
            return self._folder.read_range(path, start, length)
        except StorageFailed:
            return b""


def _unpacked(place: str) -> dict[str, int]:
    """Return the bytes that were told of each file; nothing for what no tail has packed."""
    try:
        packed = base64.urlsafe_b64decode(place[: MOST_PLACE + 1])
        found: Any = json.loads(zlib.decompressobj().decompress(packed, _MOST_UNPACKED))
    except (ValueError, binascii.Error, zlib.error, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {path: told for path, told in found.items() if type(told) is int and told >= 0}

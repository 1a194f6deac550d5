"""A store in a dict: the same promises without a disk, for tests, users' own included.

It lives and dies with its process: a job whose parts are in several processes cannot use it.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from gristmill.errors import AlreadyExists, NotFound
from gristmill_storage.store import Entry, Writer, checked, checked_prefix, shown


@dataclass
class _Files:
    """What the stores of one name share."""

    #: Content by whole path.
    content: dict[str, bytes] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


#: Files by the name after `memory://`, so that each who opens the same address sees the same.
_SHARED: Final[dict[str, _Files]] = {}


class MemoryStore:
    """A store in this process' memory."""

    def __init__(self, url: str = "") -> None:
        """Take `memory://<name>/<folder>`, shared with others of that name; "" is a store of its own."""
        self.url = url or "memory://"
        name, _, folder = url.removeprefix("memory://").partition("/")
        self._files = _SHARED.setdefault(name, _Files()) if url else _Files()
        self._root = folder.strip("/") + "/" if folder.strip("/") else ""

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        try:
            return self._files.content[self._full(path)]
        except KeyError:
            raise NotFound(f"{self._named(path)}: no such file") from None

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start` on."""
        return self.read(path)[start : start + length]

    def open(self, path: str) -> BinaryIO:
        """Return a file for reading."""
        return io.BytesIO(self.read(path))

    def create(self, path: str, data: bytes) -> None:
        """Make a file if there is none."""
        with self._files.lock:
            if self.exists(path):
                raise AlreadyExists(f"{self._named(path)}: already there")
            self._files.content[self._full(path)] = bytes(data)

    def replace(self, path: str, data: bytes) -> None:
        """Make a file or put another in its place."""
        self._files.content[self._full(path)] = bytes(data)

    def writer(self, path: str, *, overwrite: bool = False) -> Writer:
        """Return a stream into a file that appears when it is published."""
        return _MemoryWriter(self, checked(path), overwrite=overwrite)

    def download(self, path: str, local: Path) -> None:
        """Write a file's bytes to a path of this machine."""
        local.write_bytes(self.read(path))

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""
        return self._full(path) in self._files.content

    def size(self, path: str) -> int:
        """Return a file's bytes."""
        return len(self.read(path))

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """Yield the files under a folder, sorted by their paths' bytes."""
        return self._below(self._folder(prefix), recursive=recursive)

    def _below(self, start: str, *, recursive: bool) -> Iterator[Entry]:
        for full in sorted(filter(lambda path: path.startswith(start), [*self._files.content]), key=os.fsencode):
            data = self._files.content.get(full)
            if data is not None and (recursive or "/" not in full[len(start) :]):
                yield Entry(path=full[len(self._root) :], size=len(data))

    def move(self, source: str, destination: str, *, overwrite: bool = False) -> None:
        """Give a file another path."""
        with self._files.lock:
            data = self.read(source)
            (self.replace if overwrite else self.create)(destination, data)
            if source != destination:
                self.delete(source)

    def delete(self, path: str) -> None:
        """Remove a file; none there is fine."""
        self._files.content.pop(self._full(path), None)

    def delete_tree(self, prefix: str) -> None:
        """Remove a folder and all in it; none there is fine."""
        start = self._folder(prefix)
        with self._files.lock:
            for full in [path for path in self._files.content if path.startswith(start)]:
                del self._files.content[full]

    def sweep(self, prefix: str = "", *, recursive: bool = True) -> int:  # noqa: ARG002 - the same as of other stores
        """Return 0: what is written here is nowhere before it is published."""
        checked_prefix(prefix)
        return 0

    def local_path(self, path: str) -> None:
        """Return None: nothing here has a path on this machine."""
        checked(path)

    def _full(self, path: str) -> str:
        return self._root + checked(path)

    def _folder(self, prefix: str) -> str:
        folder = checked_prefix(prefix)
        return f"{self._root}{folder}/" if folder else self._root

    def _named(self, path: str) -> str:
        return shown(f"{self.url.rstrip('/')}/{path}" if self.url != "memory://" else self.url + path)


class _MemoryWriter(Writer):
    """Gathers what is written, and hands it to the store when it is published."""

    def __init__(self, store: MemoryStore, path: str, *, overwrite: bool) -> None:
        super().__init__()
        self._store = store
        self._path = path
        self._overwrite = overwrite
        self._buffer = bytearray()

    def _append(self, data: memoryview) -> None:
        self._buffer += data

    def _publish(self) -> None:
        (self._store.replace if self._overwrite else self._store.create)(self._path, bytes(self._buffer))

    def _discard(self) -> None:
        self._buffer = bytearray()

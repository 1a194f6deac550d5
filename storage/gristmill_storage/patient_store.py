"""A store that waits out what may pass, around one that does not: the one place where a running job is patient.

Whatever is repeated here can be: stores promise that what failed has changed nothing, or has changed all and can be
told from another's work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar, cast

from gristmill.errors import AlreadyExists, NotFound, StorageFailed
from gristmill_storage.patience import Patience, may_pass
from gristmill_storage.store import Bytes, Entry, Store, Writer, shown

T = TypeVar("T")


def patient(store: Store, patience: Patience) -> PatientStore:
    """Return a store that waits; of one that waits already, with this patience instead of its own."""
    return PatientStore(store.inner if isinstance(store, PatientStore) else store, patience)


def patience_of(store: Store) -> Patience:
    """Return how a store waits; one that does not has the patience of no second."""
    return store.patience if isinstance(store, PatientStore) else Patience(0)


class PatientStore:
    """Does what another store does, and waits where that fails in a way that may pass."""

    def __init__(self, inner: Store, patience: Patience) -> None:
        """Take the store and how long to wait for it."""
        self.inner = inner
        self.patience = patience

    @property
    def url(self) -> str:
        """The root as it stands in messages."""
        return self.inner.url

    def _read(self, action: Callable[[], T]) -> T:
        return self.patience.call(action, of=self.inner.url)

    def write(self, action: Callable[[], T]) -> T:
        """Do what writes to the store, patiently."""
        return self.patience.call(action, of=self.inner.url, writing=True)

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        return self._read(lambda: self.inner.read(path))

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start` on."""
        return self._read(lambda: self.inner.read_range(path, start, length))

    def open(self, path: str) -> BinaryIO:
        """Return a file for reading, which is opened again where reading fails."""
        file = self._read(lambda: self.inner.open(path))
        return cast("BinaryIO", PatientFile(self.inner, self.patience, path, file))

    def create(self, path: str, data: bytes) -> None:
        """Make a file if there is none; the same bytes, found after a failure, are taken for this call's own."""
        failed = False

        def action() -> None:
            nonlocal failed
            try:
                self.inner.create(path, data)
            except AlreadyExists:
                if not failed or self.inner.read(path) != data:
                    raise
            except StorageFailed:
                failed = True
                raise

        self.write(action)

    def replace(self, path: str, data: bytes) -> None:
        """Make a file or put another in its place."""
        self.write(lambda: self.inner.replace(path, data))

    def writer(self, path: str, *, overwrite: bool = False) -> Writer:
        """Return a stream into a file that appears when it is published."""
        return PatientWriter(self, self.write(lambda: self.inner.writer(path, overwrite=overwrite)))

    def download(self, path: str, local: Path) -> None:
        """Copy a file to this machine."""
        self._read(lambda: self.inner.download(path, local))

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""
        return self._read(lambda: self.inner.exists(path))

    def size(self, path: str) -> int:
        """Return a file's bytes."""
        return self._read(lambda: self.inner.size(path))

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """Yield the files under a folder; after a failure the listing goes on behind the last one."""
        last = b""
        entries: Iterator[Entry] | None = None

        def following() -> Entry | None:
            nonlocal entries
            if entries is None:
                entries = self.inner.list(prefix, recursive=recursive)
            try:
                return next((entry for entry in entries if os.fsencode(entry.path) > last), None)
            except Exception:
                entries = None  # what has raised yields nothing more, which is not the listing's end
                raise

        while (entry := self._read(following)) is not None:
            last = os.fsencode(entry.path)
            yield entry

    def move(self, source: str, destination: str, *, overwrite: bool = False) -> None:
        """Give a file another path; after a failure, a source that is gone and a destination that is there are fine."""
        failed = False

        def action() -> None:
            nonlocal failed
            try:
                self.inner.move(source, destination, overwrite=overwrite)
            except NotFound:
                if not failed or not self.inner.exists(destination):
                    raise
            except StorageFailed:
                failed = True
                raise

        self.write(action)

    def delete(self, path: str) -> None:
        """Remove a file; none there is fine."""
        self.write(lambda: self.inner.delete(path))

    def delete_tree(self, prefix: str) -> None:
        """Remove a folder and all in it; none there is fine."""
        self.write(lambda: self.inner.delete_tree(prefix))

    def sweep(self, prefix: str = "", *, recursive: bool = True) -> int:
        """Remove what killed writers left; nothing depends on it, so it is not waited for."""
        return self.inner.sweep(prefix, recursive=recursive)

    def local_path(self, path: str) -> Path | None:
        """Return the real path on this machine; who writes there does it by `write`."""
        return self.inner.local_path(path)


class PatientWriter(Writer):
    """A stream that goes on where it was when the store takes bytes again."""

    def __init__(self, store: PatientStore, inner: Writer) -> None:
        """Take the store and its own writer."""
        super().__init__()
        self._store = store
        self._inner = inner

    def tell(self) -> int:
        """Return how many bytes were written so far."""
        return self._inner.tell()

    def write(self, data: Bytes) -> int:
        """Take bytes; return how many."""
        return self._store.write(lambda: self._inner.write(data))

    def copy_from(self, source: BinaryIO | int, start: int, length: int) -> None:
        """Write bytes of another file; after a failure from where that was."""
        begun = self._inner.tell()

        def action() -> None:
            done = self._inner.tell() - begun
            self._inner.copy_from(source, start + done, length - done)

        self._store.write(action)

    def _append(self, data: memoryview) -> None:
        self._inner.write(data)

    def _publish(self) -> None:
        lost: list[StorageFailed] = []

        def action() -> None:
            try:
                self._inner.publish()
            except StorageFailed as error:
                if not self._inner.spoiled:
                    raise
                lost.append(error)

        self._store.write(action)
        if lost:
            self.spoiled = True
            raise lost[0]

    def _discard(self) -> None:
        self._inner.close()


class PatientFile:
    """A file of a store that is read; where reading fails in a way that may pass, it is opened again."""

    def __init__(self, store: Store, patience: Patience, path: str, file: BinaryIO) -> None:
        """Take the store, how long to wait for it, the file's path, and the file as it was opened."""
        self._store = store
        self._patience = patience
        self._path = path
        self._file: BinaryIO | None = file
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most so many; fewer at the file's end only."""
        data = self._do(lambda file: file.read(size))
        self._at += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        """Put the next bytes where they are wanted; return how many, fewer at the file's end only."""
        count: int = self._do(lambda file: file.readinto(buffer))  # type: ignore[attr-defined]
        self._at += count
        return count

    def readline(self, size: int = -1) -> bytes:
        """Return the next line with its end, at most so many bytes of it."""
        # fsspec's files take no size.
        data = self._do(lambda file: file.readline(size) if size >= 0 else file.readline())
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place in the file; return where that is."""
        self._at = self._do(lambda file: file.seek(offset, whence))
        return self._at

    def tell(self) -> int:
        """Return where in the file the next bytes are read."""
        return self._at

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines from here on."""
        while line := self.readline():
            yield line

    def fileno(self) -> int:
        """Return the descriptor of a file on this machine.

        Raises:
            OSError: it is elsewhere.

        """
        return self._opened().fileno()

    def readable(self) -> bool:
        """Answer what libraries ask of a binary file."""
        return True

    def seekable(self) -> bool:
        """Answer what libraries ask of a binary file."""
        return True

    @property
    def closed(self) -> bool:
        """Whether nothing more can be read."""
        return self._file is not None and self._file.closed

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def _opened(self) -> BinaryIO:
        """Return the file, opened again if it has to be."""
        if self._file is None:
            self._file = self._store.open(self._path)
            self._file.seek(self._at)
        return self._file

    def _do(self, action: Callable[[BinaryIO], T]) -> T:
        return self._patience.call(lambda: self._try(action), of=self._store.url)

    def _try(self, action: Callable[[BinaryIO], T]) -> T:
        """Do it; a file on which that failed is not used any more."""
        file: Any = self._opened()
        try:
            return action(file)
        except ValueError:
            raise  # it was closed: the caller's fault
        except Exception as error:
            if may_pass(error, writing=False):
                self._file = None
                with suppress(Exception):
                    file.close()
            if isinstance(error, StorageFailed):
                raise
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise StorageFailed(f"{shown(f'{self._store.url}/{self._path}')}: cannot be read: {reason}") from error

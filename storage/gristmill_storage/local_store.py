"""A folder of this machine (or of a network drive) as a store.

What is written stands in a hidden file of the same folder first (`.gristmill-tmp-...`), is synced, and then gets its
name by a hard link, which fails where the name is taken, or by a rename, which does not. Then the folder is synced.
The hidden files of writers that died are never listed; `sweep` and `delete_tree` remove them.

Where the file system knows no hard links (exFAT, some network drives), the name is given by a rename under a lock
(`flock` on a hidden file of the folder, which the system frees when its holder dies). Such a drive must honour locks
between the machines that write to it. `local_writer` does all this.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gristmill.errors import NotFound, StorageFailed
from gristmill_storage import local_writer
from gristmill_storage.local_writer import TEMPORARY, LocalWriter, make_folder, name_if_free, sync_folder, writing
from gristmill_storage.store import BLOCK, Entry, checked, checked_prefix, shown

__all__ = ["TEMPORARY", "LocalStore"]


class LocalStore:
    """A store in a folder; the folder is made when something is written."""

    def __init__(self, root: str | Path) -> None:
        """Take the folder's absolute path."""
        self._root = str(root).rstrip("/") or "/"
        self._prefix = self._root.rstrip("/") + "/"

    @property
    def url(self) -> str:
        """The folder's path."""
        return self._root

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        with _reading(full := self._full(path)):
            return Path(full).read_bytes()

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start` on."""
        with _reading(full := self._full(path)), Path(full).open("rb", buffering=0) as file:
            file.seek(start)
            return b"".join(_blocks(file, length))

    def open(self, path: str) -> BinaryIO:
        """Return a file for reading."""
        with _reading(full := self._full(path)):
            return Path(full).open("rb", buffering=BLOCK >> 2)

    def create(self, path: str, data: bytes) -> None:
        """Make a file if there is none."""
        with self.writer(path) as writer:
            writer.write(data)
            writer.publish()

    def replace(self, path: str, data: bytes) -> None:
        """Make a file or put another in its place."""
        with self.writer(path, overwrite=True) as writer:
            writer.write(data)
            writer.publish()

    def writer(self, path: str, *, overwrite: bool = False) -> LocalWriter:
        """Return a stream into a file that appears when it is published."""
        return LocalWriter(self._full(path), overwrite=overwrite)

    def download(self, path: str, local: Path) -> None:
        """Copy a file."""
        with _reading(full := self._full(path)):
            shutil.copyfile(full, local)

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""
        with _reading(full := self._full(path)):
            return Path(full).is_file()

    def size(self, path: str) -> int:
        """Return a file's bytes."""
        with _reading(full := self._full(path)):
            info = Path(full).stat()
            if stat.S_ISDIR(info.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            return info.st_size

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """Yield the files under a folder, sorted by their paths' bytes; folders that are links are not entered."""
        folder = checked_prefix(prefix)
        return _walk(os.fsencode(self._prefix), os.fsencode(folder) + b"/" if folder else b"", recursive=recursive)

    def move(self, source: str, destination: str, *, overwrite: bool = False) -> None:
        """Give a file another path."""
        old, new = self._full(source), self._full(destination)
        with _reading(old):
            Path(old).stat()
        make_folder(Path(new).parent)
        try:
            _rename(old, new, overwrite=overwrite)
        except StorageFailed as error:
            if isinstance(error.__cause__, FileNotFoundError) and not os.path.lexists(old):
                raise NotFound(f"{shown(old)}: no such file") from error  # another one has moved it just now
            raise
        sync_folder(Path(new).parent)

    def delete(self, path: str) -> None:
        """Remove a file; none there is fine."""
        with writing(full := self._full(path)), suppress(FileNotFoundError, NotADirectoryError):
            Path(full).unlink()

    def delete_tree(self, prefix: str) -> None:
        """Remove a folder and all in it; none there is fine."""
        folder = self._prefix + checked_prefix(prefix)
        with writing(folder), suppress(NotADirectoryError):
            while os.path.lexists(folder):
                # Another one may be removing the same folder: what it was faster with is no reason to leave the rest.
                with suppress(FileNotFoundError):
                    shutil.rmtree(folder)

    def sweep(self, prefix: str = "", *, recursive: bool = True) -> int:
        """Remove what writers left that died, as `local_writer.sweep` tells them from the living."""
        folder = (self._prefix + checked_prefix(prefix)).rstrip("/") or "/"
        swept = 0
        for here, folders, _ in os.walk(folder):
            with suppress(OSError):
                swept += local_writer.sweep(here)
            if not recursive:
                folders.clear()
        return swept

    def local_path(self, path: str) -> Path:
        """Return the real path."""
        return Path(self._full(path))

    def _full(self, path: str) -> str:
        return self._prefix + checked(path)


def _rename(old: str, new: str, *, overwrite: bool) -> None:
    if not overwrite:
        name_if_free(old, new)
        return
    with writing(new):
        Path(old).replace(new)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"{shown(path)}: no such file") from error
    except OSError as error:
        raise StorageFailed(f"{shown(path)}: cannot be read: {error.strerror or error}") from error


def _blocks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (data := file.read(length)):
        yield data
        length -= len(data)


def _walk(root: bytes, folder: bytes, *, recursive: bool) -> Iterator[Entry]:
    # A folder sorts as its name with the slash, so that the order is that of the whole paths' bytes.
    for name in _names(root + folder):
        path = folder + name
        if name.endswith(b"/"):
            if recursive:
                yield from _walk(root, path, recursive=True)
            continue
        size = -1
        with suppress(NotFound), _reading(os.fsdecode(root + path)):
            size = os.stat(root + path).st_size  # noqa: PTH116 - bytes, and fast
        if size >= 0:
            yield Entry(path=os.fsdecode(path), size=size)


def _names(folder: bytes) -> list[bytes]:
    """Return a folder's files, and its folders with a slash, sorted; a folder that is not there is empty."""
    hidden = TEMPORARY.encode()
    with _reading(os.fsdecode(folder)):
        try:
            with os.scandir(folder) as entries:
                found = [
                    entry.name + b"/" if entry.is_dir(follow_symlinks=False) else entry.name
                    for entry in entries
                    if not entry.name.startswith(hidden) and (entry.is_file() or entry.is_dir(follow_symlinks=False))
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
    return sorted(found)

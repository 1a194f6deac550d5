"""A folder of this machine (or of a network drive) as a store.

What is written stands in a hidden file of the same folder first (`.gristmill-tmp-...`), is synced, and then gets its
name by a hard link, which fails where the name is taken, or by a rename, which does not. Then the folder is synced.
The hidden files of writers that died are never listed; `delete_tree` takes them along.

Where the file system knows no hard links (exFAT, some network drives), the name is given by a rename under a lock
(`flock` on a hidden file of the folder, which the system frees when its holder dies). Such a drive must honour locks
between the machines that write to it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from gristmill.errors import AlreadyExists, NotFound, StorageFailed
from gristmill_storage.store import BLOCK, Bytes, Entry, Writer, checked, checked_prefix, shown

#: How the names of files begin that are still being written.
TEMPORARY: Final = ".gristmill-tmp-"

#: What a file system answers that knows no hard links.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

#: What a file system answers that cannot sync a folder; its renames are then as durable as it makes them.
_NO_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES})

#: What the kernel answers where it cannot copy between two files by itself.
_NO_COPY: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF})

#: Below this many bytes a read and a buffered write are faster than the kernel's own copy.
_SMALL_COPY: Final = 1 << 16


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
        _make_folder(Path(new).parent)
        if overwrite:
            with _writing(new):
                Path(old).replace(new)
        else:
            name_if_free(old, new)
        _sync_folder(Path(new).parent)

    def delete(self, path: str) -> None:
        """Remove a file; none there is fine."""
        with _writing(full := self._full(path)), suppress(FileNotFoundError, NotADirectoryError):
            Path(full).unlink()

    def delete_tree(self, prefix: str) -> None:
        """Remove a folder and all in it; none there is fine."""
        folder = self._prefix + checked_prefix(prefix)
        with _writing(folder), suppress(FileNotFoundError, NotADirectoryError):
            shutil.rmtree(folder)

    def local_path(self, path: str) -> Path:
        """Return the real path."""
        return Path(self._full(path))

    def _full(self, path: str) -> str:
        return self._prefix + checked(path)


class LocalWriter(Writer):
    """A stream into a hidden file, which gets its name when it is published."""

    def __init__(self, target: str, *, overwrite: bool) -> None:
        """Open a hidden file beside the target."""
        super().__init__()
        self._target = target
        self._overwrite = overwrite
        self._buffer = bytearray()
        folder = Path(target).parent
        _make_folder(folder)
        self._temporary = f"{folder}/{TEMPORARY}{os.urandom(12).hex()}"
        with _writing(target):
            self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def copy_from(self, source: BinaryIO | int, start: int, length: int) -> None:
        """Write bytes of another file; the kernel copies them where it can."""
        if length >= _SMALL_COPY and hasattr(os, "copy_file_range"):
            fd = _descriptor(source)
            copied = self._copy_in_kernel(fd, start, length) if fd is not None else 0
            start, length = start + copied, length - copied
        super().copy_from(source, start, length)

    def _copy_in_kernel(self, fd: int, start: int, length: int) -> int:
        self._flush()
        copied = 0
        with _writing(self._target):
            while copied < length:
                try:
                    count = os.copy_file_range(fd, self._fd, min(length - copied, 1 << 30), start + copied)
                except OSError as error:
                    if error.errno not in _NO_COPY:
                        raise
                    break
                if not count:
                    break
                copied += count
        self._written += copied
        return copied

    def _append(self, data: memoryview) -> None:
        if len(self._buffer) + data.nbytes >= BLOCK:
            self._flush()
        if data.nbytes >= BLOCK:
            self._write_out(data)
        else:
            self._buffer += data

    def _flush(self) -> None:
        if self._buffer:
            self._write_out(self._buffer)
            self._buffer = bytearray()

    def _write_out(self, data: Bytes) -> None:
        with _writing(self._target), memoryview(data) as view:
            done = 0
            while done < view.nbytes:
                done += os.write(self._fd, view[done:])

    def _publish(self) -> None:
        try:
            self._flush()
            with _writing(self._target):
                os.fsync(self._fd)
            if self._overwrite:
                with _writing(self._target):
                    Path(self._temporary).replace(self._target)
            else:
                name_if_free(self._temporary, self._target)
            _sync_folder(Path(self._target).parent)
        finally:
            self._discard()

    def _discard(self) -> None:
        with suppress(OSError):
            os.close(self._fd)
        with suppress(OSError):
            Path(self._temporary).unlink()


def name_if_free(old: str, new: str) -> None:
    """Rename a file; atomic, and refused where the new name is taken.

    Raises:
        AlreadyExists: the new name is taken.

    """
    with _writing(new):
        try:
            os.link(old, new)
        except FileExistsError:
            # A network drive may answer so to the repetition of a call that it had carried out.
            if old == new or not Path(old).samefile(new):
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _rename_under_lock(old, new)
            return
        Path(old).unlink()


def _rename_under_lock(old: str, new: str) -> None:
    lock = os.open(f"{Path(new).parent}/{TEMPORARY}lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        Path(old).rename(new)
    finally:
        os.close(lock)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"{shown(path)}: no such file") from error
    except OSError as error:
        raise StorageFailed(f"{shown(path)}: cannot be read: {error.strerror or error}") from error


@contextmanager
def _writing(path: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise AlreadyExists(f"{shown(path)}: already there") from error
    except OSError as error:
        raise StorageFailed(f"{shown(path)}: cannot be written: {error.strerror or error}") from error


def _make_folder(folder: Path) -> None:
    """Make a folder with those above it, each durable in its own parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageFailed(f"{shown(str(folder))}: the folder cannot be made: {error.strerror}") from error
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    with _writing(str(folder)):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise
        finally:
            os.close(fd)


def _descriptor(source: BinaryIO | int) -> int | None:
    if isinstance(source, int):
        return source
    try:
        return source.fileno()
    except OSError:
        return None


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
        with suppress(FileNotFoundError):
            yield Entry(path=os.fsdecode(path), size=os.stat(root + path).st_size)  # noqa: PTH116 - bytes, and fast


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

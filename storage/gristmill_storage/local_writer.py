"""How a file comes to be in a folder of this machine: hidden, synced, and then named, so that nobody sees it half.

A writer holds a lock on its hidden file for as long as it lives, and the system frees it when the writer is killed: so
`sweep` tells what dead writers left from what living ones are about to name.

A write that fails can be repeated (`patience.py` does, where the fault may pass): each goes to its own place in the
file, so that one that was half done is done over, not twice. The exception is a failed fsync: the system may have
dropped what it could not write, and a second fsync would say that all is well. What is still held is then written
again; if it is not, the writer is `spoiled`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from gristmill.errors import AlreadyExists, StorageFailed
from gristmill_storage.store import BLOCK, Bytes, Writer, shown

#: How the names of files begin that are still being written.
TEMPORARY: Final = ".gristmill-tmp-"

#: The hidden file that stands for a lock, not for a file that is being written.
_LOCK: Final = f"{TEMPORARY}lock"

#: Seconds after which a hidden file is taken for a dead writer's where the file system knows no locks.
STALE_SECONDS: Final = 86400.0

#: What a file system answers that knows no hard links.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

#: What a file system answers that cannot sync a folder; its renames are then as durable as it makes them.
_NO_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES})

#: What the kernel answers where it cannot copy between two files by itself.
_NO_COPY: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF})

#: Below this many bytes a read and a buffered write are faster than the kernel's own copy.
_SMALL_COPY: Final = 1 << 16


class LocalWriter(Writer):
    """A stream into a hidden file, which gets its name when it is published."""

    def __init__(self, target: str, *, overwrite: bool) -> None:
        """Open a hidden file beside the target."""
        super().__init__()
        self._target = target
        self._overwrite = overwrite
        self._buffer = bytearray()
        #: Bytes that the hidden file has.
        self._at = 0
        self._named = False
        folder = Path(target).parent
        make_folder(folder)
        with writing(target):
            self._fd, self._temporary = hidden_file(str(folder))

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
        with writing(self._target):
            while copied < length:
                try:
                    count = os.copy_file_range(fd, self._fd, min(length - copied, 1 << 30), start + copied, self._at)
                except OSError as error:
                    if error.errno not in _NO_COPY:
                        raise
                    break
                if not count:
                    break
                copied += count
                self._at += count
                self._written += count
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
        with writing(self._target), memoryview(data) as view:
            done = 0
            while done < view.nbytes:
                done += os.pwrite(self._fd, view[done:], self._at + done)
            self._at += view.nbytes

    def _publish(self) -> None:
        if not self._named:
            self._make_durable()
            self._name()
            self._named = True
        sync_folder(Path(self._target).parent)
        self._discard()

    def _make_durable(self) -> None:
        """Write out what is held, and have the disk hold it all."""
        whole = self._buffer if not self._at else bytearray()
        self._flush()
        try:
            with writing(self._target):
                os.fsync(self._fd)
        except StorageFailed:
            if whole:
                self._buffer, self._at = whole, 0
            else:
                self.spoiled = self._at > 0
            raise

    def _name(self) -> None:
        if not self._overwrite:
            name_if_free(self._temporary, self._target)
            return
        with writing(self._target):
            Path(self._temporary).replace(self._target)

    def _discard(self) -> None:
        with suppress(OSError):
            Path(self._temporary).unlink()
        with suppress(OSError):
            os.close(self._fd)


def hidden_file(folder: str) -> tuple[int, str]:
    """Make a hidden file and hold its lock; return its descriptor and path."""
    while True:
        path = f"{folder}/{TEMPORARY}{os.urandom(12).hex()}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # without locks `sweep` goes by the file's age
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, path
        os.close(fd)  # a sweep came between the file and its lock


def sweep(folder: str) -> int:
    """Remove the hidden files of a folder whose writers have died; return how many.

    Where the file system knows no locks, those go that nobody has written to for a day.
    """
    with os.scandir(folder) as entries:
        found = [entry.path for entry in entries if entry.name.startswith(TEMPORARY) and entry.name != _LOCK]
    return sum(map(_sweep_file, found))


def _sweep_file(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False  # its writer was faster, or it is nobody's business of ours
    try:
        if not _is_dead(fd):
            return False
        Path(path).unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _is_dead(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - os.fstat(fd).st_mtime > STALE_SECONDS
    return True


def name_if_free(old: str, new: str) -> None:
    """Rename a file; atomic, and refused where the new name is taken.

    Raises:
        AlreadyExists: the new name is taken.

    """
    with writing(new):
        try:
            os.link(old, new)
        except FileExistsError:
            # A network drive may answer so to the repetition of a call that it had carried out.
            if old == new or not _are_one(old, new):
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _rename_under_lock(old, new)
            return
        Path(old).unlink(missing_ok=True)


def _are_one(old: str, new: str) -> bool:
    """Return whether two names are one file's; no longer, where one of them is gone."""
    with suppress(FileNotFoundError):
        return Path(old).samefile(new)
    return False


def _rename_under_lock(old: str, new: str) -> None:
    lock = os.open(f"{Path(new).parent}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        Path(old).rename(new)
    finally:
        os.close(lock)


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn what the system answers to a write into errors of ours, which name the path and keep the reason."""
    try:
        yield
    except FileExistsError as error:
        raise AlreadyExists(f"{shown(path)}: already there") from error
    except OSError as error:
        raise StorageFailed(f"{shown(path)}: cannot be written: {error.strerror or error}") from error


def make_folder(folder: Path) -> None:
    """Make a folder with those above it, each durable in its own parent."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageFailed(f"{shown(str(folder))}: the folder cannot be made: {error.strerror}") from error
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk hold a folder's names."""
    with writing(str(folder)):
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

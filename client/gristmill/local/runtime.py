"""The private folder of one run, for its socket and scratch; that of a run which was killed goes with a later one.

Where its path is too long for a socket, the socket has a folder of its own in /tmp, locked and swept like the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

#: A unix socket's path has room for 104 bytes on macOS and 108 on Linux, the closing NUL included.
_SOCKET_PATH_LIMIT: Final = 100

_SOCKET_NAME: Final = "redis.sock"

#: Where the socket's own folder lies, if it needs one.
_SHORT_BASE: Final = Path("/tmp")  # noqa: S108 - it is made as mkdtemp does, for this user alone

#: Locked as long as the run's owner, its server or its node is alive.
_LOCK_NAME: Final = "owner.lock"

_NAME: Final = re.compile(r"gristmill-[a-z0-9_]{8}")

#: Seconds that a folder is left alone, whose maker may not have come to lock it.
_YOUNG_SECONDS: Final = 60.0

#: Seconds after which one goes that is empty and has no lock: its maker was killed before it could, or was a Gristmill
#: that locked no folders of sockets.
_OLD_SECONDS: Final = 3600.0


class Runtime:
    """Makes the folder, and sweeps away those of runs that were killed."""

    def __init__(self, scratch: Path | None) -> None:
        """Make it in `scratch` (None: the system's temporary folder)."""
        self.folder, lock = _made(Path(scratch or tempfile.gettempdir()))
        self._short: Path | None = None
        #: Descriptors of the locks; what inherits them keeps the folders from being swept away.
        self.locks: tuple[int, ...] = (lock,)
        if len(os.fsencode(self.folder / _SOCKET_NAME)) > _SOCKET_PATH_LIMIT:
            self._short, lock = _made(_SHORT_BASE)
            self.locks += (lock,)

    @property
    def socket(self) -> Path:
        """Path of the embedded server's socket."""
        return (self._short or self.folder) / _SOCKET_NAME

    @property
    def state(self) -> Path:
        """Where the embedded server keeps its append-only file."""
        return self.folder / "redis"

    def close(self) -> None:
        """Remove the folder."""
        for lock in self.locks:
            os.close(lock)
        for folder in (self.folder, self._short):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def _made(base: Path) -> tuple[Path, int]:
    """Return a new folder in `base`, swept before, and the lock that is held on it."""
    _sweep(base)
    folder = Path(tempfile.mkdtemp(prefix="gristmill-", dir=base))
    lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    # Some network file systems have no locks; there nothing is swept either.
    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder, lock


def _sweep(base: Path) -> None:
    """Remove what killed runs of this user left in `base`."""
    with contextlib.suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                _sweep_folder(Path(entry.path))


def _sweep_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        status = folder.lstat()
        age = time.time() - status.st_mtime
        if status.st_uid != os.getuid() or age < _YOUNG_SECONDS:
            return
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
        elif age >= _OLD_SECONDS:
            folder.rmdir()  # which an empty one alone allows


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True

"""The private folder of one run, for its socket and scratch; that of a run which was killed goes with a later one."""

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

#: Locked as long as the run's owner, its server or its node is alive.
_LOCK_NAME: Final = "owner.lock"

_NAME: Final = re.compile(r"gristmill-[a-z0-9_]{8}")

#: Seconds that a folder is left alone, whose maker may not have come to lock it.
_YOUNG_SECONDS: Final = 60.0


class Runtime:
    """Makes the folder, and sweeps away those of runs that were killed."""

    def __init__(self, scratch: Path | None) -> None:
        """Make it in `scratch` (None: the system's temporary folder)."""
        base = Path(scratch or tempfile.gettempdir())
        _sweep(base)
        self.folder = Path(tempfile.mkdtemp(prefix="gristmill-", dir=base))
        self._short: Path | None = None
        #: Descriptor of the lock; what inherits it keeps the folder from being swept away.
        self.lock = os.open(self.folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        # Some network file systems have no locks; there nothing is swept either.
        with contextlib.suppress(OSError):
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if len(os.fsencode(self.folder / _SOCKET_NAME)) > _SOCKET_PATH_LIMIT:
            self._short = Path(tempfile.mkdtemp(prefix="gristmill-", dir="/tmp"))

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
        os.close(self.lock)
        for folder in (self.folder, self._short):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def _sweep(base: Path) -> None:
    """Remove what killed runs of this user left in `base`."""
    with contextlib.suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and _is_abandoned(Path(entry.path)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        status = folder.lstat()
        if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNG_SECONDS:
            return False
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

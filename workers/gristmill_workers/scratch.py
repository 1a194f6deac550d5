"""The folders that instances have for as long as they work: locked while they live, so that those of the dead can go.

A node that is killed cannot remove its own. The next node on the machine does, when it starts: it takes what has a lock
that nobody holds. So nodes side by side leave each other's alone, and nothing is told by its age or a process's number.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: The lock's name in a folder.
_LOCK: Final = "node.lock"

_NAME: Final = re.compile(r"gristmill-.+-[a-z0-9_]{8}")


@contextmanager
def scratch_folder(base: Path | None, job: str) -> Iterator[Path]:
    """Have a folder of one's own in `base` (None: the system's temporary folder) while the block runs."""
    folder, lock = _make(base, f"gristmill-{job}-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(base: Path | None) -> int:
    """Remove the folders in `base` of nodes of this user that were killed; return how many."""
    swept = 0
    with suppress(OSError), os.scandir(base or tempfile.gettempdir()) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                swept += _sweep(Path(entry.path))
    return swept


def _make(base: Path | None, prefix: str) -> tuple[Path, int]:
    """Return a new folder, and the lock that is held on it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        if _take(lock) is not False and (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)  # a sweep came between the file and its lock


def _sweep(folder: Path) -> bool:
    try:
        if folder.lstat().st_uid != os.getuid():
            return False
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if not _take(lock):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(lock)


def _take(lock: int) -> bool | None:
    """Return whether the lock is had; None where the file system has no locks: there nothing is swept."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True

"""A thing that many processes want is made by one of them; the others wait, and find it there.

The lock is the kernel's (`flock`): it goes with the process that holds it, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gristmill.errors import EnvironmentFailed


@contextlib.contextmanager
def locked(path: Path, *, seconds: float, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold the lock of a file while the block runs; gives its descriptor, for helpers that are to hold it too.

    Args:
        path: The lock's file; it is made, and stays.
        seconds: How long to wait for whoever holds it.
        waiting: Called once when there is somebody to wait for.

    Raises:
        EnvironmentFailed: the other one held it too long, or the file cannot be made.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        message = f"{path}: {error.strerror}; the cache folder must be writable (GRISTMILL_CACHE names another)"
        raise EnvironmentFailed(message) from error
    try:
        _acquire(descriptor, path, seconds, waiting)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, seconds: float, waiting: Callable[[], None]) -> None:
    end, pause = time.monotonic() + seconds, 0.01
    while not _try(descriptor):
        if pause == 0.01:  # noqa: PLR2004 - the first time
            waiting()
        if time.monotonic() > end:
            raise EnvironmentFailed(f"{path}: another process has held this lock for {seconds:.0f} s; is it stuck?")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""Whether a process of this machine, or of one that shares its disk, runs a job at this moment."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

#: Locked by whoever runs a job by itself, in the job's folder (see `gristmill.local.folders`).
CLAIM: Final = "owner.lock"


def is_claimed(folder: Path) -> bool | None:
    """Return whether a job is being run by a process of its own; None where it never was: a cluster's job."""
    try:
        lock = os.open(folder / CLAIM, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # A file system without locks.
        return None
    finally:
        os.close(lock)
    return False

"""Keeps the logs of processes that run for months from filling the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

#: Bytes from which a log is cut; what it held is kept once, in `<name>.1`.
MOST_BYTES: Final = 16 * 1024 * 1024


def cut(folder: Path, *, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Empty each log of a folder that has grown too large, keeping what it held; return which.

    The processes go on writing at the end of the same file, which is its beginning now. What one writes in the moment
    between the copy and the cut is lost.
    """
    large = []
    for log in sorted(folder.glob("*.log")):
        with contextlib.suppress(OSError):
            if log.stat().st_size > most_bytes:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)
                large.append(log)
    return large

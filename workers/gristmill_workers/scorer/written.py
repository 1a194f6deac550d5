"""Files that the script writes itself under AZUREML_BI_OUTPUT_PATH.

That is a private folder of this process. After each run() its files are moved to a folder of the attempt, from where
the node publishes them when the attempt commits; a failed attempt's files are deleted. Folders stay, so that a script
that made them in init() still finds them. Files that are there when init() ends are the script's own long-lived ones
(a log, an open database): they belong to no mini-batch, stay where they are, and are handed over at the end.
"""

# Paths are plain strings here: a Path a mini-batch would cost more than the mini-batch.
# ruff: noqa: PTH103, PTH105, PTH108, PTH118, PTH120, PTH208, PTH116
# ruff: noqa: PTH, PTH116

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import time
from importlib import import_module
from typing import Iterator

from .failures import counted
from .surroundings import move_high

_LOG = logging.getLogger("gristmill.scorer")

#: The folder under `staging_dir` of the files that belong to no mini-batch.
LAST = "stop"

#: Nanoseconds after which two changes of a folder bear different times on any file system.
_TELLING_APART = 3_000_000_000

#: The year 2000, in nanoseconds after the epoch.
_LONG_AGO = 946_684_800_000_000_000


class WrittenFiles:
    """Watches the script's output folder."""

    def __init__(self, folder: str, staging: str) -> None:
        """Watch `folder`; finished attempts' files go to folders under `staging`."""
        self._folder = folder
        self._staging = staging
        self._own: set[str] = set()
        self._passed_over: set[str] = set()
        #: The folder, and what the system says of it for as long as nothing is made in it; None: that is not known.
        self._descriptor = -1
        self._opened: os.stat_result | None = None
        self._empty: tuple[int, int, int] | None = None

    def begin(self, staging: str) -> None:
        """Send the files of finished attempts to folders under `staging` from now on."""
        self._staging = staging
        self._passed_over.clear()

    def keep(self) -> None:
        """Take the files that are there now for the script's long-lived ones."""
        self._own = set(self._found())
        if self._own:
            some = ", ".join(sorted(self._own)[:3])
            _LOG.warning(
                "init() wrote %s under AZUREML_BI_OUTPUT_PATH (%s): what belongs to no mini-batch is handed over "
                "when this process ends. Let run() write the files that belong to its items.",
                counted(len(self._own), "file"),
                some,
            )

    @property
    def lasting(self) -> bool:
        """Whether files are there that belong to no mini-batch, but to the job."""
        return bool(self._own)

    def take(self, label: str) -> list[str]:
        """Move the files of a finished attempt to its folder `label`; return their paths relative to it."""
        if not self._any():
            return []
        return self._move(set(self._found()) - self._own, label)

    def discard(self) -> None:
        """Delete the files of a failed attempt."""
        if self._any():
            for path in set(self._found()) - self._own:
                os.unlink(os.path.join(self._folder, path))

    def take_last(self) -> list[str]:
        """Move all files that are left to the folder of what belongs to no mini-batch; return their paths."""
        return self._move(set(self._found()), LAST) if self._any() else []

    def _any(self) -> bool:
        """Most scripts write no files: the folder's times of change mostly tell, else one look into it."""
        try:
            if self._empty is not None and _state(self._descriptor) == self._empty:
                return False
            self._empty = self._date_back()
            if os.listdir(self._folder):
                self._empty = None
                return True
        except OSError:
            self._empty = None
        return False

    def _date_back(self) -> tuple[int, int, int] | None:
        """Return the state that the folder has from now on until something changes; None: none can be told.

        Its time of change is one of long ago: what changes now must show another, and file systems tell times apart by
        up to 2 s. It is kept open, for its path need not be gone through then: half the time of a look. What was made
        in its place would not be seen; but one that was deleted has no links, and one that was moved has a newer ctime.
        """
        self._reopen()
        with contextlib.suppress(OSError):
            os.utime(self._folder, ns=(_LONG_AGO, _LONG_AGO))
        state = _state(self._descriptor)
        return state if time.time_ns() - state[0] > _TELLING_APART else None

    def _reopen(self) -> None:
        if self._opened is not None:
            with contextlib.suppress(OSError):  # a script may close what it did not open, and the number be another's
                if os.path.samestat(os.stat(self._descriptor), self._opened):
                    os.close(self._descriptor)
            self._opened = None
        self._descriptor = move_high(os.open(self._folder, os.O_RDONLY))
        self._opened = os.stat(self._descriptor)

    def _move(self, paths: set[str], name: str) -> list[str]:
        for path in sorted(paths):
            target = os.path.join(self._staging, name, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _move(os.path.join(self._folder, path), target)
        return sorted(paths)

    def _found(self, below: str = "") -> Iterator[str]:
        """Yield the paths, relative to the folder, of all plain files in it."""
        with os.scandir(os.path.join(self._folder, below)) as entries:
            for entry in list(entries):
                path = os.path.join(below, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    yield from self._found(path)
                elif stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                    yield path
                else:
                    self._pass_over(path)

    def _pass_over(self, path: str) -> None:
        if path not in self._passed_over:
            self._passed_over.add(path)
            _LOG.warning("AZUREML_BI_OUTPUT_PATH: %s is no plain file and is left out of the output", path)


def _state(descriptor: int) -> tuple[int, int, int]:
    found = os.stat(descriptor)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_nlink


def _move(source: str, target: str) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        import_module("shutil").copyfile(source, target, follow_symlinks=False)
        os.unlink(source)

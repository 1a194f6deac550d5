"""The folders of a job that runs here: a private one for the run, and the job's own beside the output."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Final

from gristmill.errors import Mistake
from gristmill.local import early_server
from gristmill.local.runtime import Runtime
from gristmill.running import CLAIM

#: Seconds that a job's folder may stay locked by a server which is about to end.
_CLAIM_SECONDS: Final = 5.0


class Folders:
    """Makes the folders, holds the job's lock, and takes away what is not to stay."""

    def __init__(self, job: Path | None, *, scratch: Path | None) -> None:
        """Make the runtime folder and, for a job on local storage, its folder.

        Raises:
            Mistake: the folder cannot be made, or another process runs this job.

        """
        self.job = job
        self.lock: int | None = None
        self._made: list[Path] = []
        #: Whether nobody has claimed the job before.
        self._first = False
        early = early_server.take()
        self.runtime = Runtime(scratch) if early is None else early.runtime
        #: The embedded server, where it was started before anything else.
        self.server = None if early is None else early.child
        try:
            if job is not None:
                self._make_job_folders(job)
        except BaseException:
            if early is not None:
                early.stop()
            self.close(keep_job=False, keep_claim=True)
            raise

    @property
    def logs(self) -> Path:
        """Where the children's logs go."""
        return self.runtime.folder if self.job is None else self.job / "logs" / "sys"

    @property
    def state(self) -> Path:
        """Where the embedded server keeps its append-only file: not beside the output, a disk that may be full."""
        return self.runtime.state

    @property
    def locks(self) -> tuple[int, ...]:
        """Descriptors of what is locked for as long as anyone works here."""
        return self.runtime.locks if self.lock is None else (*self.runtime.locks, self.lock)

    def close(self, *, keep_job: bool, keep_claim: bool) -> None:
        """Remove the runtime folder, and of the job's what is not to be kept; give its lock back.

        Args:
            keep_job: whether what was made in the job's folder stays. Not for a job that was refused: then only what
                was there before stays.
            keep_claim: whether the file of its lock stays, by which others see that nobody runs the job any more.

        """
        if not keep_job:
            self._undo()
        elif not keep_claim and self.job is not None:
            (self.job / CLAIM).unlink(missing_ok=True)
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None
        self.runtime.close()

    def _make_job_folders(self, job: Path) -> None:
        try:
            self._make(self.logs)
        except OSError as error:
            raise Mistake(f"output: the folder {job} cannot be made: {error.strerror}; give another --output") from None
        new = not (job / CLAIM).exists()
        self.lock = _claim(job / CLAIM, job)
        self._first = new

    def _make(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._made += reversed(missing)

    def _undo(self) -> None:
        job = self.job
        if job is None or (job in self._made and (job / "job.json").exists()):
            return
        if self._first:
            (job / CLAIM).unlink(missing_ok=True)
        for folder in reversed(self._made):
            if folder.is_relative_to(job):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                # Somebody else may have put something there meanwhile.
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _claim(path: Path, job: Path) -> int:
    """Lock a job for this process and the children that inherit the descriptor: two would be in each other's way."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _CLAIM_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            os.close(lock)
            raise Mistake(f"job {job.name}: another process is running it; wait for its end, or end it") from None
        except OSError:
            # Some network file systems have no locks; then there is nothing to claim by.
            return lock
        return lock

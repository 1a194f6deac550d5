"""How a scorer's process comes to be: started for a launch, or before anything is known of one, as a blank.

A blank is a Python that has imported what scorers run, and waits for its first frame. A node that serves one command's
job is told how many scorers that will want, and starts them while the job is still being planned. A launch takes a
blank when the two differ in nothing but what the first frame can set right.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from gristmill_workers.guarding import GUARD
from gristmill_workers.scorer import protocol
from gristmill_workers.scorer_environment import SET_BY_NODES, born_with

#: The file that a scorer's Python runs.
CHILD: Final = Path(protocol.__file__).with_name("child.py")

#: Bytes asked for at once from a pipe, and the size that the pipes are given where the system allows.
PIPE_BYTES: Final = 1 << 20

#: The thread that starts what may outlive its job, or comes before it: the system ends a scorer with the thread that
#: started it.
STARTER: Final = ThreadPoolExecutor(1, thread_name_prefix="scorers")

log = logging.getLogger("gristmill.node")


@dataclass(frozen=True, kw_only=True)
class Started:
    """A process that waits for its first frame, and the node's ends of what it speaks through."""

    process: subprocess.Popen[bytes]
    commands: int
    results: int
    progress: protocol.Progress
    #: What it bears in its environment, and all that it starts.
    mark: Mapping[str, str]

    def end(self) -> None:
        """End it: nobody wants it."""
        self.process.kill()
        self.process.wait()
        GUARD.ended(self.process.pid, self.mark)
        for descriptor in (self.commands, self.results):
            os.close(descriptor)
        self.progress.close()


def start(
    python: Path, variables: Mapping[str, str], *, folder: Path, stdout: Path | None = None, stderr: Path | None = None
) -> Started:
    """Start a scorer's process.

    Args:
        python: the Python that runs it.
        variables: its environment, whole but for its mark.
        folder: its working folder.
        stdout: the file that takes what it prints; None: nowhere.
        stderr: the same.

    """
    theirs, commands = os.pipe()
    results, ours = os.pipe()
    shared = _shared_memory()
    mark = GUARD.mark()
    try:
        with _log_file(stdout) as output, _log_file(stderr) as errors:
            process = subprocess.Popen(
                [str(python), str(CHILD), *map(str, (theirs, ours, shared))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**variables, **mark},
                cwd=folder,
                pass_fds=(theirs, ours, shared),
                start_new_session=True,
            )
        GUARD.began(process.pid)
        progress = protocol.Progress(shared)
    except BaseException:
        os.close(commands)
        os.close(results)
        raise
    finally:
        for descriptor in (theirs, ours, shared):
            os.close(descriptor)
    for descriptor in (commands, results):
        os.set_blocking(descriptor, False)
        _widen(descriptor)
    return Started(process=process, commands=commands, results=results, progress=progress, mark=mark)


def make_log(path: Path) -> None:
    """Make a log that a process opens by itself; where there can be none, what it prints is dropped."""
    _log_file(path).close()


class Blanks:
    """The blanks of this process. Safe from any thread."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: list[Future[Started]] = []
        self._variables: dict[str, str] = {}

    def begin(self, count: int, environment: Mapping[str, str]) -> None:
        """Have so many started, on this process's own Python."""
        self._variables = born_with(environment)
        python, folder = Path(sys.executable), Path("/")
        self._waiting = [STARTER.submit(start, python, self._variables, folder=folder) for _ in range(count)]

    def take(self, python: Path, variables: Mapping[str, str]) -> Started | None:
        """Return one that may be a scorer of this Python and this environment.

        None where there is none; where this one asks for something else, so will the others, and all blanks are ended.
        """
        suits = self._suits(python, variables)
        with contextlib.suppress(IndexError, OSError):
            while started := self._waiting.pop(0).result():
                if suits and started.process.poll() is None:
                    return started
                started.end()
        return None

    def end(self) -> None:
        """End those that nobody took."""
        self.take(Path(), {})

    def _suits(self, python: Path, variables: Mapping[str, str]) -> bool:
        names = {*variables, *self._variables}
        different = {name for name in names if variables.get(name) != self._variables.get(name)}
        return str(python) == sys.executable and different <= SET_BY_NODES


#: Of this process.
BLANKS: Final = Blanks()


def _log_file(path: Path | None) -> BinaryIO:
    """Open a file for what a child prints; where there can be none, that is dropped."""
    if path is None:
        return Path(os.devnull).open("ab")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        log.warning("%s: what a scorer prints is dropped: %s", path, error.strerror)
        return Path(os.devnull).open("ab")


def _shared_memory() -> int:
    descriptor, path = tempfile.mkstemp(prefix="gristmill-progress-")
    Path(path).unlink()
    os.ftruncate(descriptor, protocol.PROGRESS_SIZE)
    return descriptor


def _widen(descriptor: int) -> None:
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

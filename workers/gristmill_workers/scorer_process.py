"""One scorer, seen from its node: a child process, two pipes and the progress memory.

The child is started in a session of its own, so that everything it forks can be ended with it, and with its output
going straight to files: what a script prints passes through none of our processes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gristmill_workers.guardian import VARIABLE
from gristmill_workers.guarding import GUARD
from gristmill_workers.scorer import protocol
from gristmill_workers.scorer_start import BLANKS, PIPE_BYTES, STARTER, make_log, start

#: Seconds that a scorer's stack dump may take before it is killed all the same.
DUMP_SECONDS: Final = 0.3

#: Bytes of the log that stand in an error's traceback.
TAIL_BYTES: Final = 8000

#: What a scorer is told of each of its jobs: it keeps all else of its `start` frame for life.
OF_A_JOB: Final = frozenset({"root", "staging_dir", "node"})

log = logging.getLogger("gristmill.node")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a scorer is started."""

    #: The Python that runs it.
    python: Path
    #: Its environment, whole.
    variables: Mapping[str, str]
    #: The `start` frame.
    start: Mapping[str, Any]
    #: Its working folder, its own.
    folder: Path
    stdout: Path
    stderr: Path
    #: The number in its process's name.
    number: int = 0
    #: Whether it may be kept when its job is over.
    lasting: bool = False
    #: One that was kept, born alike: it is told of the job, and none is started.
    kept: ScorerProcess | None = None

    def born_alike(self, other: Launch) -> bool:
        """Return whether all that a scorer has from its birth on is the same."""
        return _birth(self) == _birth(other)


def _birth(launch: Launch) -> tuple[object, ...]:
    frame = {name: value for name, value in launch.start.items() if name not in OF_A_JOB}
    return launch.python, dict(launch.variables), frame, launch.folder


def begun(launch: Launch) -> ScorerProcess:
    """Return the scorer of a launch: started now, or kept and told of its job now."""
    if launch.kept is not None:
        launch.kept.begin(launch)
        return launch.kept
    return STARTER.submit(ScorerProcess, launch).result() if launch.lasting else ScorerProcess(launch)


class ScorerProcess:
    """A running scorer; never blocks, whatever the child does."""

    def __init__(self, launch: Launch) -> None:
        """Start the child and send it its `start` frame."""
        self.launch = launch
        self.started = time.monotonic()
        self._outgoing = bytearray()
        self._reader = protocol.FrameReader()
        launch.folder.mkdir(parents=True, exist_ok=True)
        blank = BLANKS.take(launch.python, launch.variables)
        started = blank or start(
            launch.python, launch.variables, folder=launch.folder, stdout=launch.stdout, stderr=launch.stderr
        )
        self._process, self._progress, self._mark = started.process, started.progress, started.mark
        self._commands, self._results = started.commands, started.results
        self.send(dict(launch.start) if blank is None else self._dressed(launch))

    def _dressed(self, launch: Launch) -> dict[str, Any]:
        """Return the `start` frame of a blank: what others are born with is told."""
        make_log(launch.stdout)
        make_log(launch.stderr)
        logs = {"stdout": str(launch.stdout), "stderr": str(launch.stderr)}
        return {**launch.start, **logs, "variables": {**launch.variables, **self._mark}}

    def begin(self, launch: Launch) -> None:
        """Tell a scorer that rests of its next job."""
        make_log(launch.stdout)
        make_log(launch.stderr)
        self.launch = launch
        self.started = time.monotonic()
        told = {name: launch.start[name] for name in OF_A_JOB}
        self.send({"type": "job", **told, "stdout": str(launch.stdout), "stderr": str(launch.stderr)})

    @property
    def alive(self) -> bool:
        """Whether a scorer that rests is there, and silent as it should be."""
        try:
            return self._process.poll() is None and self.receive() == []
        except protocol.ProtocolError:
            return False

    @property
    def pid(self) -> int:
        """Return the child's process id."""
        return self._process.pid

    @property
    def mark(self) -> str:
        """Return what all that the child starts bears in its environment."""
        return self._mark[VARIABLE]

    @property
    def results(self) -> int:
        """Return the descriptor that becomes readable when the child has answered or died."""
        return self._results

    @property
    def commands(self) -> int:
        """Return the descriptor that becomes writable when the child can take more."""
        return self._commands

    @property
    def blocked(self) -> bool:
        """Whether frames wait for the child to read."""
        return bool(self._outgoing)

    def send(self, header: Mapping[str, Any], payload: bytes = b"") -> None:
        """Send a frame, or as much of it as the pipe takes now; `flush` sends the rest."""
        self._outgoing += protocol.encode(dict(header), payload) + payload
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the pipe takes it; a dead child's pipe swallows it."""
        while self._outgoing:
            try:
                sent = os.write(self._commands, self._outgoing)
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._outgoing.clear()
                return
            del self._outgoing[:sent]

    def receive(self) -> list[protocol.Frame] | None:
        """Return the frames that have come whole since the last call, or None when the child has closed its end.

        Raises:
            protocol.ProtocolError: the child sent what is no frame.

        """
        try:
            data = os.read(self._results, PIPE_BYTES)
        except BlockingIOError:
            return []
        return self._reader.feed(data) if data else None

    def running(self) -> tuple[int | None, float]:
        """Return the mini-batch that the child is in (None between two) and the seconds since it began or ended."""
        return self._progress.read()

    def culprit(self) -> int | None:
        """Return the mini-batch that the child was last seen in: in its run(), or in the writing of its result."""
        return self._progress.culprit()

    def dump_stacks(self) -> str:
        """Have the child write the stacks of its threads to its log; return what it wrote."""
        before = _size(self.launch.stderr)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGUSR1)
        deadline = time.monotonic() + DUMP_SECONDS
        while time.monotonic() < deadline and _size(self.launch.stderr) == before:
            time.sleep(0.01)
        time.sleep(0.02)
        return self.log_tail(since=before)

    def log_tail(self, since: int = 0) -> str:
        """Return the end of the child's stderr, from `since` bytes on."""
        with contextlib.suppress(OSError), self.launch.stderr.open("rb") as log:
            log.seek(max(since, _size(self.launch.stderr) - TAIL_BYTES))
            return log.read(TAIL_BYTES).decode("utf-8", "replace")
        return ""

    def kill(self) -> None:
        """End the child and everything in its session's group, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self, patience: float = 5.0) -> str:
        """Wait for the child's end (killed after `patience` seconds), free what it held; return its end in words."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self.kill()
        GUARD.ended(self.pid, self._mark)
        for descriptor in (self._commands, self._results):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._commands = self._results = -1
        self._progress.close()
        return describe_exit(self._process.returncode)


def describe_exit(code: int) -> str:
    """Return a process's end in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    hint = " (the system kills so when memory runs out)" if -code == signal.SIGKILL else ""
    return f"signal {name}{hint}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

"""The process around the user's code: made ready once, and mended before each mini-batch where the user bent it.

What a script may do without harm to the next mini-batch: change the working folder, close or replace the standard
streams, install signal handlers, fork. What it sets up on purpose (a stream of its own, another handler) stays.
"""

# Paths are plain strings here: a Path a mini-batch would cost more than the mini-batch.
# ruff: noqa: PTH103, PTH109
# ruff: noqa: PTH

from __future__ import annotations

import contextlib
import errno
import faulthandler
import fcntl
import io
import logging
import os
import select
import signal
import sys
from typing import Any, TextIO

try:
    import ctypes
except ImportError:  # a Python built without it
    ctypes = None  # type: ignore[assignment]

#: Copies of descriptors are put from here on, out of the way of code that closes "all" low ones.
HIGH = 100

#: prctl's code for "send me this signal when my parent ends".
_PR_SET_PDEATHSIG = 1

#: How readily the system's out-of-memory killer is to take a scorer: -1000 never, 1000 first of all.
_OOM_SCORE = 800
_OOM_FILE = "/proc/self/oom_score_adj"

#: What a disk answers that takes nothing now.
_LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE})

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Logs to whatever sys.stderr is now: a script may have closed the one that it found."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        """Leave it to sys."""


class _Log(io.FileIO):
    """A log that drops what its disk does not take: a script must not fail for what it prints."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _LOST:
                raise
            return memoryview(data).nbytes


def die_with_parent() -> None:
    """Have the system kill this process when the node's ends; where it cannot, the pipe's end tells."""
    if sys.platform == "linux" and ctypes is not None:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_first() -> None:
    """Have the system end this process, and not the node or the server, when memory runs out; best effort, on Linux."""
    with contextlib.suppress(OSError, ValueError), open(_OOM_FILE, "r+") as score:  # noqa: PTH123
        if int(score.read()) < _OOM_SCORE:
            score.seek(0)
            score.write(str(_OOM_SCORE))


def log_to_stderr(level: str) -> None:
    """Give the root logger the deployment's level."""
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter(_LOG_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def move_high(descriptor: int) -> int:
    """Return a copy of the descriptor that no other program inherits, and close the old one."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH)
    os.close(descriptor)
    return copy


def _settle_signals() -> None:
    """Ctrl-C is for the node to judge; the node's USR1 writes all stacks to stderr, even past a held GIL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.unregister(signal.SIGUSR1)
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True, chain=False)


class Surroundings:
    """The standard streams, the working folder and the signals, as they should be."""

    def __init__(self) -> None:
        """Set up what needs no knowledge of the job."""
        faulthandler.enable(file=2)
        _settle_signals()
        self._streams = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, HIGH) for number in range(3)]
        self._poll = select.poll()
        for number in range(3):
            self._poll.register(number, 0)
        self._folder = os.getcwd()
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = _stream(1), _stream(2)

    def enter(self, folder: str) -> None:
        """Make the process's own folder the working folder."""
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
        self._folder = os.getcwd()

    def restore_signals(self) -> None:
        """Take back the signals that are ours."""
        _settle_signals()

    def restore(self) -> None:
        """Mend the working folder and the standard streams; costs a microsecond or two."""
        try:
            moved = os.getcwd() != self._folder
        except OSError:  # it was deleted
            moved = True
        if moved:
            self.enter(self._folder)
        for number, state in self._poll.poll(0):
            if state & select.POLLNVAL:
                os.dup2(self._streams[number], number, inheritable=True)
        if _unusable(sys.stdout):
            sys.stdout = _stream(1)
        if _unusable(sys.stderr):
            sys.stderr = _stream(2)

    def redirect(self, stdout: str, stderr: str) -> None:
        """Send what is printed from now on to other files ("": nowhere), what was printed before to the old ones."""
        self.flush()
        flush_c()
        for number, path in ((1, stdout), (2, stderr)):
            descriptor = _open_log(path)
            os.dup2(descriptor, number, inheritable=True)
            os.dup2(descriptor, self._streams[number], inheritable=False)
            os.close(descriptor)

    def dress(self, frame: dict[str, Any]) -> None:
        """Give a process that was started before its job was known the environment and the logs of that."""
        os.environ.clear()
        os.environ.update(frame["variables"])
        self.redirect(frame["stdout"], frame["stderr"])

    def flush(self) -> None:
        """Send what is in the standard streams' buffers to the log."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()


def flush_c() -> bool:
    """Send what libraries printed past Python and the C library still holds; False: it cannot be told to."""
    if ctypes is None:
        return False
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
        return True
    return False


def _open_log(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.open(path or os.devnull, os.O_WRONLY | os.O_APPEND)
    return os.open(os.devnull, os.O_WRONLY)


def _unusable(stream: Any) -> bool:
    return stream is None or bool(getattr(stream, "closed", False))


def _stream(descriptor: int) -> TextIO:
    """Return a stream that writes lines as they come, and file names that are no UTF-8 without an error."""
    binary = io.BufferedWriter(_Log(descriptor, "w", closefd=False))
    return io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def loaded_versions() -> Any:
    """Return {"pandas": "2.0.3", ...} of the libraries that matter in a report and are loaded."""
    versions = {}
    for name in _REPORTED:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            versions[name] = str(version)
    return versions


_REPORTED: list[str] = [
    "numpy",
    "pandas",
    "pyarrow",
    "sklearn",
    "mlflow",
    "torch",
    "tensorflow",
    "transformers",
    "lightgbm",
    "xgboost",
]

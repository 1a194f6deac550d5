"""One process that belongs to this one: in a session of its own, logged to a file, ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from gristmill.local.ahead import Waiting

#: Bytes of a log's end that are shown when a child ended by itself.
_TAIL_BYTES: Final = 8192

#: Lines of them.
_TAIL_LINES: Final = 30

#: Seconds between two looks at a process that ends, where the system does not tell.
_LOOK_SECONDS: Final = 0.01


class Child:
    """A running child.

    Its standard input is a pipe whose other end only this process holds: its end of file tells the child that its
    owner is gone, however that happened. A session of its own keeps the terminal's Ctrl-C away from it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        piped: bool = False,
        keep: tuple[int, ...] = (),
        ahead: Waiting | None = None,
    ) -> None:
        """Start `command`; stdout and stderr go to `log`, or with `piped` stdout to `self.stdout`.

        Args:
            name: what messages call it.
            command: the program and its arguments.
            environment: its environment, whole.
            log: the file that takes what it prints, at the end of what is there.
            piped: whether this process reads its stdout.
            keep: file descriptors that it inherits.
            ahead: a process of the same program that waits to be told; it becomes the child.

        """
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | Waiting
        with log.open("ab") as stream:
            if ahead is not None:
                ahead.tell(command, environment, log=stream.fileno(), keep=keep)
                self._process = ahead
                return
            self._process = subprocess.Popen(
                list(command),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if piped else stream,
                stderr=stream,
                env=dict(environment),
                start_new_session=True,
                pass_fds=keep,
            )

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe from its stdout; only with `piped`."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """What it ended with (negative: the signal); None while it runs."""
        return self._process.poll()

    def write(self, data: bytes) -> None:
        """Write to its standard input; nothing happens when it is gone, which its exit code tells better."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            view = memoryview(data)
            while view:
                view = view[stdin.write(view) :]

    def release(self) -> None:
        """Close its standard input: it is to leave."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill it and all of its process group at once."""
        if self._process.returncode is None:
            self._kill_group()

    def wait(self, deadline: float) -> None:
        """Wait for its end until `deadline` (by the monotonic clock), without a sign that anyone does."""
        while self._process.poll() is None and (left := deadline - time.monotonic()) > 0:
            _await_end(self.pid, left)

    def reap(self, deadline: float) -> None:
        """Wait for its end until `deadline` (by the monotonic clock), then kill it; its process group ends with it."""
        self.release()
        self.wait(deadline)
        self._kill_group()
        self.wait(float("inf"))
        if self._process.stdout is not None:
            self._process.stdout.close()

    def forget(self) -> None:
        """Close this process's copies of its pipes: in a fork, where they would keep it alive."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def tail(self) -> str:
        """Return the last lines of its log."""
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").rstrip().splitlines()
            return "\n".join(lines[-_TAIL_LINES:])
        return ""

    def _kill_group(self) -> None:
        # macOS answers EPERM for a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _await_end(pid: int, seconds: float) -> None:
    """Return when a child of this process has ended, or some time later; after `seconds` at most."""
    try:
        handle = os.pidfd_open(pid)
    except (OSError, AttributeError):
        time.sleep(min(seconds, _LOOK_SECONDS))
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(None if seconds == float("inf") else seconds * 1000)
    finally:
        os.close(handle)

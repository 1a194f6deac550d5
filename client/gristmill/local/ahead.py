"""Processes that are started before anybody knows what for: they import what they need, and wait to be told.

`gristmill run` starts a job's node and scheduler as the first thing it does, before it has imported what reads
a deployment. What is theirs of the job, its lock, its logs and its names, they are told when that is known. Whoever is
not wanted after all finds the end of its stdin, and leaves.

The end of it that a command has imports next to nothing, so that it comes first; `told` is the other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from io import FileIO

from gristmill.local.programs import NODE, SCHEDULER

#: By what a family calls each: its program, and whether its stdout is read.
_PROGRAMS = {"node": (NODE, False), "scheduler": (SCHEDULER, True)}

#: Bytes of a message's length, which comes before it.
_LENGTH = 4

#: Descriptors that come with a message at most: a log, and what is to stay open.
_MOST_DESCRIPTORS = 8

#: What stands behind a program's name while it waits.
_WAITS = ("--owned", "--told")

_waiting: dict[str, Waiting] = {}


class Waiting:
    """A process that waits, as the one that started it sees it; it has what `Child` uses of `subprocess.Popen`."""

    def __init__(self, program: tuple[str, ...], *, piped: bool) -> None:
        """Start it in a session of its own.

        Args:
            program: what it is to be.
            piped: whether its stdout is a pipe; else it goes where this process's stderr does, until it is told.

        Raises:
            OSError, NotImplementedError: it cannot be started so here.

        """
        self._socket, theirs = socket.socketpair()
        reading, writing = os.pipe() if piped else (None, None)
        actions = [
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
            (os.POSIX_SPAWN_DUP2, 2 if writing is None else writing, 1),
        ]
        self._program = program
        try:
            # Its environment is this process's own: nothing is read of it here.
            self.pid = os.posix_spawn(program[0], [*program, *_WAITS], os.environ, file_actions=actions, setsid=True)
        except BaseException:
            self._socket.close()
            if reading is not None:
                os.close(reading)
            raise
        finally:
            theirs.close()
            if writing is not None:
                os.close(writing)
        self.returncode: int | None = None
        self.stdin = FileIO(os.dup(self._socket.fileno()), "w")
        #: With `piped`: what it prints.
        self.stdout = None if reading is None else FileIO(reading, "r")

    def tell(self, command: Sequence[str], environment: Mapping[str, str], *, log: int, keep: Sequence[int]) -> None:
        """Tell it what it is to do; nothing happens when it is gone.

        Args:
            command: its command line as it would be without having waited.
            environment: what its environment is to be, whole.
            log: descriptor of where its stderr goes, and its stdout, unless that is piped.
            keep: descriptors that it holds as long as it lives.

        """
        arguments = command[len(self._program) :]
        logged = [2] if self.stdout is not None else [1, 2]
        document = {"arguments": arguments, "environment": dict(environment), "logged": logged}
        message = json.dumps(document).encode()
        with contextlib.suppress(OSError):
            socket.send_fds(self._socket, [len(message).to_bytes(_LENGTH, "big")], [log, *keep])
            self._socket.sendall(message)
        self._socket.close()

    def poll(self) -> int | None:
        """Return what it ended with (negative: the signal; 0 where nobody knows any more); None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Where SIGCHLD is ignored, as it may be inherited, the system keeps no exit codes.
                pid, status = self.pid, 0
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def terminate(self) -> None:
        """Send it SIGTERM."""
        if self.poll() is None:
            os.kill(self.pid, 15)

    def dismiss(self) -> None:
        """Let it go: nobody wants it. It ends by itself, sooner or later than this process."""
        self._socket.close()
        for stream in (self.stdin, self.stdout):
            if stream is not None:
                stream.close()


def begin() -> None:
    """Start what a job of this machine needs; where that cannot be done so, each is started in its time."""
    for name, (program, piped) in _PROGRAMS.items():
        with contextlib.suppress(OSError, NotImplementedError, AttributeError):
            _waiting[name] = Waiting(program, piped=piped)


def take(name: str) -> Waiting | None:
    """Return the process that waits for this; None where there is none, or it has ended."""
    waiting = _waiting.pop(name, None)
    if waiting is not None and waiting.poll() is not None:
        waiting.dismiss()
        return None
    return waiting


def dismiss() -> None:
    """Let go of all who wait still."""
    while _waiting:
        _waiting.popitem()[1].dismiss()


def told() -> list[str]:
    """In a process that waits: wait, become what it is told to be, and return the arguments of its command line.

    Raises:
        SystemExit: nobody wants it.

    """
    message, (log, *kept) = _receive()
    document = json.loads(message)
    for descriptor in document["logged"]:
        os.dup2(log, descriptor)
    os.close(log)
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    os.environ.clear()
    os.environ.update(document["environment"])
    arguments = [str(argument) for argument in document["arguments"]]
    # A node that begins anew does so with what it was told.
    sys.orig_argv[-len(_WAITS) :] = arguments
    return arguments


def _receive() -> tuple[bytes, list[int]]:
    """Return the message and the descriptors that come with it.

    Raises:
        SystemExit: none comes.

    """
    with socket.socket(fileno=os.dup(0)) as owner:
        length, descriptors, *_ = socket.recv_fds(owner, _LENGTH, _MOST_DESCRIPTORS)
        # What follows the message is for whoever reads stdin then.
        wanted, message = int.from_bytes(length, "big"), b""
        while len(message) < wanted and (more := owner.recv(wanted - len(message))):
            message += more
    if not descriptors or len(message) < wanted:
        sys.exit(0)
    return message, descriptors

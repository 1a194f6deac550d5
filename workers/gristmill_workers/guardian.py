"""Ends what scorers leave behind: a small process beside the node that outlives it, and the sweep that both use.

A scorer may fork: data loaders, subprocesses, daemons with a session of their own. When its node is killed, the system
kills the scorer, and nobody the scorer's children. So each node has a guardian: it waits for the end of a pipe that
only the node holds, then kills every process whose environment bears the node's mark, or that is in a session or a
process group that a scorer began, until none is left.

    python -I -S guardian.py WORD     lines on stdin: `*` a scorer is about to be started, `+PID` it was,
                                      `-PID` it was ended with all it had

This file runs by itself, so it imports the standard library only, and as little of it as it can.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

#: The variable that marks a scorer and all that it starts: `<the node's own word>.<the scorer's number>`.
VARIABLE = "GRISTMILL_SCORER_OF"

#: Seconds between two sweeps while there is something to kill.
PAUSE_SECONDS = 0.01

#: Seconds after which a look finds what was being started during the one before.
SECOND_LOOK_SECONDS = 0.3

#: Seconds after which processes that cannot be killed are left alone.
PATIENCE_SECONDS = 60.0

#: Where the system shows its processes.
_PROCESSES = "/proc"


def sweep(mark: str, sessions: frozenset[int] = frozenset()) -> int:
    """Kill every process that bears the mark or is in one of the sessions; return how many were alive.

    Args:
        mark: how the value of `VARIABLE` begins; closed by a NUL: what it is.
        sessions: ids of sessions and process groups, which are the ids of the processes that began them.

    """
    if not os.path.isdir(_PROCESSES + "/self"):  # noqa: PTH112 - pathlib takes longer to import than all of this
        return sum(map(_kill_group, sessions))
    sign = f"{VARIABLE}={mark}".encode()
    return sum(_judge(int(name), sign, sessions) for name in os.listdir(_PROCESSES) if name.isdigit())  # noqa: PTH208


def company(scorers: dict[int, str]) -> list[int]:
    """Return the processes that scorers, by their ids, with their marks, have begun and that still run."""
    sessions = frozenset(scorers)
    signs = [f"\0{VARIABLE}={mark}\0".encode() for mark in scorers.values()]
    found = []
    for pid in (int(name) for name in os.listdir(_PROCESSES) if name.isdigit()):  # noqa: PTH208
        if pid in scorers:
            continue
        variables = b"\0" + _read(pid, "environ")
        if _in_sessions(pid, sessions) or any(sign in variables for sign in signs):
            found.append(pid)
    return found


def sweep_clean(mark: str, sessions: frozenset[int] = frozenset(), *, patience: float = PATIENCE_SECONDS) -> int:
    """Sweep until nothing is left, for `patience` seconds at most; return how many were killed at first."""
    first = left = sweep(mark, sessions)
    deadline = time.monotonic() + patience
    pause = PAUSE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(1.0, pause * 1.5)
        left = sweep(mark, sessions)
    return first


def _judge(pid: int, sign: bytes, sessions: frozenset[int]) -> bool:
    """Kill a process if it is a scorer's; return whether it was alive and is one."""
    if pid == os.getpid():
        return False
    handle = _hold(pid)
    try:
        if not (_in_sessions(pid, sessions) or _bears(pid, sign)):
            return False
        with suppress(ProcessLookupError, PermissionError):
            if handle is None:
                os.kill(pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        return True
    finally:
        if handle is not None:
            os.close(handle)


def _hold(pid: int) -> int | None:
    """Return a descriptor of the process, so that no other of the same number is killed; None where there is none."""
    with suppress(OSError, AttributeError):
        return os.pidfd_open(pid)
    return None


def _in_sessions(pid: int, sessions: frozenset[int]) -> bool:
    """Return whether a process lives in one of the sessions or process groups."""
    if not sessions:
        return False
    state, _parent, group, session, *_ = _read(pid, "stat").rpartition(b")")[2].split() or [b"Z", b"", b"0", b"0"]
    return state not in (b"Z", b"X") and (int(group) in sessions or int(session) in sessions)


def _bears(pid: int, sign: bytes) -> bool:
    """Return whether a process was started with the mark; one that has ended has no environment any more."""
    return b"\0" + sign in b"\0" + _read(pid, "environ")


def _read(pid: int, name: str) -> bytes:
    with suppress(OSError), open(f"{_PROCESSES}/{pid}/{name}", "rb") as stream:  # noqa: PTH123 - as above
        return stream.read()
    return b""


def _kill_group(group: int) -> bool:
    """Kill a process group; return whether there was one."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        return False
    return True


def _listen() -> tuple[frozenset[int], int]:
    """Read until the node has gone; return the scorers that it had not ended, and how many it was about to start."""
    scorers: set[int] = set()
    coming = 0
    pending = b""
    while data := os.read(0, 65536):
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            coming += {b"*": 1, b"+": -1}.get(line[:1], 0)
            if line != b"*":
                (scorers.add if line.startswith(b"+") else scorers.discard)(int(line[1:]))
    return frozenset(scorers), coming


def main() -> None:
    """Wait for the node's end, then end what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    mark = sys.argv[1] + "."
    scorers, coming = _listen()
    sweep_clean(mark, scorers)
    if scorers or coming:
        time.sleep(SECOND_LOOK_SECONDS)
        sweep_clean(mark, scorers)


if __name__ == "__main__":
    main()

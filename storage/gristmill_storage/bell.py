"""Wakes Celery's event loop from another thread.

The loop looks for room for one more message only when something wakes it: a socket, or a timer, of which there is one a
second. That a task has ended is neither, so a node that was full took its next message up to a second late. From kombu
5.7 on, whatever is handed to the loop wakes it; 5.6 does not. A socket of ours wakes the loop of both.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Final, Protocol


class Loop(Protocol):
    """What the bell needs of an event loop."""

    def add_reader(self, fds: socket.socket, callback: Callable[[], None]) -> None:
        """Have a callback called in the loop's thread whenever there is something to read."""


class Bell:
    """A socket that a loop listens to, and its other end."""

    def __init__(self) -> None:
        """Make nothing yet: a process that only sends has no loop."""
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._making = threading.Lock()

    def hang(self, loop: Loop) -> None:
        """Have a loop listen; again after each `reset` of the loop, which forgets what it listened to."""
        with self._making:
            if self._ends is None:
                self._ends = socket.socketpair()
                for end in self._ends:
                    end.setblocking(False)
        loop.add_reader(self._ends[0], self._hush)

    def ring(self) -> None:
        """Wake the loop, or the next one that listens. For any thread, and for signal handlers."""
        ends = self._ends
        if ends is not None:
            with contextlib.suppress(OSError):  # it was rung often enough, or was just closed
                ends[1].send(b"\0")

    def close(self) -> None:
        """Take the sockets down, when no loop listens any more."""
        with self._making:
            for end in self._ends or ():
                end.close()
            self._ends = None

    def _hush(self) -> None:
        ends = self._ends
        if ends is not None:
            with contextlib.suppress(BlockingIOError):
                ends[0].recv(4096)


#: The bell of this process's node.
BELL: Final = Bell()

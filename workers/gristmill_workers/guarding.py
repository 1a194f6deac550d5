"""The node's side of its guardian: marks scorers, tells the guardian of them, ends what they leave behind."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from typing import Final

from gristmill_workers import guardian

#: Seconds that the end of one scorer waits for what it left; the guardian waits longer.
PATIENCE_SECONDS: Final = 2.0


class Guard:
    """Watches over all scorers of this process; started with the first one. Safe from any thread."""

    def __init__(self) -> None:
        """Choose the word that marks this process's scorers."""
        self._word = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._scorers: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def mark(self) -> dict[str, str]:
        """Return what is to stand in the next scorer's environment; starts the guardian if there is none."""
        with self._lock:
            self._keep_alive()
            self._tell("*\n")
        return {guardian.VARIABLE: f"{self._word}.{next(self._numbers)}"}

    def began(self, pid: int) -> None:
        """Note a scorer, which leads a session of its own."""
        with self._lock:
            self._scorers.add(pid)
            self._tell(f"+{pid}\n")

    def ended(self, pid: int, variables: Mapping[str, str]) -> None:
        """Kill what a scorer left behind that has ended just now, and forget it.

        Args:
            pid: the scorer's process id, which is its session's.
            variables: what `mark` returned for it.

        """
        guardian.sweep_clean(variables[guardian.VARIABLE] + "\0", frozenset({pid}), patience=PATIENCE_SECONDS)
        with self._lock:
            self._scorers.discard(pid)
            self._tell(f"-{pid}\n")

    def check(self) -> None:
        """Start the guardian again if it was killed."""
        with self._lock:
            if self._process is not None:
                self._keep_alive()

    def close(self) -> None:
        """Let the guardian do its work and end."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None:
                self._let_go(process)

    def _keep_alive(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            self._let_go(self._process)
        # A session of its own: what ends the node's process group leaves it to its work.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, self._word],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        self._tell("".join(f"*\n+{pid}\n" for pid in self._scorers))

    def _tell(self, lines: str) -> None:
        """Write to the guardian; one that was killed is told again when it has a successor."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(lines.encode())

    def _let_go(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()

    def forget(self) -> None:
        """In a fork of this process: let go of the guardian, whose node is another."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.returncode = 0  # no child of this process's


#: Of this process.
GUARD: Final = Guard()

atexit.register(GUARD.close)
os.register_at_fork(after_in_child=GUARD.forget)

"""The processes of a cluster on this machine: a server on a socket of its own, a scheduler, and what else there is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final, Self

from benchmarks import running
from benchmarks.running import Failed

from gristmill_storage import server

#: Seconds that a process is given to end when it was asked to.
_LEAVE_SECONDS: Final = 10.0


class Processes(AbstractContextManager["Processes"]):
    """Starts them, each with a log of its own in a folder, and ends them all."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of what they write; the server is started when this is entered."""
        socket = folder / "private" / "s"
        self.url = server.url_of(socket)
        self.by_name: dict[str, subprocess.Popen[str]] = {}
        self._folder = folder
        self._stack = ExitStack()
        self._server = server.command(folder=folder / "server", socket=socket)
        own = {"GRISTMILL_REDIS_URL": self.url, "GRISTMILL_CACHE": str(folder / "cache")}
        self._environment = {**running.environment(), **own, "GRISTMILL_LOG_LEVEL": "warning"}

    def __enter__(self) -> Self:
        """Start the server, and wait until it answers."""
        self.start("server", self._server)
        server.wait_until_ready(self.url, 30)
        return self

    def __exit__(self, *_error: object) -> None:
        """End what was started last first."""
        self._stack.close()

    def start(
        self, name: str, command: Sequence[str], within: AbstractContextManager[list[str]] | None = None, **more: str
    ) -> subprocess.Popen[str]:
        """Start a process; `within` is entered before and left behind its end, and yields what stands before it."""
        before = self._stack.enter_context(within) if within is not None else []
        log = self._stack.enter_context((self._folder / f"{name}.log").open("w"))
        process = subprocess.Popen(
            [*before, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**self._environment, **more},
        )
        self.by_name[name] = process
        self._stack.callback(_end, process)
        return process

    def scheduler(self) -> subprocess.Popen[str]:
        """Start a scheduler."""
        scheduler = self.start("scheduler", [sys.executable, "-m", "gristmill_scheduler"])
        read(scheduler)
        return scheduler


def tell(process: subprocess.Popen[str], document: Mapping[str, Any]) -> None:
    """Write a line to a process."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(document) + "\n")
    process.stdin.flush()


def read(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process.

    Raises:
        Failed: it has ended.

    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Failed(f"{process.args!r} ended with {process.wait()}")
    return line


def _end(process: subprocess.Popen[str]) -> None:
    """End a process in order, so that nothing of what it started is left; else by force."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.terminate()
    try:
        process.wait(_LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()

"""Schedulers and nodes as processes of their own, on a server that they share: what a cluster does, on one machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gristmill.spec import Job, to_json


def wait_until(holds: Callable[[], object], seconds: float = 60, pause: float = 0.02) -> None:
    """Wait for a condition, which holds when it is true."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)


def tell(process: subprocess.Popen[str], **command: Any) -> None:
    """Give a scheduler a command."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()


class Cluster:
    """One server, and processes that come and go; those that are left are killed when the stack is closed."""

    #: What a node is started with.
    NODE = (sys.executable, "-m", "gristmill_workers")

    def __init__(self, url: str, folder: Path, stack: ExitStack, *, lease_seconds: int, **environment: str) -> None:
        self.folder = folder
        self._stack = stack
        self._environment = {
            **os.environ,
            "GRISTMILL_REDIS_URL": url,
            "GRISTMILL_LEASE_SECONDS": str(lease_seconds),
            **environment,
        }
        #: The scheduler's; those that were waited for.
        self.events: list[dict[str, Any]] = []
        self._scheduler: subprocess.Popen[str] | None = None

    def start(
        self,
        name: str,
        *command: str,
        stdin: int = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a process whose log goes to `<name>.log`."""
        log = self._stack.enter_context((self.folder / f"{name}.log").open("a"))
        own = {**self._environment, **(environment or {})}
        process = subprocess.Popen(command, env=own, stdin=stdin, stdout=stdout, stderr=log, text=True)
        self._stack.callback(self._end, process)
        return process

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.kill()
        process.communicate()

    def node(self, name: str = "one", slots: int = 1, **environment: str) -> subprocess.Popen[str]:
        """Start a node of the compute `shared`."""
        command = [*self.NODE, "--compute", "shared", "--slots", str(slots)]
        return self.start(name, *command, environment={"GRISTMILL_NODE_NAME": name, **environment})

    @property
    def scheduler(self) -> subprocess.Popen[str]:
        """The scheduler; there is one from when it is first asked for."""
        if self._scheduler is None:
            self._scheduler = self.start("scheduler", sys.executable, "-m", "gristmill_scheduler")
        return self._scheduler

    def submit(self, job: Job) -> None:
        """Give the scheduler a job."""
        tell(self.scheduler, command="submit", job=to_json(job))

    def until(self, holds: Callable[[dict[str, Any]], object], seconds: float = 60) -> dict[str, Any]:
        """Read the scheduler's events until one holds."""
        deadline = time.monotonic() + seconds
        assert self.scheduler.stdout is not None
        for line in self.scheduler.stdout:
            assert time.monotonic() < deadline, "waited in vain"
            self.events.append(json.loads(line))
            if holds(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"the scheduler ended: {self.events[-3:]}")

    def finished(self) -> dict[str, Any]:
        """Read the scheduler's events until a job is finished."""
        return self.until(lambda event: event["event"] == "finished")

    def said(self, name: str) -> str:
        """Return what a process wrote into its log."""
        return (self.folder / f"{name}.log").read_text()

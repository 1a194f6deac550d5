"""Starts server, scheduler and node side by side, hears the scheduler, and ends all of them.

The parent of each is the thread that calls `start`: it must live as long as they do, because Linux tells a child of its
parent's death (PR_SET_PDEATHSIG) when that *thread* ends.
"""

from __future__ import annotations

import json
import selectors
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from gristmill.errors import GristmillError, LedgerFailed
from gristmill.local.child import Child
from gristmill.local.folders import Folders

#: Seconds between two looks at whether a child ended by itself.
_LOOK_SECONDS: Final = 0.2

#: Seconds that the server has to write its file's last bytes.
_SERVER_SECONDS: Final = 3.0

#: -P: the folder that the user happens to stand in is no place to import from.
_PYTHON: Final = (sys.executable, "-P", "-m")


SERVER: Final = (*_PYTHON, "gristmill_storage.server")
SCHEDULER: Final = (*_PYTHON, "gristmill_scheduler")
NODE: Final = (*_PYTHON, "gristmill_workers")


class Supervisor:
    """The children of one job."""

    def __init__(self, folders: Folders, *, redis_url: str, environment: Mapping[str, str]) -> None:
        """Take what the children need; nothing is started yet.

        Args:
            folders: where the socket, the logs and the server's file go.
            redis_url: a server to use; "": start the embedded one.
            environment: what the children's environment is made from.

        """
        self._folders = folders
        self._embedded = not redis_url
        url = redis_url or f"unix://{quote(str(folders.runtime.socket))}?db=0"
        # What a killed node leaves lies in the run's own folder, and goes with it.
        scratch = str(folders.runtime.folder)
        self._environment = {**environment, "GRISTMILL_REDIS_URL": url, "GRISTMILL_SCRATCH": scratch}
        self._server: Child | None = None
        self._scheduler: Child | None = None
        self._node: Child | None = None
        self._released = False

    def start(self, *, compute: str, slots: int) -> None:
        """Start all of them; the slowest to be ready goes first.

        Raises:
            GristmillError: a program cannot be started at all.

        """
        try:
            self._node = self._child("node", (*NODE, *_node_arguments(compute, slots)), keep=self._folders.locks)
            self._scheduler = self._child("scheduler", SCHEDULER, piped=True)
            if self._embedded:
                self._start_server()
        except OSError as error:
            raise GristmillError(f"a process of Gristmill cannot be started: {error}") from error

    def send(self, command: Mapping[str, Any]) -> None:
        """Send the scheduler a command."""
        assert self._scheduler is not None
        self._scheduler.write(json.dumps(command).encode() + b"\n")

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield what the scheduler says, until it is silent for good after `release`.

        Raises:
            GristmillError: a child ended by itself; `detail` is the end of its log.

        """
        assert self._scheduler is not None
        stdout, pending = self._scheduler.stdout, b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while True:
                if selector.select(_LOOK_SECONDS):
                    data = stdout.read(65536)
                    *lines, pending = (pending + (data or b"")).split(b"\n")
                    yield from (json.loads(line) for line in lines if line.strip())
                    if not data:
                        self._check_scheduler()
                        return
                self._check_others()

    def release(self) -> None:
        """Let the scheduler and the node know that their owner is gone."""
        self._released = True
        for child in self._workers():
            child.release()

    def kill(self) -> None:
        """Kill every child and what it started, at once. Safe from any thread."""
        self._released = True
        for child in self._children():
            child.kill()

    def end(self, *, grace: float, keep_state: bool) -> None:
        """End all children, and return when they are gone.

        Args:
            grace: seconds that scheduler and node have to leave by themselves.
            keep_state: whether the server's file is still wanted: then it ends in order, too.

        """
        self.release()
        deadline = time.monotonic() + grace
        for child in self._workers():
            child.reap(deadline)
        if self._server is not None:
            if keep_state:
                self._server.terminate()
            self._server.reap(time.monotonic() + (_SERVER_SECONDS if keep_state else 0.0))

    def forget(self) -> None:
        """In a fork of this process: let go of the children's pipes."""
        for child in self._children():
            child.forget()

    def _start_server(self) -> None:
        arguments = ("--folder", str(self._folders.state), "--socket", str(self._folders.runtime.socket))
        self._server = self._child("server", (*SERVER, *arguments), keep=self._folders.locks)

    def _child(self, name: str, command: tuple[str, ...], **options: Any) -> Child:
        return Child(name, command, environment=self._environment, log=self._folders.logs / f"{name}.log", **options)

    def _workers(self) -> list[Child]:
        return [child for child in (self._scheduler, self._node) if child is not None]

    def _children(self) -> list[Child]:
        return [*self._workers(), *([self._server] if self._server else [])]

    def _check_others(self) -> None:
        for child in self._children():
            if child is not self._scheduler and child.exit_code is not None and not self._released:
                raise _ended(child)

    def _check_scheduler(self) -> None:
        self._check_others()
        if not self._released:
            assert self._scheduler is not None
            self._scheduler.reap(time.monotonic() + 1.0)
            raise _ended(self._scheduler)


def _node_arguments(compute: str, slots: int) -> tuple[str, ...]:
    return ("--compute", compute, "--slots", str(slots), "--owned")


def _ended(child: Child) -> GristmillError:
    tail = child.tail()
    last = tail.splitlines()[-1].strip() if tail else "its log is empty"
    kind = LedgerFailed if child.name == "server" else GristmillError
    return kind(f"the {child.name} ended by itself (exit code {child.exit_code}): {last}", detail=tail)

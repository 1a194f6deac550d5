"""Starts server, scheduler and node side by side, hears the scheduler, replaces what dies, and ends all of them.

The parent of each is the thread that calls `start`: it must live as long as they do, because Linux tells a child of its
parent's death (PR_SET_PDEATHSIG) when that *thread* ends.
"""

from __future__ import annotations

import json
import os
import selectors
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from gristmill.errors import GristmillError, LedgerFailed
from gristmill.local.child import Child
from gristmill.local.folders import Folders
from gristmill.local.orders import Orders
from gristmill.local.restarts import Restarts, end_in_words

#: Seconds between two looks at whether a child ended by itself.
_LOOK_SECONDS: Final = 0.2

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
        self._restarts = Restarts()
        # What one thread kills and tells, another may be replacing.
        self._changing = threading.RLock()
        self._released = False

    def start(self, *, compute: str, slots: int) -> None:
        """Start all of them; the slowest to be ready goes first.

        Raises:
            GristmillError: a program cannot be started at all.

        """
        self._node_arguments = ("--compute", compute, "--slots", str(slots), "--owned")
        self._orders = Orders(compute)
        for name in ("node", "scheduler", *(["server"] if self._embedded else [])):
            self._begin(name)

    def send(self, command: Mapping[str, Any]) -> None:
        """Send the scheduler a command, and each that may come after it."""
        with self._changing:
            self._orders.told(command)
            self._tell(command)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield what the scheduler says, and what was replaced, until there is silence for good after `release`.

        Raises:
            GristmillError: a child ended by itself, for good; `detail` is the end of its log.

        """
        while True:
            yield from self._hear()
            if self._released:
                return
            assert self._scheduler is not None
            yield from self._replace(self._scheduler)

    def _hear(self) -> Iterator[dict[str, Any]]:
        """Yield what one scheduler says until it ends; others that end meanwhile are replaced."""
        assert self._scheduler is not None
        stdout, pending = self._scheduler.stdout, b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while True:
                if selector.select(_LOOK_SECONDS):
                    data = stdout.read(65536)
                    *lines, pending = (pending + (data or b"")).split(b"\n")
                    for event in (json.loads(line) for line in lines if line.strip()):
                        self._orders.heard(event)
                        yield event
                    if not data:
                        return
                for child in self._ended():
                    yield from self._replace(child)

    def release(self) -> None:
        """Let the scheduler and the node know that their owner is gone."""
        self._released = True
        with self._changing:
            for child in self._workers():
                child.release()

    def kill(self) -> None:
        """Kill every child and what it started, at once. Safe from any thread."""
        self._released = True
        with self._changing:
            for child in self._children():
                child.kill()

    def end(self, *, grace: float) -> None:
        """End all children, and return when they are gone.

        Args:
            grace: seconds that scheduler and node have to leave by themselves; nobody wants the server's file any more.

        """
        self.release()
        deadline = time.monotonic() + grace
        for child in self._workers():
            child.reap(deadline)
        if self._server is not None:
            self._server.reap(time.monotonic())

    def forget(self) -> None:
        """In a fork of this process: let go of the children's pipes."""
        for child in self._children():
            child.forget()

    def _ended(self) -> list[Child]:
        """Return which of the children that nobody listens to ended by themselves."""
        silent = [child for child in (self._server, self._node) if child is not None]
        return [child for child in silent if child.exit_code is not None and not self._released]

    def _begin(self, name: str) -> None:
        """Start a child by its name."""
        self._restarts.began(name)
        locks = self._folders.locks
        try:
            match name:
                case "node":
                    self._node = self._child(name, (*NODE, *self._node_arguments), keep=locks)
                case "scheduler":
                    self._scheduler = self._child(name, (*SCHEDULER, "--owned"), piped=True)
                case _:
                    self._server = self._child(name, (*SERVER, *self._server_arguments()), keep=locks)
        except OSError as error:
            raise GristmillError(f"a process of Gristmill cannot be started: {error}") from error

    def _server_arguments(self) -> tuple[str, ...]:
        """Return its folder, its socket and its parent: it is not to take for its parent who inherits an orphan."""
        folder, socket = str(self._folders.state), str(self._folders.runtime.socket)
        return ("--folder", folder, "--socket", socket, "--parent", str(os.getpid()))

    def _replace(self, child: Child) -> Iterator[dict[str, Any]]:
        """Start a child that ended by itself again, unless there is no hope; yield what there is to tell of it.

        Raises:
            GristmillError: there is none.

        """
        # Its output has ended, its process may take a moment more.
        child.reap(time.monotonic() + 1.0)
        with self._changing:
            if self._released:
                return
            if not self._is_worth_it(child):
                raise _for_good(child)
            self._begin(child.name)
            if child.name == "scheduler":
                for command in self._orders.again():
                    self._tell(command)
        message = f"the {child.name} ended ({end_in_words(child.exit_code)}) and was started again"
        yield {"event": "restarted", "child": child.name, "message": message}

    def _is_worth_it(self, child: Child) -> bool:
        if child.name == "server" and self._restarts.hopeless(child.name, child.exit_code):
            # Most often it could not read its own file. The ledger is made again from storage.
            return self._folders.set_state_aside() and self._restarts.counted(child.name)
        return self._restarts.allowed(child.name, child.exit_code)

    def _tell(self, command: Mapping[str, Any]) -> None:
        assert self._scheduler is not None
        self._scheduler.write(json.dumps(command).encode() + b"\n")

    def _child(self, name: str, command: tuple[str, ...], **options: Any) -> Child:
        return Child(name, command, environment=self._environment, log=self._folders.logs / f"{name}.log", **options)

    def _workers(self) -> list[Child]:
        return [child for child in (self._scheduler, self._node) if child is not None]

    def _children(self) -> list[Child]:
        return [*self._workers(), *([self._server] if self._server else [])]


def _for_good(child: Child) -> GristmillError:
    tail = child.tail()
    last = tail.splitlines()[-1].strip() if tail else "its log is empty"
    kind = LedgerFailed if child.name == "server" else GristmillError
    return kind(f"the {child.name} ended by itself (exit code {child.exit_code}): {last}", detail=tail)

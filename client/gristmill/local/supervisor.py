"""Starts a job's server, scheduler and node side by side, hears the scheduler, replaces what dies, ends all of them.

The parent of each is the thread that calls `start`: it must live as long as they do (see `family`).
"""

from __future__ import annotations

import json
import selectors
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gristmill.local.child import Child
from gristmill.local.family import Family, for_good
from gristmill.local.folders import Folders
from gristmill.local.orders import Orders
from gristmill.local.programs import NODE, SCHEDULER
from gristmill.local.restarts import end_in_words

#: Seconds between two looks at whether a child ended by itself.
_LOOK_SECONDS: Final = 0.2


class Supervisor:
    """The children of one job."""

    def __init__(self, folders: Folders, *, redis_url: str, environment: Mapping[str, str]) -> None:
        """Take what the children need; nothing is started yet.

        Args:
            folders: where the socket, the logs and the server's file go.
            redis_url: a server to use; "": start the embedded one.
            environment: what the children's environment is made from.

        """
        self._family = Family(folders, redis_url=redis_url, environment=environment, server=folders.server)
        # What one thread kills and tells, another may be replacing.
        self._changing = threading.RLock()
        self._released = False

    def start(self, *, compute: str, slots: int, blanks: int = 0) -> None:
        """Start all of them, or tell those that wait already what they are to do.

        Raises:
            GristmillError: a program cannot be started at all.

        """
        more = ("--blanks", str(blanks)) if blanks else ()
        self._node_arguments = ("--compute", compute, "--slots", str(slots), "--owned", *more)
        self._orders = Orders(compute)
        for name in (*(["server"] if self._family.embedded else []), "node", "scheduler"):
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
            yield from self._replace(self._scheduler)

    def _hear(self) -> Iterator[dict[str, Any]]:
        """Yield what one scheduler says until it ends; others that end meanwhile are replaced."""
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
            for child in self._family.but("server"):
                child.release()

    def kill(self) -> None:
        """Kill every child and what it started, at once. Safe from any thread."""
        self._released = True
        with self._changing:
            self._family.kill()

    def end(self, *, grace: float) -> None:
        """End all children, and return when they are gone.

        Args:
            grace: seconds that scheduler and node have to leave by themselves; nobody wants the server's file any more.

        """
        self.release()
        deadline = time.monotonic() + grace
        for child in self._family.but("server"):
            child.reap(deadline)
        server = self._family.get("server")
        if server is not None:
            server.reap(time.monotonic())

    def forget(self) -> None:
        """In a fork of this process: let go of the children's pipes."""
        self._family.forget()

    @property
    def _scheduler(self) -> Child:
        scheduler = self._family.get("scheduler")
        assert scheduler is not None
        return scheduler

    def _ended(self) -> list[Child]:
        """Return which of the children that nobody listens to ended by themselves."""
        silent = self._family.but("scheduler")
        return [child for child in silent if child.exit_code is not None and not self._released]

    def _begin(self, name: str) -> None:
        """Start a child by its name."""
        match name:
            case "node":
                self._family.begin(name, (*NODE, *self._node_arguments))
            case "scheduler":
                own = ("--embedded",) if self._family.embedded else ()
                self._family.begin(name, (*SCHEDULER, "--owned", *own), piped=True, locked=False)
            case _:
                self._family.begin_server()

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
            if not self._family.is_worth_it(child):
                raise for_good(child)
            self._begin(child.name)
            if child.name == "scheduler":
                for command in self._orders.again():
                    self._tell(command)
        message = f"the {child.name} ended ({end_in_words(child.exit_code)}) and was started again"
        yield {"event": "restarted", "child": child.name, "message": message}

    def _tell(self, command: Mapping[str, Any]) -> None:
        self._scheduler.write(json.dumps(command).encode() + b"\n")

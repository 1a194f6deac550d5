"""The processes that work together here: started by name, started again when they end, ended together.

The parent of each is the thread that calls `begin`: it must live as long as they do, because Linux tells a child of its
parent's death (PR_SET_PDEATHSIG) when that *thread* ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

from gristmill.errors import GristmillError, LedgerFailed
from gristmill.local import ahead
from gristmill.local.child import Child
from gristmill.local.programs import server_command
from gristmill.local.restarts import Restarts
from gristmill.local.runtime import Runtime
from gristmill.log_lines import words

#: Where a server keeps its append-only file, in the folder of its own.
_MEMORY: Final = "appendonlydir"


class Home(Protocol):
    """Where the children's files are."""

    #: The private folder for the socket and for what lives as long as a child.
    runtime: Runtime

    @property
    def logs(self) -> Path:
        """The folder of the children's logs."""

    @property
    def state(self) -> Path:
        """Where the embedded server keeps its append-only file."""

    @property
    def locks(self) -> tuple[int, ...]:
        """Descriptors of what is locked for as long as anyone works here."""


class Family:
    """The embedded server, if there is to be one, and others."""

    def __init__(
        self, home: Home, *, redis_url: str, environment: Mapping[str, str], server: Child | None = None
    ) -> None:
        """Take what the children need; nothing is started yet.

        Args:
            home: where the socket, the logs and the server's file go.
            redis_url: a server to use; "": there is to be an embedded one, called "server".
            environment: what the children's environment is made from.
            server: an embedded server in the home's places that was started already.

        """
        self._server = server
        self.embedded: Final = not redis_url
        url = redis_url or f"unix://{quote(str(home.runtime.socket))}?db=0"
        # What a killed node leaves lies in the run's own folder, and goes with it.
        scratch = str(home.runtime.folder)
        self._environment = {**environment, "GRISTMILL_REDIS_URL": url, "GRISTMILL_SCRATCH": scratch}
        self._home = home
        self._children: dict[str, Child] = {}
        self.restarts: Final = Restarts()

    def begin(self, name: str, command: Sequence[str], *, piped: bool = False, locked: bool = True) -> Child:
        """Start a child, in the place of one of that name that has ended; of what waits to be told, it becomes one.

        Args:
            name: what messages and its log are called by.
            command: the program and its arguments.
            piped: whether this process reads its stdout.
            locked: whether the home stays locked for as long as it is there.

        Raises:
            GristmillError: the program cannot be started at all.

        """
        self.restarts.began(name)
        locks = self._home.locks if locked else ()
        log = self._home.logs / f"{name}.log"
        try:
            child = Child(
                name, command, environment=self._environment, log=log, piped=piped, keep=locks, ahead=ahead.take(name)
            )
        except OSError as error:
            raise GristmillError(f"a process of Gristmill cannot be started: {error}") from error
        self._children[name] = child
        return child

    def begin_server(self) -> Child:
        """Start the embedded server; one that was started already is taken first."""
        server, self._server = self._server, None
        if server is None:
            return self.begin("server", server_command(folder=self._home.state, socket=self._home.runtime.socket))
        self.restarts.began(server.name)
        self._children[server.name] = server
        return server

    def get(self, name: str) -> Child | None:
        """Return the child of that name, which may have ended; None before it was started."""
        return self._children.get(name)

    def drop(self, child: Child) -> None:
        """Know nothing more of a child that has ended and is not to be started again."""
        child.reap(time.monotonic())
        del self._children[child.name]

    def but(self, name: str) -> list[Child]:
        """Return all children but one, in the order of their first start."""
        return [child for child in self._children.values() if child.name != name]

    def is_worth_it(self, child: Child) -> bool:
        """Return whether a child that ended may be started again, and count that."""
        if child.name == "server" and self.restarts.hopeless(child.name, child.exit_code):
            # Most often it could not read its own file. The ledger is made again from storage.
            return _set_aside(self._home.state / _MEMORY) and self.restarts.counted(child.name)
        return self.restarts.allowed(child.name, child.exit_code)

    def kill(self) -> None:
        """Kill every child and what it started, at once. Safe from any thread."""
        for child in self._children.values():
            child.kill()

    def forget(self) -> None:
        """In a fork of this process: let go of the children's pipes."""
        for child in self._children.values():
            child.forget()


def for_good(child: Child) -> GristmillError:
    """Return the error of a child that ended by itself and is not started again."""
    tail = child.tail()
    last = words(tail.splitlines()[-1].strip()) if tail else "its log is empty"
    kind = LedgerFailed if child.name == "server" else GristmillError
    return kind(f"the {child.name} ended by itself (exit code {child.exit_code}): {last}", detail=tail)


def _set_aside(memory: Path) -> bool:
    """Move away what the server cannot read; return whether there was something."""
    try:
        memory.rename(memory.with_name(f"{memory.name}.unreadable-{time.time_ns()}"))
    except OSError:
        return False
    return True

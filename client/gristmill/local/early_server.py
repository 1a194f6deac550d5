"""The embedded server of a command that runs one job, started before the job is known: it sleeps most of its start.

It needs nothing of the job but a place for its socket and its file, which are the run's own. Its parent is the thread
that calls `begin`, which must live as long as the command: the main thread.
"""

from __future__ import annotations

import contextlib
import time
from typing import Final

from gristmill.errors import GristmillError
from gristmill.local.child import Child
from gristmill.local.programs import server_command
from gristmill.local.runtime import Runtime
from gristmill.settings import ProcessSettings


class EarlyServer:
    """The server, and the run's own folder."""

    def __init__(self, settings: ProcessSettings) -> None:
        """Make the folder and start the server in it.

        Raises:
            OSError: one of them cannot be had.

        """
        self.runtime: Final = Runtime(settings.scratch)
        command = server_command(folder=self.runtime.state, socket=self.runtime.socket)
        log = self.runtime.folder / "server.log"
        try:
            keep = self.runtime.locks
            self.child: Final = Child("server", command, environment=settings.environment, log=log, keep=keep)
        except OSError:
            self.runtime.close()
            raise

    def stop(self) -> None:
        """End it; the folder stays."""
        self.child.kill()
        self.child.reap(time.monotonic())


_begun: list[EarlyServer] = []


def begin() -> None:
    """Start it, unless there is another to be used; what is wrong is told by whoever needs it then."""
    with contextlib.suppress(GristmillError, OSError):
        settings = ProcessSettings.read()
        if not settings.redis_url:
            _begun.append(EarlyServer(settings))


def take() -> EarlyServer | None:
    """Return the one that was begun and is nobody's yet."""
    return _begun.pop() if _begun else None


def dismiss() -> None:
    """End the one that is still nobody's."""
    if server := take():
        server.stop()
        server.runtime.close()

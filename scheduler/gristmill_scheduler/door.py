"""The scheduler's process: commands in as JSON lines on stdin, events out as JSON lines on stdout.

The end of stdin means that the owner is gone: every job is cancelled and the process ends. `docs/architecture.md`
lists commands and events.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, TextIO

from gristmill.errors import GristmillError, Mistake
from gristmill.settings import ProcessSettings
from gristmill.spec import Job, from_json
from gristmill_scheduler.admission import admit, on_compute, readmit
from gristmill_scheduler.coordinator import Coordinator
from gristmill_storage.files import Store
from gristmill_storage.ledger import Ledger
from gristmill_storage.queue import Queue

#: Seconds that jobs are given to end when the owner is gone.
ORPHAN_SECONDS: Final = 2.0

log = logging.getLogger("gristmill.scheduler")


class Door:
    """Takes commands and leads the jobs that they begin."""

    def __init__(self, settings: ProcessSettings, events: TextIO) -> None:
        """Take the process's settings and where events go."""
        self._settings = settings
        self._events = events
        self._writing = threading.Lock()
        self._ledger = Ledger(settings.redis_url)
        self._queue = Queue(settings.redis_url)
        self._coordinators: dict[str, Coordinator] = {}
        self._threads: list[threading.Thread] = []

    def tell(self, event: str, document: dict[str, Any]) -> None:
        """Write one event."""
        line = json.dumps({"event": event, **document})
        with self._writing:
            try:
                self._events.write(line + "\n")
                self._events.flush()
            except (BrokenPipeError, ValueError):
                log.debug("nobody listens: %s", line)

    def serve(self, commands: TextIO) -> None:
        """Do what the commands say until they end."""
        self.tell("ready", {})
        for line in commands:
            try:
                self._do(json.loads(line))
            except GristmillError as error:
                self.tell("refused", {"error": error.to_json()})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self.tell("refused", {"error": Mistake(f"not a command: {error!r}").to_json()})
        self._end()

    def _end(self) -> None:
        """Cancel what runs; whoever has not ended in time is left to the process's own end."""
        for coordinator in self._coordinators.values():
            coordinator.cancel()
        deadline = time.monotonic() + ORPHAN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _do(self, command: dict[str, Any]) -> None:
        kind = command["command"]
        if kind == "submit":
            job = from_json(Job, command["job"])
            self._begin(job, admit(job, environment=self._settings.environment), resume=False)
        elif kind == "resume":
            job, folder = readmit(command["folder"])
            self._begin(on_compute(job, command.get("compute") or job.deployment.compute), folder, resume=True)
        elif kind == "cancel":
            if command["job"] in self._coordinators:
                self._coordinators[command["job"]].cancel()
        else:
            raise Mistake(f"command: {kind!r} is unknown; one of submit, resume, cancel")

    def _begin(self, job: Job, folder: Store, *, resume: bool) -> None:
        coordinator = Coordinator(
            job,
            folder,
            ledger=self._ledger,
            queue=self._queue,
            lease_seconds=self._settings.lease_seconds,
            tell=self.tell,
        )
        self._coordinators[job.name] = coordinator
        self.tell("submitted", {"job": job.name, "folder": folder.url})
        arguments = {"resume": resume}
        thread = threading.Thread(target=coordinator.run, kwargs=arguments, name=f"job-{job.name}", daemon=True)
        self._threads.append(thread)
        thread.start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scheduler until its commands end."""
    parser = argparse.ArgumentParser(prog="gristmill_scheduler", description="Lead jobs, told by JSON lines on stdin.")
    parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = ProcessSettings.read()
        if not settings.redis_url:
            raise Mistake("GRISTMILL_REDIS_URL is not set; give the address of the Redis server of the cluster")
        Door(settings, sys.stdout).serve(sys.stdin)
    except GristmillError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    return 0

"""The scheduler's process: commands in as JSON lines on stdin, events out as JSON lines on stdout.

The end of stdin means that the owner is gone: every job is cancelled and the process ends. With `--take-over` the jobs
belong to the cluster: then they are left to another scheduler, and this one leads those that nobody leads.
`docs/architecture.md` lists commands and events.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TextIO

from gristmill import log_lines, tracing
from gristmill.errors import GristmillError, JobNotFound, Mistake
from gristmill.local.owner import allow
from gristmill.settings import ProcessSettings
from gristmill.spec import Job, from_json
from gristmill_scheduler.admission import admit, on_compute, read_job, read_led, readmit
from gristmill_scheduler.commands import read_commands
from gristmill_scheduler.coordinator import Begin, Coordinator
from gristmill_scheduler.exclusion import Exclusion
from gristmill_scheduler.leading import Leading
from gristmill_scheduler.retry import begin_retry
from gristmill_scheduler.takeover import TakeOver
from gristmill_storage.files import Store
from gristmill_storage.ledger import Ledger
from gristmill_storage.queues import open_queue

#: Seconds that jobs are given to end when the owner is gone.
ORPHAN_SECONDS: Final = 2.0

#: Seconds that coordinators are given to let go of their jobs.
HAND_OVER_SECONDS: Final = 5.0

log = logging.getLogger("gristmill.scheduler")


class Door:
    """Takes commands and leads the jobs that they begin."""

    def __init__(
        self, settings: ProcessSettings, events: TextIO, *, take_over: bool = False, embedded: bool = False
    ) -> None:
        """Take what it needs.

        Args:
            settings: the process's settings.
            events: where events go.
            take_over: whether jobs that nobody leads are led here.
            embedded: whether the ledger's server is the owner's own, who tells of it himself.

        """
        self._settings = settings
        self._events = events
        self._writing = threading.Lock()
        self._ledger = Ledger(settings.redis_url)
        self._take_over = take_over
        self._exclusion = Exclusion() if take_over else None
        queue = open_queue(settings.redis_url)
        #: The jobs that are led here.
        self.leading = Leading(settings, ledger=self._ledger, queue=queue, tell=self.tell)
        if not embedded:
            self._ledger.tell_waits(self.leading.waiting)

    def tell(self, event: str, document: dict[str, Any]) -> None:
        """Write one event."""
        line = json.dumps({"event": event, **document})
        with self._writing:
            try:
                self._events.write(line + "\n")
                self._events.flush()
            except (BrokenPipeError, ValueError):
                log.debug("nobody listens: %s", line)

    def serve(self, commands: Iterable[bytes]) -> None:
        """Do what the commands say until they end."""
        leading = self.leading
        taker = TakeOver(self._ledger, lead=leading.lead, led=leading.led, begin=leading.take)
        if self._take_over:
            taker.start()
        self.tell("ready", {})
        for line in commands:
            try:
                self._do(json.loads(line))
            except GristmillError as error:
                self.tell("refused", {"error": error.to_json()})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self.tell("refused", {"error": Mistake(f"not a command: {error!r}").to_json()})
        if self._take_over:
            taker.stop()
            leading.end(Coordinator.hand_over, HAND_OVER_SECONDS)
        else:
            leading.end(Coordinator.cancel, ORPHAN_SECONDS)

    def _do(self, command: dict[str, Any]) -> None:
        kind = command["command"]
        if kind in ("submit", "resume", "take", "retry"):
            job, folder = self._admitted(command)
            lead = self.leading.lead(job.name, dead=str(command.get("displace") or ""))
            coordinator = self.leading.coordinator(job, folder, lead)
            if "cancel" in command:
                coordinator.cancel(keep_partial=bool(command["cancel"].get("keep_partial")))
            begin = {"submit": Begin.NEW, "take": Begin.TAKE}.get(kind, Begin.RESUME)
            self.leading.start(coordinator, begin)
        elif kind in ("cancel", "pause", "unpause"):
            led = self.leading.find(command["job"])
            if led is not None:
                self._pass_on(kind, command, led)
        else:
            known = "submit, resume, take, retry, cancel, pause, unpause"
            raise Mistake(f"command: {kind!r} is unknown; one of {known}")

    def _admitted(self, command: dict[str, Any]) -> tuple[Job, Store]:
        """Return the job that a command begins, and its folder."""
        if command["command"] == "submit":
            return self._submitted(from_json(Job, command["job"]))
        if command["command"] == "take":
            job, folder = read_led(command["folder"])
        elif command["command"] == "retry":
            job, folder = _retry(command["folder"], command["job"])
        else:
            job, folder = readmit(command["folder"])
        return on_compute(job, command.get("compute") or job.deployment.compute), folder

    def _submitted(self, job: Job) -> tuple[Job, Store]:
        about = {"gristmill.job": job.name, "gristmill.compute": job.deployment.compute}
        with tracing.span("gristmill.submit", parent=job.traceparent, attributes=about) as span:
            job = replace(job, traceparent=span.traceparent)
            return job, admit(job, environment=self._settings.environment, exclusion=self._exclusion)

    @staticmethod
    def _pass_on(kind: str, command: dict[str, Any], coordinator: Coordinator) -> None:
        if kind == "cancel":
            coordinator.cancel(keep_partial=bool(command.get("keep_partial")))
        else:
            coordinator.pause(paused=kind == "pause")


def _retry(url: str, name: str) -> tuple[Job, Store]:
    """Return the job that scores another one's failed items again; it is there when this command is repeated."""
    own = f"{url.rstrip('/').rpartition('/')[0]}/{name}"
    try:
        job, folder = readmit(own)
    except JobNotFound:
        job, folder = read_job(url)
        return begin_retry(folder, job, name=name)
    if job.retry_of != url.rstrip("/").rpartition("/")[2]:
        raise Mistake(f"job name: {name} is taken in {job.output.folder}; give another name")
    return job, folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scheduler until its commands end."""
    parser = argparse.ArgumentParser(prog="gristmill_scheduler", description="Lead jobs, told by JSON lines on stdin.")
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="lead jobs of the cluster that nobody leads, too; leave them to others at the end of stdin or on SIGTERM",
    )
    parser.add_argument("--owned", action="store_true", help="end for certain, and soon, when stdin ends")
    parser.add_argument(
        "--embedded", action="store_true", help="the Redis server is the owner's, and of this run alone"
    )
    options = parser.parse_args(arguments)
    allow(ORPHAN_SECONDS + 0.5)
    try:
        settings = ProcessSettings.read()
        log_lines.begin("scheduler", settings)
        tracing.begin("scheduler", settings)
        if not settings.redis_url:
            raise Mistake("GRISTMILL_REDIS_URL is not set; give the address of the Redis server of the cluster")
        with read_commands(lasting=options.take_over) as commands:
            Door(settings, sys.stdout, take_over=options.take_over, embedded=options.embedded).serve(commands)
    except GristmillError as error:
        log_lines.say(error)
        return error.exit_code
    finally:
        tracing.end()
    return 0

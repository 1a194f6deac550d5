"""One job on this machine, from its children's start to their end, kept by a thread of its own.

    children started -> submitted or refused -> status, progress ... -> outcome -> children gone

Sessions are independent: a process may have several at once. At the interpreter's exit all are closed.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gristmill.addresses import local_path
from gristmill.errors import GristmillError, JobCanceled
from gristmill.local.events import Outcome, Progress
from gristmill.local.folders import Folders
from gristmill.local.supervisor import Supervisor
from gristmill.settings import ProcessSettings
from gristmill.states import JobStatus

#: Seconds that scheduler and node have to leave after a job's end, or their owner's.
GRACE_SECONDS: Final = 5.0

_open: weakref.WeakSet[Session] = weakref.WeakSet()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a session is to run."""

    #: The job's name.
    name: str
    #: Address of the job's folder.
    folder: str
    #: Name of the compute that the node serves; the job's instances must be sent there.
    compute: str
    #: Tasks that the node takes at once.
    slots: int
    #: Scorers that the node starts while the job is still being planned; 0 where it may want others.
    blanks: int = 0
    #: What the scheduler is told at first: to submit the job, or to resume it.
    command: Mapping[str, Any]


class Session:
    """The job's life, as far as this process knows it."""

    def __init__(self, plan: Plan, *, settings: ProcessSettings) -> None:
        """Start the children and hand the job in; returns as soon as they are started, not when they are ready.

        Args:
            plan: what is to run.
            settings: this process's settings.

        Raises:
            Mistake: the job's folder cannot be made, or another process runs the job.

        """
        self.name = plan.name
        self.folder = plan.folder
        self.status = JobStatus.NOT_STARTED
        #: What the job waits for, in words; "" when there is nothing to say.
        self.detail = ""
        self.progress = Progress()
        #: What else there is to tell, a line each: what ended and was started again.
        self.notes: list[str] = []
        self.outcome: Outcome | None = None
        #: Whether the job came to be, so that there is something to resume.
        self.accepted = False
        #: Whether another process began the job.
        self.resumed: bool = plan.command["command"] == "resume"
        self._plan = plan
        # A scheduler counts the seconds since its own start.
        self._elapsed = 0.0
        self._owner = os.getpid()
        self._spawned, self._over, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._folders = Folders(local_path(plan.folder), scratch=settings.scratch)
        self._supervisor = Supervisor(self._folders, redis_url=settings.redis_url, environment=settings.environment)
        _open.add(self)
        threading.Thread(target=self._keep, name=f"gristmill {plan.name}", daemon=True).start()
        self._spawned.wait()

    def cancel(self, *, keep_partial: bool = False) -> None:
        """Ask for the job's end; what was scored stays, and with `keep_partial` it is published, too."""
        if not self._over.is_set():
            self.status = JobStatus.CANCEL_REQUESTED
            keep = {"keep_partial": True} if keep_partial else {}
            self._supervisor.send({"command": "cancel", "job": self.name, **keep})

    def pause(self, *, paused: bool) -> None:
        """Ask that nothing new is begun, or that it goes on."""
        if not self._over.is_set():
            self._supervisor.send({"command": "pause" if paused else "unpause", "job": self.name})

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether there is an outcome, after at most `timeout` seconds."""
        return self._over.wait(timeout)

    def close(self, *, at_once: bool = False) -> None:
        """End the children and return when they are gone, after at most a few seconds.

        Args:
            at_once: kill them instead of letting them leave.

        """
        if self._owner != os.getpid():
            return
        if at_once:
            self._supervisor.kill()
        else:
            self._supervisor.release()
        if not self._closed.wait(GRACE_SECONDS + 1):
            self._supervisor.kill()
            self._closed.wait(GRACE_SECONDS)

    def gone(self, timeout: float) -> bool:
        """Return whether the children have ended, after at most `timeout` seconds."""
        return self._closed.wait(timeout)

    def forget(self) -> None:
        """In a fork of this process: let go of the children."""
        self._supervisor.forget()

    def _keep(self) -> None:
        try:
            self._supervisor.start(compute=self._plan.compute, slots=self._plan.slots, blanks=self._plan.blanks)
            self._supervisor.send(self._plan.command)
            self._spawned.set()
            self._listen()
        except GristmillError as error:
            self._end_with(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who waits must hear of it
            self._end_with(GristmillError(f"unexpected: {type(error).__name__}: {error}"))
        finally:
            self._spawned.set()
            self._end_children()

    def _listen(self) -> None:
        for event in self._supervisor.events():
            self._take(event)
            if self.outcome is not None:
                self._over.set()
                return
        self._end_with(JobCanceled(f"job {self.name}: ended by its owner"))

    def _take(self, event: Mapping[str, Any]) -> None:
        match event.get("event"):
            case "submitted":
                self.accepted, self.folder = True, event["folder"]
            case "refused":
                self.status = JobStatus.FAILED
                self.outcome = Outcome(status=self.status, error=event["error"])
            case "status":
                self.status, self.detail = JobStatus(event["status"]), event.get("detail") or ""
            case "progress":
                progress = Progress.from_json(event)
                self.progress = replace(progress, elapsed=progress.elapsed + self._elapsed)
            case "restarted":
                self._note(event)
            case "finished":
                self.outcome = Outcome.from_json(event)
                self.status, self.detail = self.outcome.status, ""

    def _note(self, event: Mapping[str, Any]) -> None:
        if event["child"] == "scheduler":
            self._elapsed = self.progress.elapsed
        self.notes.append(event["message"])

    def _end_with(self, error: GristmillError) -> None:
        self.status = JobStatus.CANCELED if isinstance(error, JobCanceled) else JobStatus.FAILED
        self.outcome = Outcome(status=self.status, error=error.to_json())
        self._over.set()

    def _end_children(self) -> None:
        try:
            self._supervisor.end(grace=GRACE_SECONDS)
            unfinished = self.status is not JobStatus.COMPLETED
            self._folders.close(keep_job=self.accepted, keep_claim=unfinished)
        finally:
            self._closed.set()


def close_all(*, at_once: bool = False) -> None:
    """Close every session of this process."""
    sessions = list(_open)
    if not at_once:
        for session in sessions:
            session.cancel()
    for session in sessions:
        session.close(at_once=at_once)


def _forget_all() -> None:
    for session in list(_open):
        session.forget()


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget_all)

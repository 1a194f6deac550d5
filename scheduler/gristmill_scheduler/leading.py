"""The jobs that this process leads: a coordinator each, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gristmill.errors import Mistake
from gristmill.settings import ProcessSettings
from gristmill.spec import Job
from gristmill_scheduler.coordinator import Begin, Coordinator
from gristmill_scheduler.ending import Tell
from gristmill_scheduler.leadership import Leadership, lead_seconds
from gristmill_storage.files import Store
from gristmill_storage.ledger import Ledger
from gristmill_storage.messages import Sender


class Leading:
    """Makes coordinators, runs them, and knows which ones live; safe to share between threads."""

    def __init__(self, settings: ProcessSettings, *, ledger: Ledger, queue: Sender, tell: Tell) -> None:
        """Take the process's settings, where jobs are kept and sent, and who is told of them."""
        self._settings = settings
        self._ledger = ledger
        self._tell = tell
        self._jobs: dict[str, tuple[Coordinator, threading.Thread]] = {}
        self._begun = threading.Lock()
        #: Where instances are asked for.
        self.queue = queue

    def lead(self, job: str, *, dead: str = "") -> Leadership:
        """Return a lead of a job, not yet taken; `dead` names a leader whose lead need not run out."""
        return Leadership(job, self._ledger, seconds=lead_seconds(self._settings.lease_seconds), dead=dead)

    def led(self) -> set[str]:
        """Return the names of the jobs that are led here."""
        return {name for name, (_, thread) in list(self._jobs.items()) if thread.is_alive()}

    def find(self, name: str) -> Coordinator | None:
        """Return the coordinator of a job that is or was led here; None where there is none."""
        entry = self._jobs.get(name)
        return entry[0] if entry is not None else None

    def coordinator(self, job: Job, folder: Store, lead: Leadership) -> Coordinator:
        """Return a coordinator, not yet started."""
        return Coordinator(
            job,
            folder,
            ledger=self._ledger,
            queue=self.queue,
            lead=lead,
            lease_seconds=self._settings.lease_seconds,
            tell=self._tell,
            storage_patience=self._settings.storage_patience,
        )

    def take(self, job: Job, folder: Store, lead: Leadership) -> None:
        """Lead a job that runs and that nobody leads; the lead is taken already."""
        self.start(self.coordinator(job, folder, lead), Begin.TAKE)

    def start(self, coordinator: Coordinator, begin: Begin) -> None:
        """Let a coordinator live.

        Raises:
            Mistake: another one leads its job here.

        """
        name = coordinator.job.name
        thread = threading.Thread(target=coordinator.run, args=(begin,), name=f"job-{name}", daemon=True)
        with self._begun:
            if name in self.led():
                raise Mistake(f"job {name}: this scheduler leads it already")
            running = self.led()
            self._jobs = {known: entry for known, entry in self._jobs.items() if known in running}
            self._jobs[name] = (coordinator, thread)
            self._tell("submitted", {"job": name, "folder": coordinator.folder.url, "leader": coordinator.leader})
            thread.start()

    def waiting(self, text: str) -> None:
        """Tell of every job what this process waits for; "": for nothing any more."""
        for coordinator, thread in list(self._jobs.values()):
            if thread.is_alive():
                coordinator.waiting(text)

    def end(self, way: Callable[[Coordinator], None], seconds: float) -> None:
        """End what runs; whoever has not ended in time is left to the process's own end."""
        running = list(self._jobs.values())
        for coordinator, _ in running:
            way(coordinator)
        deadline = time.monotonic() + seconds
        for _, thread in running:
            thread.join(max(0.0, deadline - time.monotonic()))

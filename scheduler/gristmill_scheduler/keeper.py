"""What the ledger knows of one job: opened, found again, made again from storage, and extended by the planner.

A coordinator leads a job by what the ledger says; here is seen to it that the ledger has something to say.
"""

from __future__ import annotations

from gristmill.errors import LedgerLost
from gristmill.spec import Job, own_compute
from gristmill_scheduler.admission import note_compute
from gristmill_scheduler.leadership import Leadership
from gristmill_scheduler.plan import Planner
from gristmill_scheduler.rebuild import extend_plan, new_epoch, rebuild
from gristmill_storage.files import Store
from gristmill_storage.ledger import Ledger, Snapshot


class Keeper:
    """Keeps one job's ledger, and the plan that goes into it."""

    def __init__(self, job: Job, folder: Store, ledger: Ledger, *, lead: Leadership, lease_seconds: float) -> None:
        """Take the job, its folder (a store that waits for what the job cannot do without), the ledger and the lead.

        Args:
            job: The job.
            folder: Its folder.
            ledger: Where it is kept.
            lead: The lead of the job, which must be held while the ledger is made again.
            lease_seconds: Seconds without a sign of life after which an instance's work goes to others.

        """
        self._job = job
        self._folder = folder
        self._ledger = ledger
        self._lead = lead
        self._lease_seconds = lease_seconds
        self._planner = Planner(job, folder, ledger)

    def open(self) -> None:
        """Open the ledger of a new job, and begin to plan it."""
        self._announce()
        self._ledger.open(
            self._job.name,
            epoch=new_epoch(self._folder),
            lease_seconds=self._lease_seconds,
            error_threshold=self._job.deployment.settings.error_threshold,
        )
        self._planner.start()

    def reopen(self, *, retry_failed: bool) -> None:
        """Open the ledger of a job that had ended, with what is done; `retry_failed`: without what failed."""
        note_compute(self._job, self._folder)
        rebuild(self._job, self._folder, self._ledger, lease_seconds=self._lease_seconds, retry_failed=retry_failed)
        self._announce()
        self._planner.start()

    def find(self) -> Snapshot | None:
        """Return what the ledger still knows of a job that runs; None where that was lost."""
        try:
            return self._ledger.snapshot(self._job.name)
        except LedgerLost:
            return None

    def go_on(self, found: Snapshot) -> None:
        """Go on with what was found; the plan may have got further than the ledger was told."""
        self._ledger.speak(self._job.name)
        if found.state == "open":
            extend_plan(self._job, self._folder, self._ledger, known=found.planned)
            self._planner.start()
        if found.state != "closed":
            self._announce()

    def make_again(self) -> None:
        """Make the ledger again from storage, and go on with the plan."""
        self._lead.confirm()
        self._planner.stop()
        rebuild(self._job, self._folder, self._ledger, lease_seconds=self._lease_seconds)
        self._lead.confirm()
        self._announce()
        self.plan_again()

    def plan_again(self) -> None:
        """Go on with the plan, whatever ended it."""
        self._planner.stop()
        self._planner = Planner(self._job, self._folder, self._ledger)
        self._planner.start()

    def check_plan(self) -> None:
        """Raise what ended the plan, if something did."""
        self._planner.check()

    def stop_plan(self) -> None:
        """End the planning, done or not, and wait for that."""
        self._planner.stop()

    def _announce(self) -> None:
        """Let other schedulers know of the job, unless its nodes are one process's own and end with that."""
        if self._job.deployment.compute != own_compute(self._job.name):
            self._ledger.announce(self._job.name, folder=self._folder.url)

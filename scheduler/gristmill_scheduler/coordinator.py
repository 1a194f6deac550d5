"""One job's life: admitted, planned, watched, aggregated, ended.

`Coordinator.run` is that life in order. Everything it knows is read from the ledger and from the job's folder, so that
it can be ended at any moment and begun again by another process. `keeper.py` has the ledger opened and planned, and
made again where it lost its memory; `news.py` tells the owner.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, Final

from gristmill.errors import (
    GristmillError,
    JobCanceled,
    JobNotFound,
    LedgerFailed,
    LedgerLost,
    Mistake,
    OtherVersion,
    StorageFailed,
    unexpected,
)
from gristmill.log_context import about
from gristmill.spec import Job
from gristmill.states import JobStatus
from gristmill_scheduler.admission import readmit
from gristmill_scheduler.ending import Ending, Tell
from gristmill_scheduler.job_texts import JobTexts
from gristmill_scheduler.keeper import Keeper
from gristmill_scheduler.leadership import Leadership, TakenOver
from gristmill_scheduler.news import News
from gristmill_scheduler.reconciler import Reconciler
from gristmill_scheduler.timeline import SCORED, Timeline
from gristmill_scheduler.wishes import Wish, Wishes
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.job_lines import kept
from gristmill_storage.ledger import Ledger, Snapshot
from gristmill_storage.messages import Sender
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import patient

#: Seconds between two looks at the ledger when it does not ring.
WATCH_SECONDS: Final = 0.2

#: Seconds that instances are given to leave a job that was ended before its time.
LEAVE_SECONDS: Final = 5.0

#: Logs of the job that hold what is logged here of it, and from which level on.
_LOGS: Final = {job_folder.MASTER_ROLE: logging.INFO, f"{job_folder.SYSTEM_ERRORS}/scheduler.txt": logging.WARNING}

log = logging.getLogger("gristmill.scheduler")


class Begin(Enum):
    """How a coordinator begins."""

    #: A new job.
    NEW = auto()
    #: One that had ended: what is done counts, what failed is tried again.
    RESUME = auto()
    #: One that runs, and has lost its coordinator.
    TAKE = auto()


class HandedOver(Exception):
    """This coordinator was told to leave its job to another."""


class Coordinator:
    """Leads one job from its folder to its end."""

    def __init__(
        self,
        job: Job,
        folder: Store,
        *,
        ledger: Ledger,
        queue: Sender,
        lead: Leadership,
        lease_seconds: float,
        tell: Tell,
        storage_patience: float = 0,
    ) -> None:
        """Take a job that was admitted (its `job.json` stands in `folder`), its lead, and what it needs.

        What the job cannot do without is waited for in storage for `storage_patience` seconds, the rest never.
        """
        self.job = job
        self.folder = folder
        self._ledger = ledger
        self._lead = lead
        self._tell = tell
        self._news = News(job.name, tell)
        storage = patient(folder, Patience(storage_patience))
        storage.patience.tell = self._news.waiting
        storage.patience.pointless = lambda: bool(self._asked)
        self._keeper = Keeper(job, storage, ledger, lead=lead, lease_seconds=lease_seconds)
        self._timeline = Timeline(job.submitted)
        self._wishes = Wishes(folder)
        self._asked: Wish | None = None
        self._pausing: bool | None = None
        self._leaving = threading.Event()
        #: When it last looked at the ledger, in seconds since the epoch; 0: not yet.
        self.looked = 0.0
        #: Why the job ended, as the ledger has it; and which of the job's lives that is of, once seen.
        self._error: Mapping[str, Any] | None = None
        self._life = ""
        deployment = job.deployment
        self._texts = JobTexts(job, folder)
        self._write_logs: Callable[[], None] = lambda: None
        self._ending = Ending(job, folder, queue=queue, tell=tell, texts=self._texts)
        self._reconciler = Reconciler(
            queue,
            compute=deployment.compute,
            job=job.name,
            folder=folder.url,
            instances=deployment.instance_count,
            traceparent=job.traceparent,
            check=self._check_folder,
        )

    @property
    def leader(self) -> str:
        """Name under which it leads."""
        return self._lead.leader

    def cancel(self, *, keep_partial: bool = False) -> None:
        """Ask for the job's end; `run` returns soon after. With `keep_partial` what is finished is published first."""
        self._asked = Wish(cancel=True, keep_partial=keep_partial)

    def pause(self, *, paused: bool) -> None:
        """Ask that nothing new is begun, or that it goes on."""
        self._pausing = paused

    def waiting(self, text: str) -> None:
        """Tell the job's owner what this process waits for; "": for nothing any more."""
        self._news.waiting(text)

    def hand_over(self) -> None:
        """Ask for the end of this coordinator, not of its job; `run` returns soon after."""
        self._leaving.set()

    def run(self, begin: Begin) -> None:
        """Live the job's life; tells how it ended, or that another leads it now."""
        with about(job=self.job.name), kept(self.folder, _LOGS) as self._write_logs:
            log.info("job %s: led by %s (%s)", self.job.name, self.leader, begin.name.lower())
            self._run(begin)

    def _run(self, begin: Begin) -> None:
        try:
            self._live(begin)
        except (TakenOver, HandedOver) as reason:
            event = "taken_over" if isinstance(reason, TakenOver) else "handed_over"
            log.info("job %s: %s", self.job.name, event.replace("_", " "))
            self._tell(event, {"job": self.job.name, "folder": self.folder.url})
        finally:
            self._keeper.stop_plan()
            self._lead.stop()

    def _live(self, begin: Begin) -> None:
        try:
            try:
                self._begin(begin)
            except Mistake as error:
                self._tell("refused", {"job": self.job.name, "error": error.to_json()})
                return
            state = self._open(begin)
            while state != "closed":
                state = self._go_on()
            self._ending.tell(self._ending.result(self._error))
        except OtherVersion as error:
            log.warning("job %s: left to a scheduler that can lead it: %s", self.job.name, error)
            raise HandedOver from error
        except GristmillError as error:
            log.info("job %s ended: %s", self.job.name, error)
            self._give_up(error)
        except (TakenOver, HandedOver):
            raise
        except Exception as error:
            log.exception("job %s ended by a fault of the coordinator", self.job.name)
            self._give_up(unexpected("the coordinator", error))

    def _begin(self, begin: Begin) -> None:
        """Take the lead, once that of a former coordinator has run out.

        Raises:
            Mistake: another leads the job, or ended it meanwhile.

        """
        if not self._lead.take(patience=self._lead.seconds + 1):
            raise Mistake(f"job {self.job.name}: another scheduler leads it; wait for its end, or cancel it")
        if begin is Begin.RESUME:
            readmit(self.folder.url)

    def _open(self, begin: Begin) -> str:
        """Open the ledger and let the plan begin; return the ledger's state."""
        self._texts.begin()
        try:
            if begin is Begin.TAKE:
                return self._take()
            self._news.status(JobStatus.QUEUED, "waiting for an instance")
            if begin is Begin.RESUME:
                self._reopen()
            else:
                self._keeper.open()
        except LedgerLost:
            log.warning("job %s: the ledger lost its memory once more: the first look makes it again", self.job.name)
        return "open"

    def _reopen(self) -> None:
        """Open the ledger with what an earlier run has done; what failed is tried again unless publishing had begun."""
        self.folder.delete(job_folder.RESULT)
        for place in ("", job_folder.PARTS, job_folder.MANIFEST):
            self.folder.sweep(place, recursive=False)
        self._wishes.clear()
        fixed = self.folder.exists(job_folder.PUBLISHING)
        if not fixed:
            self.folder.delete(job_folder.MERGE)
        # A job that is to end at once keeps what it has.
        self._keeper.reopen(retry_failed=not fixed and self._asked is None)

    def _take(self) -> str:
        """Go on where the former coordinator was, with what the ledger knows, or else with what the folder holds."""
        self._timeline.restore(self.folder)
        found = self._keeper.find()
        if found is None:
            if self.folder.exists(job_folder.RESULT):
                self._ledger.forget(self.job.name)
                return "closed"
            self._keeper.make_again()
            return "open"
        if found.state in ("open", "scored"):
            # Whoever wrote that the job had ended could not reach the ledger.
            self._ending.retract()
        self._keeper.go_on(found)
        if found.state == "open" or self._timeline.reached(SCORED):
            # Otherwise nobody has asked for an aggregator: its station is written down before that.
            self._reconciler.assume_sent(found)
        self._error, self._life = found.error, found.epoch
        return found.state

    def _watch(self) -> None:
        """Stay until everything is scored, or the job was stopped."""
        while (snapshot := self._look()).state == "open":
            self._keeper.check_plan()
            wish = self._wanted()
            if wish.cancel:
                self._stop(wish)
                continue
            if wish.paused != snapshot.paused:
                self._ledger.pause(self.job.name, paused=wish.paused)
            elif not snapshot.paused:
                self._reconciler.want_instances(snapshot)
            self._ledger.wait(self.job.name, WATCH_SECONDS)
        self._keeper.stop_plan()
        self._timeline.note(SCORED)

    def _wanted(self) -> Wish:
        """Return what is wished for: in the job's folder, or by this process."""
        if self._pausing is not None:
            pausing, self._pausing = self._pausing, None
            try:
                self._wishes.pause(paused=pausing)
            except StorageFailed as error:
                log.warning("job %s: the wish to pause could not be noted: %s", self.job.name, error)
        return self._asked or self._wishes.look()

    def _stop(self, wish: Wish) -> None:
        """End the scoring; the wish is written down first, for whoever may have to go on with that."""
        self._news.status(JobStatus.CANCEL_REQUESTED, "")
        if wish is self._asked:
            try:
                self._wishes.cancel(keep_partial=wish.keep_partial, by=wish.by)
            except StorageFailed as error:
                log.warning("job %s: the wish to cancel could not be noted: %s", self.job.name, error)
        self._ledger.stop(self.job.name, state="canceled", error=self._canceled(wish).to_json(), epoch=self._life)

    def _canceled(self, wish: Wish) -> JobCanceled:
        return JobCanceled(f"job {self.job.name} was cancelled" + (f" by {wish.by}" if wish.by else ""))

    def _look(self) -> Snapshot:
        """Read the ledger, tell what is new, and mend a ledger that lost its memory."""
        if self._leaving.is_set():
            raise HandedOver
        self._lead.check()
        try:
            snapshot = self._ledger.snapshot(self.job.name)
        except LedgerLost:
            if self.folder.exists(job_folder.RESULT):
                raise  # it has ended, and nobody saw that before the ledger forgot it
            log.warning("job %s: the ledger lost its memory; rebuilding it from storage", self.job.name)
            self._keeper.make_again()
            snapshot = self._ledger.snapshot(self.job.name)
        self._error, self._life = snapshot.error, snapshot.epoch
        self.looked = time.time()
        self._timeline.see(snapshot)
        self._timeline.keep(self.folder, snapshot)
        self._news.see(snapshot)
        self._texts.see(snapshot)
        self._write_logs()
        return snapshot

    def _go_on(self) -> str:
        """See to the job until it is closed, or until something of it is to be scored after all; return its state."""
        try:
            self._watch()
            return self._aggregate()
        except LedgerLost:
            if self.folder.exists(job_folder.RESULT):
                return "closed"
            # Between two looks: the next one makes the ledger again. The planner may have met the same.
            self._keeper.plan_again()
            return "open"

    def _aggregate(self) -> str:
        """Have the parts merged (or, of a job that was stopped, its errors gathered), and wait for the result.

        Returns:
            "closed", or what a ledger that was made again shows instead: "open" where something is still to be scored.

        """
        snapshot = self._look()
        publish = snapshot.state == "scored"
        partial = snapshot.state == "canceled"
        if partial:
            self._wait_for_leavers()
        self._timeline.save(self.folder, snapshot)
        state = snapshot.state
        while snapshot.state == state and state not in ("closed", "open"):
            if not publish:
                self._heed_cancel(snapshot)
            self._reconciler.want_aggregate(snapshot, publish=publish, partial=partial)
            self._ledger.wait(self.job.name, WATCH_SECONDS)
            snapshot = self._look()
        return snapshot.state

    def _check_folder(self) -> None:
        """Refuse to wait for nodes that could not know the job: they take it for one that was deleted.

        Raises:
            JobNotFound: somebody has removed its folder.

        """
        if not self.folder.exists(job_folder.SPEC):
            raise JobNotFound(
                f"{self.folder.url}: {job_folder.SPEC} is missing: the folder was removed or moved while the job ran; "
                "leave it in place until the job has ended, and submit the job again"
            )

    def _heed_cancel(self, snapshot: Snapshot) -> None:
        """End a job at once whose end is wanted without anything that an aggregator could add."""
        wish = self._wanted()
        if wish.keep_partial or not (wish.cancel or snapshot.state == "canceled"):
            return
        if snapshot.error:
            raise GristmillError.from_json(dict(snapshot.error))
        raise self._canceled(wish)

    def _wait_for_leavers(self) -> None:
        """Wait until no instance works for the job any more, or the time for leaving is over."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while time.monotonic() < deadline and self._ledger.snapshot(self.job.name).instances:
            self._ledger.wait(self.job.name, 0.05)

    def _give_up(self, error: GristmillError) -> None:
        """End a job that cannot go on here."""
        if _is_unreachable(error):
            # Nobody hears what is said to a server that is away: the owner hears first.
            self._ending.tell(self._ending.write(error))
            return
        try:
            self._lead.confirm()
            self._ledger.stop(self.job.name, state="canceled", error=error.to_json(), epoch=self._life)
            self._wait_for_leavers()
        except GristmillError as second:
            log.warning("job %s: it could not be stopped in the ledger: %s", self.job.name, second)
        result = self._ending.write(error)
        try:
            self._ledger.close(self.job.name, status=result["status"], error=result["error"], epoch=self._life)
        except GristmillError as second:
            log.warning("job %s: its ledger could not be closed: %s", self.job.name, second)
        self._ending.tell(result)


def _is_unreachable(error: GristmillError) -> bool:
    """Return whether the ledger's server did not answer at all; what it refused has no other error for its cause."""
    return type(error) is LedgerFailed and error.__cause__ is not None

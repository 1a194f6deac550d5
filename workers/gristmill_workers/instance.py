"""An instance: one node's share of one job. It joins, makes ready what its scorers need, works, and leaves."""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gristmill import tracing
from gristmill.errors import Fenced, GristmillError, LedgerLost, OtherVersion, unexpected
from gristmill.log_context import about
from gristmill.spec import own_compute
from gristmill_storage import job_folder
from gristmill_storage.ledger import Registration
from gristmill_storage.patient_store import patience_of
from gristmill_storage.tallies import Tallies
from gristmill_workers.abandoning import Abandoned
from gristmill_workers.assignment import Assignment
from gristmill_workers.heartbeat import Heartbeat
from gristmill_workers.inputs import open_inputs
from gristmill_workers.job_logs import JobLogs
from gristmill_workers.keeping import Quarters, quarters
from gristmill_workers.performance import Performance
from gristmill_workers.preparation import Launcher, Prepared, prepare
from gristmill_workers.scoring import Scoring
from gristmill_workers.scratch import scratch_folder
from gristmill_workers.tuning import chosen_once
from gristmill_workers.watchdog import STUCK_SECONDS, Watchdog

log = logging.getLogger("gristmill.node")


class Instance:
    """Joins a job, works, leaves."""

    def __init__(self, assignment: Assignment) -> None:
        """Take the assignment; nothing happens before `run`."""
        self._assignment = assignment
        self._job = assignment.job
        self._ledger = assignment.ledger
        self._name = f"{_plain(assignment.settings.node_name)}-{assignment.slot}-{uuid.uuid4().hex[:8]}"
        self._heartbeat: Heartbeat | None = None
        self._registered = 0.0
        #: Storage that fails may be waited for.
        self._watchdog = Watchdog(STUCK_SECONDS + assignment.settings.storage_patience)

    def run(self) -> None:
        """Work for the job until there is nothing left, it was ended, or the node is to leave.

        Whatever goes wrong here and is no loss of the ledger ends the job: were it passed over, the next instance
        would meet it again, for ever.

        Raises:
            OtherVersion: the job is of a version that this node does not work with.

        """
        info = {"role": "instance", "slot": self._assignment.slot, "node": self._assignment.settings.node_name}
        registration = self._ledger.register(self._job.name, instance=self._name, info=info)
        self._registered = time.monotonic()
        self._assignment.span.put({"gristmill.instance": self._name})
        with about(instance=self._name):
            self._take_part(registration, info)

    def _take_part(self, registration: Registration, info: Mapping[str, Any]) -> None:
        try:
            if registration.state == "full":
                log.info("instance %s is not needed: job %s has its share of places", self._name, self._job.name)
            elif registration.state == "open" and not self._is_double():
                self._work(registration, info)
        except OtherVersion:
            raise  # a scheduler of another version leads the job now: others can work for it
        except Fenced as error:
            log.warning("instance %s is on its own: %s", self._name, error)
        except LedgerLost as error:
            log.warning("instance %s is on its own: %s", self._name, error)
            self._announce_again()
        except Abandoned as error:
            log.info("instance %s was not ready yet: %s", self._name, error)
        except GristmillError as error:
            self._stop_job(registration.epoch, error)
        except Exception as error:  # noqa: BLE001 - it is the job's error, with its traceback
            self._stop_job(registration.epoch, unexpected(f"instance {self._name}", error))
        finally:
            self._leave()

    def _announce_again(self) -> None:
        """Tell a ledger that forgot everything of the job: its scheduler may be dead, too, and then nobody knows of it.

        Who takes the job over looks first whether it has ended.
        """
        if self._job.deployment.compute == own_compute(self._job.name):
            return  # whoever has a compute of its own leads its job, or nobody does
        try:
            self._ledger.announce(self._job.name, folder=self._assignment.folder.url)
        except GristmillError as error:
            log.warning("job %s could not be announced again: %s", self._job.name, error)

    def _stop_job(self, epoch: str, error: GristmillError) -> None:
        log.error("instance %s ends the job: %s\n%s", self._name, error, error.detail)
        self._assignment.span.fail(f"{type(error).__name__}: {error}")
        self._ledger.stop(self._job.name, state="stopped", error=error.to_json(), epoch=epoch)

    def _is_double(self) -> bool:
        """Return whether another instance has this one's slot: a message was sent twice, and whoever was first stays.

        One that leaves has the slot no more. Of two that came in the same moment both may leave: it is asked for again.
        """
        alive = {
            instance.name: instance.alive_seconds
            for instance in self._ledger.snapshot(self._job.name).instances
            if instance.info.get("slot") == self._assignment.slot
            and instance.info.get("role") == "instance"
            and not instance.info.get("leaving")
        }
        own = alive.pop(self._name, 0.0)
        return any(seconds >= own for seconds in alive.values())

    def _work(self, registration: Registration, info: Mapping[str, Any]) -> None:
        """Work in a folder of this instance's own, which goes with it."""
        settings = self._assignment.settings
        self._heartbeat = Heartbeat(
            lambda news: self._ledger.renew(self._job.name, instance=self._name, info=news),
            lease_seconds=registration.lease_seconds,
            stuck=self._watchdog.stuck,
        )
        self._heartbeat.start({**info, "doing": "making model and environment ready"})
        self._show_waiting(self._heartbeat)
        with ExitStack() as stack:
            scratch = stack.enter_context(scratch_folder(settings.scratch, self._job.name))
            logs = JobLogs(
                self._assignment.folder, node=settings.node_name, slot=self._assignment.slot, scratch=scratch
            )
            stack.callback(logs.close)
            stack.callback(shutil.rmtree, self._staging(scratch), ignore_errors=True)
            self._score(registration, self._heartbeat, scratch, logs)

    def _show_waiting(self, heartbeat: Heartbeat) -> None:
        """Have the instance say when it waits for storage, and wait no longer than the job lives."""
        patience = patience_of(self._assignment.folder)
        patience.tell = lambda text: heartbeat.say(waiting=text)
        patience.pointless = lambda: heartbeat.state not in ("open", "scored")

    def _score(self, registration: Registration, heartbeat: Heartbeat, scratch: Path, logs: JobLogs) -> None:
        """Make ready what scorers need, and score."""

        def ready() -> Prepared:
            with tracing.span("gristmill.prepare", attributes={"gristmill.job": self._job.name}):
                return prepare(
                    self._job,
                    scratch=scratch,
                    settings=self._assignment.settings,
                    log=logs.system.info,
                    wanted=lambda: heartbeat.needed and not self._assignment.drain.is_set(),
                )

        with quarters(self._assignment, scratch, logs, ready) as place:
            heartbeat.say(doing="running init()", python=place.prepared.python.python)
            self._score_in(place, registration, heartbeat, scratch, logs)

    def _score_in(
        self, place: Quarters, registration: Registration, heartbeat: Heartbeat, scratch: Path, logs: JobLogs
    ) -> None:
        """Score with the scorers that live there."""
        tallies, patience = Tallies(), patience_of(self._assignment.folder)
        patience.fault = tallies.storage_fault
        inputs = open_inputs(self._job, scratch, patience, tallies=tallies)
        launcher = Launcher(
            self._job,
            place.prepared,
            root=inputs.root,
            logs=logs,
            scratch=place.folder,
            staging=self._staging(scratch),
            settings=self._assignment.settings,
            share=self._assignment.share,
            kept=place.kept,
            log_dir=place.log_dir(logs),
        )
        base = self._assignment.settings.environment
        for line in chosen_once(self._job.deployment, cores=launcher.cores, base=base, ahead=inputs.ahead):
            logs.system.info("%s", line)
        scoring = Scoring(
            self._assignment,
            instance=self._name,
            epoch=registration.epoch,
            registered=self._registered,
            launcher=launcher,
            inputs=inputs,
            heartbeat=heartbeat,
            watchdog=self._watchdog,
            logs=logs,
            tallies=tallies,
        )
        launcher.leave = lambda pool: place.leave(pool, (scratch, launcher.staging), logs)
        performance = Performance(logs.performance, disks=self._disks(scratch), processes=scoring.processes)
        with performance.measured():
            scoring.run()

    def _disks(self, scratch: Path) -> dict[str, Path]:
        """Return the disks that a job can fill here, by what it has there."""
        local = self._assignment.folder.local_path(job_folder.LOGS)
        disks = {"scratch": scratch, "cache": self._assignment.settings.cache}
        return disks if local is None else {**disks, "job": local}

    def _staging(self, scratch: Path) -> Path:
        """Return where a script's files lie until their part is written: on its file system, where it can be."""
        local = self._assignment.folder.local_path(f"{job_folder.FILES}/.staging-{self._name}")
        return local if local is not None else scratch / "staging"

    def _leave(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
        try:
            self._ledger.leave(self._job.name, instance=self._name)
        except GristmillError as error:
            log.warning("instance %s could not say that it leaves: %s", self._name, error)


def _plain(name: str) -> str:
    """Return a name in letters that a part's name may hold."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)[:40] or "node"

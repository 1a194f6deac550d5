"""Begins a job of which only the record is there, or whose scheduler died: with its lead, exactly one server does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from gristmill.errors import (
    GristmillError,
    InputEmpty,
    InputNotFound,
    JobNotFound,
    LedgerLost,
    Mistake,
    StorageFailed,
)
from gristmill.log_context import about
from gristmill.spec import Job
from gristmill.states import JobStatus
from gristmill_scheduler.admission import admit, read_led, readmit
from gristmill_scheduler.coordinator import Begin
from gristmill_scheduler.exclusion import Exclusion
from gristmill_scheduler.jobs.addresses import Addresses
from gristmill_scheduler.jobs.record import JobRecord, State, Way, ended
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.leadership import Leadership
from gristmill_scheduler.leading import Leading
from gristmill_storage import job_folder
from gristmill_storage.documents import document_or_none
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Ledger

#: What Azure's job says where who asks may not read an input; scripts look for it.
NO_ACCESS: Final = "ScriptExecution.StreamAccess.Authentication"

#: What it says of an input that is not there, or empty.
NO_DATA: Final = (
    "Dataset initialization failed: Source of the dataset is either not accessible or doesn't contain any data."
)

log = logging.getLogger("gristmill.jobs")


class Beginning:
    """Lets jobs begin here."""

    def __init__(
        self,
        records: Records,
        addresses: Addresses,
        leading: Leading,
        ledger: Ledger,
        *,
        environment: Mapping[str, str],
        exclusion: Exclusion | None = None,
    ) -> None:
        """Take what this needs.

        Args:
            records: the jobs' records
            addresses: of inputs that hold a secret
            leading: leads jobs here
            ledger: the ledger
            environment: what admission looks at
            exclusion: knows which stores several servers may write to

        """
        self._records = records
        self._addresses = addresses
        self._leading = leading
        self._ledger = ledger
        self._environment = environment
        self._exclusion = exclusion or Exclusion()

    def begin(self, name: str) -> bool:
        """Begin a job that waits; one that cannot be begun ends Failed. False: somebody leads it at the moment.

        Raises:
            GristmillError: storage or the ledger fails: it may be tried again.

        """
        return self._with_lead(name, State.QUEUED, self._begin)

    def mend(self, name: str) -> bool:
        """Go on with a job that was begun; one that has ended is noted as that. False: somebody leads it.

        Raises:
            GristmillError: as `begin`.

        """
        return self._with_lead(name, State.BEGUN, self._mend)

    def note(self, name: str, trouble: str) -> None:
        """Write down why a job that waits could not be begun, for the servers that do not begin it.

        Raises:
            GristmillError: as `begin`.

        """

        def how(record: JobRecord) -> dict[str, Any]:
            return {"trouble": trouble} if record.state is State.QUEUED and record.trouble != trouble else {}

        self._records.change(name, how)

    def give_up(self, name: str, error: GristmillError) -> None:
        """End a job that waits and cannot be begun.

        Raises:
            GristmillError: as `begin`.

        """
        if isinstance(error.__cause__, PermissionError):
            error = type(error)(f"{NO_ACCESS}: {error.message}")

        def end(record: JobRecord, _: Leadership) -> bool:
            self._end(record.name, {"status": JobStatus.FAILED, "error": error.to_json()})
            return False

        self._with_lead(name, State.QUEUED, end)

    def _with_lead(self, name: str, state: State, act: Callable[[JobRecord, Leadership], bool]) -> bool:
        with about(job=name):
            return self._try(name, state, act)

    def _try(self, name: str, state: State, act: Callable[[JobRecord, Leadership], bool]) -> bool:
        lead, started = self._leading.lead(name), False
        if not lead.take():
            return False
        try:
            if name in self._leading.led():
                return False  # its coordinator is about to end
            record = self._records.find(name)
            started = record is not None and record.state is state and act(record, lead)
        except (InputEmpty, InputNotFound) as error:
            self._refuse(name, type(error)(f"{NO_DATA} {error.message}"))
        except Mistake as error:
            self._refuse(name, error)
        finally:
            if not started:
                lead.stop()
        return True

    def _refuse(self, name: str, error: Mistake) -> None:
        log.info("job %s cannot be begun: %s", name, error)
        self._end(name, {"status": JobStatus.FAILED, "error": error.to_json()})

    def _begin(self, record: JobRecord, lead: Leadership) -> bool:
        if record.paused:
            return False
        job, folder, begin = self._admitted(record)
        now = self._records.change(record.name, _begun)
        if now.state is State.BEGUN:
            self._start(job, folder, lead, begin)
        return now.state is State.BEGUN

    def _admitted(self, record: JobRecord) -> tuple[Job, Store, Begin]:
        if record.way is Way.NEW:
            return *self._new(record), Begin.NEW
        job, folder = readmit(record.folder)
        # Whoever finds this job with a result must know that it is of this life.
        folder.delete(job_folder.RESULT)
        return job, folder, Begin.RESUME

    def _new(self, record: JobRecord) -> tuple[Job, Store]:
        job = self._addresses.whole(record)
        return job, admit(job, environment=self._environment, exclusion=self._exclusion)

    def _mend(self, record: JobRecord, lead: Leadership) -> bool:
        try:
            folder = open_store(record.folder)
        except Mistake as error:
            # It runs, and goes on with whoever has the secret, or when this server has it.
            raise StorageFailed(error.message) from error
        result = document_or_none(folder, job_folder.RESULT)
        if result is not None:
            self._end(record.name, {**result, "document": document_or_none(folder, job_folder.SUMMARY)})
            return False
        try:
            job, folder = read_led(record.folder)
        except JobNotFound:
            job, folder = self._new(record)
            self._start(job, folder, lead, Begin.NEW)
            return True
        log.info("job %s: nobody leads it; going on with it", record.name)
        self._start(job, folder, lead, self._way(record))
        return True

    def _way(self, record: JobRecord) -> Begin:
        """Return how to go on: what the ledger knows of a job that was to be resumed may be of its life before."""
        if record.way is Way.NEW:
            return Begin.TAKE
        try:
            state = self._ledger.snapshot(record.name).state
        except LedgerLost:
            state = "closed"
        return Begin.RESUME if state == "closed" else Begin.TAKE

    def _start(self, job: Job, folder: Store, lead: Leadership, begin: Begin) -> None:
        self._leading.start(self._leading.coordinator(job, folder, lead), begin)

    def _end(self, name: str, result: Mapping[str, Any]) -> None:
        self._records.change(name, lambda record: {} if record.state is State.ENDED else ended(record, result))


def _begun(record: JobRecord) -> dict[str, Any]:
    if record.state is not State.QUEUED or record.paused:
        return {}
    return {"state": State.BEGUN, "trouble": "", "modified": time.time()}

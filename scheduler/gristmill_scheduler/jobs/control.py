"""What users want of jobs: their end, a pause, to go on, another try at what failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from gristmill.errors import Conflict, JobCanceled, JobNotFound, Mistake
from gristmill.states import JobStatus
from gristmill_scheduler.admission import read_job, readmit
from gristmill_scheduler.jobs.addresses import presentable
from gristmill_scheduler.jobs.dispatcher import Dispatcher
from gristmill_scheduler.jobs.record import JobRecord, State, Track, Way, ended, wanted
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.leading import Leading
from gristmill_scheduler.retry import begin_retry
from gristmill_scheduler.standing import Standing
from gristmill_scheduler.wishes import Wishes
from gristmill_storage.files import open_store

#: Seconds that a job which is just being begun is waited for.
_SETTLE_SECONDS: Final = 5.0

#: What a job's life ends with that can go on.
_RESUMABLE: Final = frozenset({JobStatus.FAILED, JobStatus.CANCELED})


class Control:
    """Changes jobs."""

    def __init__(self, records: Records, leading: Leading, dispatcher: Dispatcher, *, tracked: bool = False) -> None:
        """Take the records, the jobs led here, who is told of what is to be begun, and whether jobs are MLflow runs."""
        self._tracked = tracked
        self._records = records
        self._leading = leading
        self._dispatcher = dispatcher

    def cancel(self, name: str, *, keep_partial: bool, by: str) -> JobRecord:
        """End a job: at once where it waits, else soon. One that was cancelled is fine.

        Raises:
            Conflict: it has ended in another way.

        """
        error = JobCanceled(f"job {name} was cancelled" + (f" by {by}" if by else ""))
        result = {"status": JobStatus.CANCELED, "error": error.to_json()}
        record = self._change_queued(name, lambda known: ended(known, result), by=by)
        if record.state is State.BEGUN:
            Wishes(open_store(record.folder)).cancel(keep_partial=keep_partial, by=by)
            coordinator = self._leading.find(name)
            if coordinator is not None:
                coordinator.cancel(keep_partial=keep_partial)
        elif record.status is not JobStatus.CANCELED:
            raise Conflict(f"job {name} is {record.status}; there is nothing to cancel")
        self._dispatcher.notice()
        return record

    def pause(self, name: str, *, paused: bool, by: str) -> JobRecord:
        """Let a job begin nothing new, or go on.

        Raises:
            Conflict: it has ended.

        """
        record = self._change_queued(name, lambda _known: {"paused": paused}, by=by)
        if record.state is State.BEGUN:
            Wishes(open_store(record.folder)).pause(paused=paused)
        elif record.state is State.ENDED:
            raise Conflict(f"job {name} is {record.status}; there is nothing to {'' if paused else 'un'}pause")
        self._dispatcher.notice()
        return record

    def resume(self, name: str, *, by: str) -> JobRecord:
        """Let a job go on that failed or was cancelled; what is done counts, and what failed is tried again.

        Raises:
            Conflict: it runs, or is complete.
            Mistake: its output is in somebody's way.

        """

        def again(record: JobRecord) -> dict[str, Any]:
            if record.status not in _RESUMABLE:
                known = record.status or "not ended"
                raise Conflict(f"job {name} is {known}; only one that Failed or was Canceled can be resumed")
            way = _way(record)
            cleared: dict[str, Any] = {"result": None, "started": None, "ended": None}
            # Its run goes on too.
            cleared |= {"run": {**record.run, "state": Track.WANTED}} if record.run else {}
            return {"state": State.QUEUED, "way": way, "paused": False, "trouble": "", "archived": False, **cleared}

        record = self._records.change(name, again, by=by)
        self._dispatcher.notice()
        return record

    def retry_failed(self, name: str, *, by: str) -> JobRecord:
        """Let a job begin that scores a completed one's failed items again, into the same output.

        One that was begun before and has not completed goes on instead.

        Raises:
            Conflict: the job is not complete.
            Mistake: nothing of it failed, or its output is not what it was.

        """
        record = self._records.get(name)
        if record.status is not JobStatus.COMPLETED:
            raise Conflict(f"job {name} is {record.status or 'not ended'}, not Completed; use job resume")
        job, folder = read_job(record.folder)
        retry, begun = Standing(job, folder, None).next_retry()
        known = self._records.find(retry)
        if known is not None:
            return self.resume(retry, by=by) if known.status in _RESUMABLE else known
        place = f"{record.folder.rpartition('/')[0]}/{retry}"
        job, _ = readmit(place) if begun else begin_retry(folder, job, name=retry)
        run = wanted(tracked=self._tracked)
        made = self._records.create(
            _retry_of(record, replace(record, job=presentable(job), folder=place, run=run), by=by)
        )
        self._dispatcher.notice()
        return made

    def archive(self, name: str, *, archived: bool, by: str) -> JobRecord:
        """Hide a job from lists, or show it again."""
        return self._records.change(
            name, lambda record: {} if record.archived == archived else {"archived": archived}, by=by
        )

    def _change_queued(self, name: str, how: Callable[[JobRecord], dict[str, Any]], *, by: str) -> JobRecord:
        """Change a record if its job waits; return it as it stands then. One that is just begun is waited for."""
        record = self._records.change(name, lambda known: how(known) if known.state is State.QUEUED else {}, by=by)
        if record.state is State.BEGUN:
            deadline = time.monotonic() + _SETTLE_SECONDS
            while self._dispatcher.is_beginning(name) and time.monotonic() < deadline:
                time.sleep(0.01)
            record = self._records.get(name)
        return record


def _way(record: JobRecord) -> Way:
    """Return how a job that had ended is begun: anew where it never was, because it was refused or waited."""
    try:
        readmit(record.folder)
    except JobNotFound:
        return Way.NEW
    return Way.RESUME


def _retry_of(original: JobRecord, made: JobRecord, *, by: str) -> JobRecord:
    """Return the record of a new job that tries another's failed items again."""
    if not made.job.retry_of:
        raise Mistake(f"job {made.name}: is no retry of {original.name}")
    return replace(
        made,
        by=by,
        request_id="",
        archived=False,
        state=State.QUEUED,
        way=Way.RESUME,
        paused=False,
        started=None,
        ended=None,
        modified=0.0,
        modified_by="",
        result=None,
        display_name="",
        version=0,
    )

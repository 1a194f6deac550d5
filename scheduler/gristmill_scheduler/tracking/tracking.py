"""Writes jobs into MLflow, in a thread of its own: no job waits for it, and none ends because of it.

Coordinators tell it what they tell the board. A job's begin and its end are written as they stand in its record; of its
progress only the latest is kept. What could not be written is tried again: here while this process lives, and by any
server from the record's mark, `run`: {"state": "wanted" | "ended" | "refused", "run_id", "experiment_id", "server",
"note"}.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from gristmill.errors import GristmillError, Mistake, StorageFailed
from gristmill.log_context import ids
from gristmill.settings import ProcessSettings
from gristmill_scheduler.jobs.record import JobRecord, State, Track
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.tracking.documents import Point, end_document, last_point, point, run_document
from gristmill_storage.store import without_secrets
from gristmill_storage.tracking import Tracker, is_possible

#: Seconds between two points of a job's metrics: of a young one, and of any at most.
POINT_SECONDS: Final = 5.0
MOST_POINT_SECONDS: Final = 60.0
#: In between, this part of its age; and that for each job that is written of, so that many cost no more than a few.
_AGE_SHARE: Final = 100
_JOB_SECONDS: Final = 0.5

#: Seconds after which what writes runs is ended when there is nothing to write.
IDLE_SECONDS: Final = 120.0

#: Seconds until a tracking server that is away is tried again: at first, and at most.
AWAY_SECONDS: Final = 5.0
MOST_AWAY_SECONDS: Final = 300.0

#: Seconds until something is tried again that the job's own record stood in the way of.
_AGAIN_SECONDS: Final = 1.0

#: Seconds between two looks at what is due.
_WAIT_SECONDS: Final = 1.0

#: Seconds between two looks for jobs that have ended with nobody to write it, and until one counts as that.
STRAY_SECONDS: Final = 15.0

log = logging.getLogger("gristmill.tracking")


class Writes(Protocol):
    """What writes runs: `gristmill_storage.tracking.Tracker`."""

    def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Write what a request says."""

    def rest(self) -> None:
        """Give back what it holds until the next request."""

    def close(self) -> None:
        """End; a request that is waited for fails."""


@dataclass(kw_only=True)
class _Work:
    """What is to be written of one job."""

    #: Whether its run is known to be there, in this life of the job.
    begun: bool = False
    ended: bool = False
    #: The latest, and when it was told, in seconds since the epoch; None: nothing new.
    progress: tuple[Mapping[str, Any], float] | None = None
    #: When it may be written of again, by the monotonic clock.
    due: float = 0.0
    record: JobRecord | None = None
    last: dict[str, float] = field(default_factory=dict)

    def is_due(self, now: float) -> bool:
        """Return whether there is something to write now."""
        return now >= self.due and (self.ended or not self.begun or self.progress is not None)


class Tracking:
    """Keeps the runs of a workspace's jobs; `tell` may be called by any thread and never waits."""

    def __init__(
        self,
        records: Records,
        writer: Writes,
        *,
        server: str,
        sweeps: Callable[[], bool],
    ) -> None:
        """Take what it works with.

        Args:
            records: the jobs' records
            writer: what writes runs
            server: the tracking server's address, without secrets
            sweeps: tells whether this server is the one that looks after jobs that nobody leads

        """
        self._records = records
        self._writer = writer
        self._server = server
        self._sweeps = sweeps
        self._works: dict[str, _Work] = {}
        self._strays: dict[str, float] = {}
        self._changed = threading.Condition()
        self._stopping = False
        #: How often in a row the server was away, and until when it is let alone.
        self._failures = 0
        self._away_until = 0.0
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write nothing any more; what is not written yet is found by the next server."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._writer.close()
        if self._thread.ident is not None:
            self._thread.join(2)

    def tell(self, event: str, document: Mapping[str, Any]) -> None:
        """Take an event of a coordinator (see `docs/architecture.md`)."""
        name = str(document["job"])
        with self._changed:
            if event == "submitted":
                self._works[name] = _Work()
            elif event == "progress" and name in self._works:
                self._works[name].progress = (document, time.time())
                return
            elif event in ("finished", "refused"):
                work = self._works.setdefault(name, _Work())
                work.ended, work.due = True, 0.0
            elif event in ("taken_over", "handed_over"):
                self._works.pop(name, None)
            else:
                return
            self._changed.notify()

    def _run(self) -> None:
        busy = swept = time.monotonic()
        resting = True
        while not self._stopping:
            now = time.monotonic()
            if now - swept >= STRAY_SECONDS:
                swept = now
                self._guarded(self._sweep)
            name = self._next(now)
            if name is not None:
                self._guarded(partial(self._act, name))
                busy, resting = time.monotonic(), False
            elif not resting and now - busy > IDLE_SECONDS:
                self._writer.rest()
                resting = True
        self._writer.rest()

    def _next(self, now: float) -> str | None:
        """Return a job to write of; waits a moment, and returns None, when there is none."""
        with self._changed:
            if now >= self._away_until:
                for name, work in self._works.items():
                    if work.is_due(now):
                        return name
            self._changed.wait(_WAIT_SECONDS)
            return None

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:
            log.exception("MLflow runs: a fault")

    def _sweep(self) -> None:
        """Take on jobs that have ended, and that nobody writes of: their server died, or they never began."""
        if not self._sweeps():
            self._strays.clear()
            return
        now, found = time.monotonic(), self._records.rows.untracked()
        self._strays = {name: self._strays.get(name, now) for name in found}
        with self._changed:
            for name, since in self._strays.items():
                if now - since >= STRAY_SECONDS:
                    self._works.setdefault(name, _Work(ended=True))

    def _act(self, name: str) -> None:
        work = self._works.get(name)
        if work is None:
            return
        try:
            self._write(name, work)
        except GristmillError as error:  # the job's record, not its run
            log.info("job %s: its MLflow run waits: %s", name, error, extra=ids(job=name))
            work.due = time.monotonic() + _AGAIN_SECONDS

    def _write(self, name: str, work: _Work) -> None:
        """Write what is new of a job.

        Raises:
            GristmillError: its record cannot be read or written now.

        """
        ended = work.ended
        if ended or work.record is None:
            work.record = self._records.find(name)
        record = work.record
        if record is None or not record.run or record.run.get("state") == Track.REFUSED:
            self._drop(name, work)
            return
        if ended and record.state is not State.ENDED:
            # Its end is not written down yet; or it goes on already, and whoever begins it again says so.
            work.due = time.monotonic() + _AGAIN_SECONDS
            if record.state is State.QUEUED:
                self._drop(name, work)
            return
        request = self._request(record, work, ended=ended)
        try:
            answer = self._writer.write(request)
        except StorageFailed as error:
            self._away(name, work, error)
            return
        except Mistake as error:
            log.warning("job %s: its MLflow run is given up: %s", name, error, extra=ids(job=name))
            self._drop(name, work)
            self._note(name, {"state": Track.REFUSED, "note": str(error)})
            return
        self._written(name, work, answer, ended=ended)

    def _request(self, record: JobRecord, work: _Work, *, ended: bool) -> dict[str, Any]:
        known = str(record.run.get("run_id", "")) if record.run.get("server") == self._server else ""
        return {
            "run_id": known,
            "run": None if work.begun else run_document(record, parent=self._parent(record)),
            "points": self._points(record, work, ended=ended),
            "end": end_document(record) if ended else None,
        }

    def _parent(self, record: JobRecord) -> str:
        original = self._records.find(record.job.retry_of) if record.job.retry_of else None
        return str(original.run.get("run_id", "")) if original is not None else ""

    def _points(self, record: JobRecord, work: _Work, *, ended: bool) -> list[Point]:
        progress, work.progress = work.progress, None
        points = [point(record, *progress)] if progress is not None else []
        if points and points[0][2] == work.last:
            points = []
        work.last = points[0][2] if points else work.last
        return [*points, *([last_point(record)] if ended else [])]

    def _written(self, name: str, work: _Work, answer: Mapping[str, Any], *, ended: bool) -> None:
        if self._failures:
            log.info("MLflow runs are written again")
        self._failures, now = 0, time.monotonic()
        record = work.record
        assert record is not None
        if ended or not work.begun or record.run.get("note"):
            place = {key: answer[key] for key in ("run_id", "experiment_id")}
            note = str(answer.get("note", ""))
            known = self._note(name, {**place, "server": self._server, "note": note}, ended=ended)
            work.record = known or record
        if ended:
            self._drop(name, work)
        work.begun = True
        age = time.time() - record.job.submitted
        pause = max(POINT_SECONDS, min(MOST_POINT_SECONDS, age / _AGE_SHARE), _JOB_SECONDS * len(self._works))
        work.due = 0.0 if work.ended else now + pause

    def _away(self, name: str, work: _Work, error: StorageFailed) -> None:
        """Let the server alone for a while; another job is the next to find out whether it is back."""
        if self._stopping:
            return
        if not self._failures:
            log.warning("MLflow runs cannot be written now; jobs go on, and it is tried again: %s", error)
        self._away_until = time.monotonic() + min(MOST_AWAY_SECONDS, AWAY_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        with self._changed:
            if self._works.get(name) is work:
                self._works[name] = self._works.pop(name)
        if work.record is not None and not work.record.run.get("note"):
            work.record = self._note(name, {"note": str(error)}) or work.record

    def _note(self, name: str, changes: Mapping[str, Any], *, ended: bool = False) -> JobRecord | None:
        """Change what a job's record says of its run; return it as it stands then."""

        def how(record: JobRecord) -> dict[str, Any]:
            over = {"state": Track.ENDED} if ended and record.state is State.ENDED else {}
            run = {key: value for key, value in {**record.run, **changes, **over}.items() if value}
            return {"run": run} if run != record.run else {}

        try:
            return self._records.change(name, how)
        except GristmillError as error:
            log.info("job %s: what became of its MLflow run is not written down: %s", name, error, extra=ids(job=name))
            return None

    def _drop(self, name: str, work: _Work) -> None:
        """Forget a job, unless it was begun again meanwhile."""
        with self._changed:
            if self._works.get(name) is work:
                del self._works[name]


def make_tracking(
    records: Records, settings: ProcessSettings, *, writer: Writes | None = None, sweeps: Callable[[], bool]
) -> Tracking | None:
    """Return what keeps the jobs' runs; None where the settings want none, or nothing is there to write them.

    `writer`: what writes them; default: a process of its own, with this one's environment.
    """
    uri = settings.environment.get("MLFLOW_TRACKING_URI", "")
    if not uri or not settings.tracking:
        return None
    if writer is None and not is_possible():
        log.warning("jobs are no MLflow runs: MLflow is not installed (pip install 'gristmill[mlflow]')")
        return None
    server = without_secrets(uri).rstrip("/")
    return Tracking(records, writer or Tracker(settings.environment), server=server, sweeps=sweeps)

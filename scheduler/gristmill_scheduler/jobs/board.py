"""What the coordinators of this process tell of their jobs, kept for whoever asks, and written down when they end."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gristmill.errors import GristmillError, JobNotFound
from gristmill.log_context import ids
from gristmill.states import JobStatus
from gristmill_scheduler.jobs.record import JobRecord, State, ended
from gristmill_scheduler.jobs.records import Records

log = logging.getLogger("gristmill.jobs")

#: Ends that are remembered, at most.
_ENDS: Final = 4096

_NOT_STARTED = frozenset({JobStatus.NOT_STARTED, JobStatus.QUEUED})


@dataclass(frozen=True, kw_only=True)
class Live:
    """A job that is led here, as it was last told of."""

    status: JobStatus = JobStatus.QUEUED
    detail: str = ""
    #: The document of the event `progress`.
    progress: Mapping[str, Any] | None = None
    #: Seconds since the epoch at which its first instance had begun; None: none has.
    started: float | None = None


class Board:
    """What is known of the jobs led here; `tell` is what coordinators call."""

    def __init__(self, records: Records, *, changed: Callable[[], None]) -> None:
        """Take the jobs' records, and what is called when a job came or ended."""
        self._records = records
        self._changed = changed
        self._lock = threading.Lock()
        self._jobs: dict[str, Live] = {}
        #: Jobs that ended here lately, and when, by the clock that never jumps; the latest is last.
        self._ends: deque[tuple[str, float]] = deque(maxlen=_ENDS)
        #: Ends that storage has not taken yet.
        self._unsaved: dict[str, tuple[Mapping[str, Any], float | None]] = {}

    def find(self, name: str) -> Live | None:
        """Return a job that is led here; None for any other."""
        return self._jobs.get(name)

    @property
    def led(self) -> list[str]:
        """The jobs that are led here."""
        with self._lock:
            return list(self._jobs)

    def ended(self, seconds: float) -> list[str]:
        """Return the jobs that ended here in the last seconds, and are not led here again."""
        since = time.monotonic() - seconds
        return [name for name in {name for name, when in tuple(self._ends) if when >= since} if name not in self._jobs]

    def tell(self, event: str, document: Mapping[str, Any]) -> None:
        """Take an event of a coordinator (see `docs/architecture.md`)."""
        name = str(document["job"])
        if event == "submitted":
            self._see(name, lambda _live: Live())
        elif event == "status":
            self._hear(name, JobStatus(document["status"]), str(document["detail"]))
        elif event == "progress":
            progress = {key: value for key, value in document.items() if key != "job"}
            self._see(name, lambda live: replace(live, progress=progress))
        elif event == "refused":
            self._finish(name, {"status": JobStatus.FAILED, "error": document["error"]})
        elif event == "finished":
            self._finish(name, document)
        elif event in ("taken_over", "handed_over"):
            self._drop(name)

    def settle(self) -> None:
        """Write down the ends that storage refused before."""
        for name, (result, started) in list(self._unsaved.items()):
            self._write(name, result, started)

    def _hear(self, name: str, status: JobStatus, detail: str) -> None:
        """Take a status; that the first instance has begun is written down, for a server that takes the job over."""
        before = self._jobs.get(name, Live()).started
        self._see(name, lambda live: _with_status(live, status, detail))
        started = self._jobs.get(name, Live()).started
        if started is not None and before is None:
            try:
                self._records.change(name, lambda record: {} if record.started else {"started": started})
            except GristmillError as error:
                log.info("job %s: when it started is not written down: %s", name, error, extra=ids(job=name))

    def _see(self, name: str, how: Callable[[Live], Live]) -> None:
        with self._lock:
            self._jobs[name] = how(self._jobs.get(name, Live()))

    def _drop(self, name: str) -> None:
        with self._lock:
            self._jobs.pop(name, None)
        self._changed()

    def _finish(self, name: str, result: Mapping[str, Any]) -> None:
        live = self._jobs.get(name)
        self._write(name, result, live.started if live is not None else None)
        self._ends.append((name, time.monotonic()))
        self._drop(name)

    def _write(self, name: str, result: Mapping[str, Any], started: float | None) -> None:
        def how(record: JobRecord) -> dict[str, Any]:
            return ended(record, result, started=started) if record.state is State.BEGUN else {}

        try:
            self._records.change(name, how)
        except JobNotFound:
            end = result["status"]
            log.info("job %s ended: %s; it is none of this workspace", name, end, extra=ids(job=name))
        except GristmillError as error:
            log.warning("job %s: its end cannot be written down now: %s", name, error, extra=ids(job=name))
            self._unsaved[name] = (result, started)
            return
        self._unsaved.pop(name, None)


def _with_status(live: Live, status: JobStatus, detail: str) -> Live:
    if status.terminal:
        # It has ended when its record says so.
        return replace(live, status=JobStatus.FINALIZING, detail=detail)
    started = live.started or (None if status in _NOT_STARTED else time.time())
    return replace(live, status=status, detail=detail, started=started)

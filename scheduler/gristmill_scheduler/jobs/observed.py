"""What the exporter of metrics sees of a server's jobs: what is at hand, without a look at storage or the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gristmill.states import JobStatus
from gristmill_scheduler.jobs.board import Board, Live
from gristmill_scheduler.jobs.dispatcher import Dispatcher
from gristmill_scheduler.jobs.record import State
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.jobs.rows import Row
from gristmill_scheduler.leading import Leading


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSeen:
    """A job that is led here, or was until lately."""

    row: Row
    status: str
    #: Seconds since the epoch at which its first instance had begun; None: none has, or it has ended.
    started: float | None = None
    #: Seconds until all is scored; None: nobody can tell.
    eta: float | None = None
    #: When its coordinator last looked, in seconds since the epoch; 0: not yet, or not any more.
    looked: float = 0.0


@dataclass(kw_only=True, slots=True)
class Demand:
    """What is asked of a compute."""

    #: By jobs that have not ended.
    instances: int = 0
    #: Jobs that have not begun.
    queued: int = 0
    #: Seconds that the first of these has waited.
    oldest_seconds: float = 0.0


class Observed:
    """Tells of the jobs; safe to share between threads."""

    def __init__(self, records: Records, board: Board, leading: Leading, dispatcher: Dispatcher) -> None:
        """Take where it is at hand."""
        self._rows = records.rows
        self._board = board
        self._leading = leading
        self._dispatcher = dispatcher

    @property
    def dispatches(self) -> bool:
        """Whether this server begins the jobs of the workspace, as far as it knows."""
        return self._dispatcher.dispatches

    @property
    def looked(self) -> float:
        """When it last looked for jobs to begin, in seconds since the epoch; 0: not yet."""
        return self._dispatcher.looked

    def jobs(self, *, linger: float) -> list[JobSeen]:
        """Return the jobs that are led here, and those that ended here in the last `linger` seconds, oldest first.

        What another workspace of the same Redis server has is left to its own servers.
        """
        led = [(self._rows.find(name), self._board.find(name)) for name in self._board.led]
        ended = [(self._rows.find(name), None) for name in self._board.ended(linger)]
        seen = [self._seen(row, live) for row, live in (*led, *ended) if row is not None]
        return sorted(seen, key=lambda job: job.row.order)

    def counts(self) -> dict[str, int]:
        """Return how many jobs of the workspace have each status."""
        counted: dict[str, int] = dict.fromkeys(map(str, JobStatus), 0)
        counted |= {status: count for status, count in self._rows.counts().items() if status}
        for row in self._rows.unfinished():
            counted[self._status(row)] += 1
        return counted

    def demand(self) -> dict[str, Demand]:
        """Return what is asked of each compute that has something to do."""
        now, found = time.time(), dict[str, Demand]()
        for row in self._rows.unfinished():
            asked = found.setdefault(row.compute, Demand())
            asked.instances += row.instances
            if row.state is State.QUEUED:
                asked.queued += 1
                asked.oldest_seconds = max(asked.oldest_seconds, now - row.submitted)
        return found

    def _seen(self, row: Row, live: Live | None) -> JobSeen:
        if live is None:
            return JobSeen(row=row, status=self._status(row))
        coordinator = self._leading.find(row.name)
        return JobSeen(
            row=row,
            status=str(live.status),
            started=live.started,
            eta=(live.progress or {}).get("eta"),
            looked=coordinator.looked if coordinator is not None else 0.0,
        )

    def _status(self, row: Row) -> str:
        live = self._board.find(row.name)
        if row.status or live is not None:
            return row.status or str(live.status if live is not None else "")
        return str(JobStatus.QUEUED if row.state is State.QUEUED else JobStatus.RUNNING)

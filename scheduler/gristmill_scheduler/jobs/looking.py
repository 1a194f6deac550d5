"""Where jobs stand: from memory where they are led here, from their record where they have ended, else by a look."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from gristmill.errors import GristmillError, JobNotFound, LedgerFailed, LedgerLost, OtherVersion
from gristmill.log_context import ids
from gristmill.states import JobStatus
from gristmill_scheduler.jobs import shown
from gristmill_scheduler.jobs.board import Board, Live
from gristmill_scheduler.jobs.record import JobRecord, State
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.jobs.rows import row_of
from gristmill_scheduler.jobs.sharing import rank
from gristmill_scheduler.jobs.shown import CHILD_SUFFIX, Now
from gristmill_scheduler.jobs.waiting import Nodes, describe
from gristmill_scheduler.news import ITS_TURN, status_of
from gristmill_scheduler.progress import Progress
from gristmill_scheduler.standing import Standing
from gristmill_scheduler.wishes import Wishes
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Ledger, Snapshot

#: Seconds for which what the nodes say is not asked anew.
_NODES_SECONDS: Final = 1.0

#: What a coordinator says of a job without an instance; here it is said better.
_NO_INSTANCE: Final = "waiting for an instance"

#: In front of why a job is not begun.
NOT_BEGUN: Final = "cannot be begun, and is tried again"

log = logging.getLogger("gristmill.jobs")


class NodesSeen:
    """What nodes say of themselves, asked once a second at most; nothing where the ledger is away."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger."""
        self._ledger = ledger
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._nodes: Nodes = ()

    def __call__(self) -> Nodes:
        """Return what each node says."""
        with self._lock:
            if time.monotonic() - self._asked >= _NODES_SECONDS:
                try:
                    self._nodes = self._ledger.nodes()
                except LedgerFailed:
                    self._nodes = ()
                self._asked = time.monotonic()
            return self._nodes


class Looking:
    """Looks at jobs; nothing is changed by it."""

    def __init__(
        self,
        records: Records,
        board: Board,
        ledger: Ledger,
        *,
        nodes: Callable[[], Nodes],
        turn: Callable[[str], float | None],
        trouble: Callable[[str], str],
    ) -> None:
        """Take what this looks at.

        Args:
            records: the jobs' records
            board: what is told of jobs led here
            ledger: one whose calls end soon
            nodes: tells what each node says of itself
            turn: tells in how many seconds a place of a compute changes hands
            trouble: tells why a job that waits could not be begun here so far

        """
        self._records = records
        self._board = board
        self._ledger = ledger
        self._nodes = nodes
        self._turn = turn
        self._trouble = trouble

    def record(self, name: str) -> tuple[JobRecord, bool]:
        """Return the record of a job, or of the job whose child is named, and whether it is the child.

        Raises:
            JobNotFound: there is no such job.

        """
        record = self._records.find(name)
        if record is not None:
            return record, False
        if name.endswith(CHILD_SUFFIX):
            parent = self._records.find(name.removesuffix(CHILD_SUFFIX))
            if parent is not None:
                return parent, True
        raise JobNotFound(f"job {name}: there is none of that name")

    def document(self, record: JobRecord, *, child: bool = False) -> dict[str, Any]:
        """Return a job's document, or its child's."""
        document = shown.document(record, self.now(record))
        return shown.child_of(document) if child else document

    def now(self, record: JobRecord) -> Now | None:
        """Return where a job stands; None when it has ended."""
        if record.state is State.ENDED:
            return None
        if record.state is State.QUEUED:
            return Now(status=JobStatus.QUEUED, detail="paused" if record.paused else self._queued(record))
        live = self._board.find(record.name)
        if live is not None:
            return self._live(record, live)
        try:
            return self._elsewhere(record)
        except GristmillError as error:
            # Whoever asks for a list wants to hear of the other jobs.
            log.info("job %s cannot be looked at: %s", record.name, error, extra=ids(job=record.name))
            return Now(status=JobStatus.RUNNING, detail=f"where it stands cannot be looked at: {error.message}")

    def _queued(self, record: JobRecord) -> str:
        trouble = self._trouble(record.name) or record.trouble
        if trouble:
            return f"{NOT_BEGUN}: {trouble}"
        now, own = time.time(), row_of(record)
        others = (row for row in self._records.rows.unfinished() if row.compute == record.compute)
        ahead = sum(row.state is State.QUEUED and rank(row, now) < rank(own, now) for row in others)
        return self._waits(record, alive=0, ahead=ahead)

    def _waits(self, record: JobRecord, *, alive: int, ahead: int = 0) -> str:
        wanted = record.job.deployment.instance_count
        return describe(
            record.name,
            record.compute,
            wanted=wanted,
            alive=alive,
            nodes=self._nodes(),
            ahead=ahead,
            turn=self._turn(record.compute),
        )

    def _live(self, record: JobRecord, live: Live) -> Now:
        now = Now(status=live.status, detail=live.detail, progress=live.progress, started=live.started)
        return self._worded(record, now)

    def _worded(self, record: JobRecord, now: Now) -> Now:
        """Say better what a job without an instance waits for."""
        waits = now.detail in ("", _NO_INSTANCE) if now.status == JobStatus.QUEUED else now.detail == ITS_TURN
        if not waits:
            return now
        return replace(now, detail=self._waits(record, alive=int((now.progress or {}).get("instances", 0))))

    def _elsewhere(self, record: JobRecord) -> Now:
        """Look at a job that another server leads, or nobody for the moment."""
        try:
            snapshot = self._snapshot(record.name)
        except OtherVersion as error:
            return Now(status=JobStatus.RUNNING, detail=error.message)
        except LedgerFailed:
            return Now(
                status=JobStatus.RUNNING, detail="the Redis server cannot be reached: where it stands is unknown"
            )
        if snapshot is None:
            return self._unknown(record)
        status, detail = status_of(snapshot)
        if status is not JobStatus.FINALIZING and Wishes(open_store(record.folder)).look().cancel:
            status, detail = JobStatus.CANCEL_REQUESTED, ""
        return self._worded(record, Now(status=status, detail=detail, progress=Progress().document(snapshot)))

    def _unknown(self, record: JobRecord) -> Now:
        """Look at a job that the ledger does not know: it is about to begin, to be taken over, or has just ended."""
        standing = Standing(record.job, open_store(record.folder), None)
        if standing.result() is not None:
            return Now(status=JobStatus.FINALIZING)
        seen: Mapping[str, Any] = standing.document()
        counts = {name: seen[name] for name in ("items", "mini_batches", "rows")}
        begun = bool(counts["mini_batches"]["done"])
        detail = "it is about to be led by a server"
        return Now(status=JobStatus.RUNNING if begun else JobStatus.QUEUED, detail=detail, counts=counts)

    def _snapshot(self, name: str) -> Snapshot | None:
        try:
            return self._ledger.snapshot(name)
        except LedgerLost:
            return None

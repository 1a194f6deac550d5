"""Where a job stands, for whoever looks at it from outside: from its folder, and the ledger where that is known."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from gristmill.addresses import local_path
from gristmill.errors import Corrupt, LedgerLost, NotFound
from gristmill.running import is_claimed
from gristmill.spec import Job
from gristmill.states import JobStatus
from gristmill_scheduler.wishes import Wishes
from gristmill_storage import job_folder
from gristmill_storage.documents import read_document
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Ledger, Snapshot
from gristmill_storage.manifest import ManifestReader
from gristmill_storage.parts import PartReader, list_parts
from gristmill_storage.store import without_secrets

#: What a job is that nobody runs and nobody ended: it can be resumed.
INTERRUPTED: Final = "Interrupted"

#: What a job is whose cluster cannot be asked from here.
UNKNOWN: Final = "Unknown"

#: Seconds for which a free lead is taken to see that it is free.
PROBE_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Standing:
    """Looks at one job; nothing is changed by it."""

    job: Job
    folder: Store
    #: None where this process knows of no server.
    ledger: Ledger | None

    def result(self) -> dict[str, Any] | None:
        """Return how the job ended; None while it has not."""
        return _document(self.folder, job_folder.RESULT)

    def led(self) -> bool | None:
        """Return whether somebody runs or leads the job; None where that cannot be known from here."""
        path = local_path(self.folder.url)
        claimed = is_claimed(path) if path is not None else None
        if claimed:
            return True
        if self.ledger is None:
            return claimed
        probe = f"probe-{uuid.uuid4().hex}"
        if not self.ledger.lead(self.job.name, leader=probe, seconds=PROBE_SECONDS):
            return True
        self.ledger.unlead(self.job.name, leader=probe)
        return False

    def document(self) -> dict[str, Any]:
        """Return what `gristmill job show` prints."""
        result, led = self.result(), self.led()
        status, detail = self._status(result, led)
        summary = _document(self.folder, job_folder.SUMMARY) if result is not None else None
        ended = result or {}
        return {
            "name": self.job.name,
            "status": status,
            "detail": detail,
            "error": ended.get("error"),
            **(_summed(summary) if summary is not None else self._counted()),
            "output": ended.get("output"),
            "summary": ended.get("summary"),
            "errors": ended.get("errors"),
            "input": without_secrets(self.job.input.uri),
            "folder": self.folder.url,
            "retry_of": self.job.retry_of or None,
            "running": led,
        }

    def next_retry(self) -> tuple[str, bool]:
        """Return the name of the job that is to try this one's failed items again, and whether it was begun before."""
        number = 0
        while True:
            number += 1
            name = f"{self.job.name}-retry-{number}"
            folder = open_store(f"{self.folder.url.rpartition('/')[0]}/{name}")
            if not folder.exists(job_folder.SPEC):
                return name, False
            result = _document(folder, job_folder.RESULT) or {}
            if result.get("status") != JobStatus.COMPLETED:
                return name, True

    def _status(self, result: dict[str, Any] | None, led: bool | None) -> tuple[str, str]:
        if result is not None:
            return str(result.get("status")), ""
        if led is False:
            return INTERRUPTED, "nobody runs it, and it has not ended: gristmill job resume goes on with it"
        wish = Wishes(self.folder).look()
        waits = "paused" if wish.paused else ""
        if wish.cancel:
            return JobStatus.CANCEL_REQUESTED, ""
        if led is None:
            return UNKNOWN, waits or "GRISTMILL_REDIS_URL does not say which server to ask"
        snapshot = self._snapshot()
        if snapshot is not None and snapshot.state != "open":
            return JobStatus.FINALIZING, ""
        return JobStatus.RUNNING, waits

    def _snapshot(self) -> Snapshot | None:
        if self.ledger is None:
            return None
        try:
            return self.ledger.snapshot(self.job.name)
        except LedgerLost:
            return None

    def _counted(self) -> dict[str, Any]:
        """Return the counts of a job that has no summary: from the ledger, or else from its manifest and parts."""
        snapshot = self._snapshot()
        if snapshot is not None:
            return _counts(
                planned=snapshot.planned,
                done=snapshot.done,
                succeeded=snapshot.succeeded,
                failed=snapshot.failed,
                rows=snapshot.rows,
                whole=snapshot.plan_closed,
            )
        spans = ManifestReader(self.folder).spans()
        planned = spans[-1][1] + 1 if spans else 0
        best = self._blocks()
        return _counts(
            planned=planned,
            done=len(best),
            succeeded=sum(succeeded for succeeded, _, _ in best.values()),
            failed=sum(failed for _, failed, _ in best.values()),
            rows=sum(rows for _, _, rows in best.values()),
            whole=self.folder.exists(job_folder.MANIFEST_END),
        )

    def _blocks(self) -> dict[int, tuple[int, int, int]]:
        """Return (succeeded, failed, rows) of each mini-batch in the parts; where fewer items failed, that counts."""
        best: dict[int, tuple[int, int, int]] = {}
        for name in sorted(list_parts(self.folder)):
            try:
                with PartReader(self.folder, name) as part:
                    blocks = part.blocks()
            except (Corrupt, NotFound):
                continue
            for block in blocks:
                known = best.get(block.mini_batch)
                if known is None or block.failed < known[1]:
                    best[block.mini_batch] = (block.succeeded, block.failed, block.rows)
        return best


def _counts(*, planned: int, done: int, succeeded: int, failed: int, rows: int, whole: bool) -> dict[str, Any]:
    return {
        "mini_batches": {"planned": planned, "plan_closed": whole, "done": done},
        "items": {"succeeded": succeeded, "failed": failed},
        "rows": rows,
    }


def _summed(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: summary.get(name) for name in ("mini_batches", "items", "rows", "timing")}


def _document(folder: Store, path: str) -> dict[str, Any] | None:
    try:
        return read_document(folder, path)
    except NotFound:
        return None

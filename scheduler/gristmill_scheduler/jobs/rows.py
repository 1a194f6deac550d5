"""What is known of every job without a look at storage: enough to filter, to order, and to begin the next one."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gristmill.spec import Priority
from gristmill.states import JobStatus
from gristmill_scheduler.jobs.record import JobRecord, State
from gristmill_storage.workspace import tree_in


@dataclass(frozen=True, slots=True)
class Row:
    """One job."""

    name: str
    endpoint: str
    deployment: str
    compute: str
    #: Instances that it wants.
    instances: int
    #: Seconds since the epoch.
    submitted: float
    state: State
    #: How it ended; "" while it has not.
    status: str
    archived: bool
    paused: bool
    #: Of the record.
    version: int
    #: Its part of what is shared.
    priority: Priority = Priority.MEDIUM
    #: Whether it has ended, and its MLflow run does not say so yet.
    untracked: bool = False
    #: The uploaded trees that it reads: its input, its code, its model.
    uploads: tuple[str, ...] = ()
    #: Whether its model is a registry's: which upload that is, if any, the registry knows.
    registered: bool = False
    #: Key of its input's whole address in `addresses`; "": its record has that.
    input_key: str = ""
    #: Since when it is to read nothing again, in seconds since the epoch; None: something may.
    over: float | None = None

    @property
    def order(self) -> tuple[float, str]:
        """Where it stands among all: by submission."""
        return self.submitted, self.name


def row_of(record: JobRecord) -> Row:
    """Return what is kept in memory of a record."""
    model = record.job.deployment.model
    return Row(
        name=record.name,
        endpoint=_shared(record.endpoint),
        deployment=_shared(record.deployment),
        compute=_shared(record.compute),
        instances=record.job.deployment.instance_count,
        priority=record.job.deployment.settings.priority,
        submitted=record.job.submitted,
        state=record.state,
        status=_shared(str(record.status or "")),
        archived=record.archived,
        paused=record.paused,
        version=record.version,
        untracked=record.untracked,
        uploads=_uploads_of(record),
        registered=bool(model and model.reference),
        input_key=record.input_key,
        over=_over(record),
    )


def _uploads_of(record: JobRecord) -> tuple[str, ...]:
    deployment = record.job.deployment
    code, model = deployment.code_configuration, deployment.model
    addresses = (record.job.input.uri, code.code if code else "", model.path if model else "")
    trees = {tree for address in addresses if (tree := tree_in(address))}
    return tuple(_shared(tree) for tree in sorted(trees))


def _over(record: JobRecord) -> float | None:
    """Return since when a job reads nothing more; one that may be resumed does, unless it was put away."""
    if record.state is not State.ENDED or record.ended is None:
        return None
    items = (record.result or {}).get("items") or {}
    done = record.status is JobStatus.COMPLETED and not items.get("failed")
    if not (done or record.archived):
        return None
    return max(record.ended, record.modified)


class Rows:
    """All jobs, in order of submission; safe to share between threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._order: list[tuple[float, str]] = []
        #: Those that have not ended.
        self._open: set[str] = set()
        self._untracked: set[str] = set()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._rows)

    def put(self, row: Row) -> None:
        """Note a job as it stands; an older version than the one known is passed over."""
        with self._lock:
            known = self._rows.get(row.name)
            if known is not None and known.version > row.version:
                return
            if known is not None and known.order != row.order:
                del self._order[bisect.bisect_left(self._order, known.order)]
            if known is None or known.order != row.order:
                bisect.insort(self._order, row.order)
            self._rows[row.name] = row
            (self._open.discard if row.state is State.ENDED else self._open.add)(row.name)
            (self._untracked.add if row.untracked else self._untracked.discard)(row.name)

    def find(self, name: str) -> Row | None:
        """Return a job; None where there is none of that name."""
        return self._rows.get(name)

    def newest(self, after: Row | None = None) -> Iterator[Row]:
        """Yield jobs, the newest first; with `after`, those submitted before that one."""
        with self._lock:
            end = len(self._order) if after is None else bisect.bisect_left(self._order, after.order)
            names = [name for _, name in self._order[:end]]
        return (self._rows[name] for name in reversed(names))

    def unfinished(self) -> list[Row]:
        """Return the jobs that have not ended, in order of submission."""
        with self._lock:
            rows = [self._rows[name] for name in self._open]
        return sorted(rows, key=lambda row: row.order)

    def untracked(self) -> list[str]:
        """Return the jobs that have ended, and whose MLflow run does not say so yet."""
        with self._lock:
            return list(self._untracked)

    def all(self) -> list[Row]:
        """Return all jobs, in no order."""
        with self._lock:
            return list(self._rows.values())

    def counts(self) -> dict[str, int]:
        """Return how many jobs ended in which status; "" counts those that have not."""
        with self._lock:
            counted: dict[str, int] = {}
            for row in self._rows.values():
                counted[row.status] = counted.get(row.status, 0) + 1
        return counted

    def stale(self, versions: Mapping[str, int]) -> list[str]:
        """Return the names of those whose record has another version than the one known."""
        with self._lock:
            return [name for name, version in versions.items() if not self._is_known(name, version)]

    def _is_known(self, name: str, version: int) -> bool:
        row = self._rows.get(name)
        return row is not None and row.version >= version


_SEEN: dict[str, str] = {}


def _shared(text: str) -> str:
    """Return one object for equal texts: ten thousand jobs have few endpoints."""
    return _SEEN.setdefault(text, text)

"""The records of all jobs: documents in the workspace, made once, changed by compare-and-swap, known by their rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from gristmill.errors import (
    Conflict,
    GristmillError,
    JobNotFound,
    Mistake,
    OtherVersion,
    PreconditionFailed,
    StorageFailed,
)
from gristmill.log_context import ids
from gristmill_scheduler.jobs.record import JobRecord, read_record
from gristmill_scheduler.jobs.rows import Rows, row_of
from gristmill_storage.workspace import Documents

#: How often a change is tried that others forestall.
_TRIES: Final = 50

#: Seconds by which each further try waits longer.
_PAUSE: Final = 0.002

#: Records that are read at once.
_READERS: Final = 8

log = logging.getLogger("gristmill.jobs")


class Records:
    """All jobs' records; safe to share between threads, and between servers of one workspace."""

    def __init__(self, documents: Documents) -> None:
        """Take the collection; `refresh` fills the rows."""
        self._documents = documents
        self.rows = Rows()
        #: Jobs of which a newer server wrote what this one cannot read.
        self.newer: set[str] = set()

    def find(self, name: str) -> JobRecord | None:
        """Return a job's record; None where there is none.

        Raises:
            Corrupt: what stands there is no record.

        """
        try:
            found = self._documents.find(name)
        except Mistake:
            return None  # no job can have such a name
        if found is None:
            return None
        record = read_record(found.body, found.version)
        self.rows.put(row_of(record))
        return record

    def get(self, name: str) -> JobRecord:
        """Return a job's record.

        Raises:
            JobNotFound: there is no such job.

        """
        record = self.find(name)
        if record is None:
            raise JobNotFound(f"job {name}: there is none of that name")
        return record

    def create(self, record: JobRecord) -> JobRecord:
        """Write a new job down.

        Raises:
            Conflict: its name is taken.

        """
        try:
            written = self._documents.put(record.name, record.body(), expected=0)
        except Conflict as error:
            raise Conflict(f"job name: {record.name} is taken; give another name") from error
        return self._known(replace(record, version=written.version))

    def change(self, name: str, how: Callable[[JobRecord], Mapping[str, Any]], *, by: str = "") -> JobRecord:
        """Change a record, also when others do so at once; return it as it stands then.

        Args:
            name: the job's name
            how: returns what changes, given the record as it stands; may raise. Nothing: it stays as it is.
            by: who asks for it; "": the server itself

        Raises:
            JobNotFound: there is no such job.
            StorageFailed: others were faster again and again.

        """
        for attempt in range(_TRIES):
            record = self.get(name)
            changes = dict(how(record))
            if not changes:
                return record
            if by:
                changes |= {"modified": time.time(), "modified_by": by}
            changed = replace(record, **changes)
            try:
                written = self._documents.put(name, changed.body(), expected=record.version)
            except PreconditionFailed:
                time.sleep(_PAUSE * attempt)
                continue
            return self._known(replace(changed, version=written.version))
        raise StorageFailed(f"job {name}: its record is changed again and again by others; try again")

    def refresh(self) -> None:
        """Learn of what other servers wrote, by one listing and a look at each record that changed."""
        names = self.rows.stale(self._documents.versions())
        if not names:
            return
        with ThreadPoolExecutor(_READERS, thread_name_prefix="job-records") as readers:
            for _ in readers.map(self._learn, names):
                pass

    def _learn(self, name: str) -> None:
        try:
            self.find(name)
            self.newer.discard(name)
        except GristmillError as error:
            if isinstance(error, OtherVersion):
                self.newer.add(name)
            log.warning("job %s: its record cannot be read: %s", name, error, extra=ids(job=name))

    def _known(self, record: JobRecord) -> JobRecord:
        self.rows.put(row_of(record))
        return record

"""Addresses of inputs that hold a secret: a signature, a password. Records name them and do not hold them.

job-inputs/<key>    {"uri": the whole address}; the key is its hash, so that requests side by side keep the same one

A job's own `job.json` has the whole address from its beginning on: nodes read it there.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from gristmill.errors import Corrupt
from gristmill.spec import Job
from gristmill_scheduler.jobs.record import JobRecord
from gristmill_storage.store import has_secrets, without_secrets
from gristmill_storage.workspace import Documents


class Addresses:
    """Keeps the addresses of jobs that wait."""

    def __init__(self, documents: Documents) -> None:
        """Take the collection."""
        self._documents = documents

    def keep(self, job: Job) -> tuple[Job, str]:
        """Return a job fit for its record, and the key of its input's address, kept here; "" where none is secret."""
        uri = job.input.uri
        if not has_secrets(uri):
            return job, ""
        key = hashlib.sha256(uri.encode()).hexdigest()[:32]
        if self._documents.find(key) is None:
            self._documents.put(key, {"uri": uri})
        return presentable(job), key

    def forget(self, key: str) -> None:
        """Delete an address that no job is to be begun with any more."""
        if self._documents.find(key) is not None:
            self._documents.delete(key)

    def whole(self, record: JobRecord) -> Job:
        """Return the job of a record as it is to be begun.

        Raises:
            Corrupt: its input's address is not there.

        """
        if not record.input_key:
            return record.job
        found = self._documents.find(record.input_key)
        if found is None:
            raise Corrupt(f"job {record.name}: its input's address is not in the workspace; invoke it anew")
        return replace(record.job, input=replace(record.job.input, uri=str(found.body["uri"])))


def presentable(job: Job) -> Job:
    """Return a job without what is secret in its input's address."""
    if not has_secrets(job.input.uri):
        return job
    return replace(job, input=replace(job.input, uri=without_secrets(job.input.uri)))

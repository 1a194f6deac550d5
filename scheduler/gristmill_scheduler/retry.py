"""Begins a job that scores the failed items of a completed one again."""

from __future__ import annotations

from gristmill.errors import Mistake
from gristmill.spec import Job
from gristmill_storage.files import Store


def begin_retry(folder: Store, job: Job, *, name: str) -> tuple[Job, Store]:
    """Make the folder of the job `name` with the failed items of `job`; return it and its folder.

    Raises:
        Mistake: there is nothing to try again, or the job is not complete.

    """
    raise Mistake(f"{folder.url}: the failed items of job {job.name} cannot be tried again as {name} by this version")

"""Finds the job to go on with, from an output folder or from the job's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from gristmill import spec
from gristmill.addresses import local_path
from gristmill.errors import JobNotFound
from gristmill.states import JobStatus

#: Where jobs' folders lie in an output folder.
HIDDEN: Final = ".gristmill"

#: The job as it was submitted, and how it ended; both in its folder.
SPEC: Final = "job.json"
RESULT: Final = "result.json"


def find_job(address: str) -> tuple[str, spec.Job | None]:
    """Return the address of an unfinished job's folder and the job; None for one that cannot be read from here.

    Args:
        address: a job's folder, or an output folder: then the job that was submitted last of those not completed.

    Raises:
        JobNotFound: there is none.

    """
    path = local_path(address)
    if path is None:
        return address.rstrip("/"), None
    if (path / SPEC).is_file():
        return str(path), _read_job(path)
    folders = sorted(file.parent for file in path.glob(f"{HIDDEN}/*/{SPEC}"))
    if not folders:
        raise JobNotFound(f"{path}: no job was begun there; give a job's output folder, or its folder in {HIDDEN}/")
    jobs = [(job.submitted, folder, job) for folder in folders if not _completed(folder) for job in [_read_job(folder)]]
    if not jobs:
        raise JobNotFound(f"{path}: every job there is complete; there is nothing to resume")
    _, folder, job = max(jobs, key=lambda found: found[:2])
    return str(folder), job


def _read_job(folder: Path) -> spec.Job:
    try:
        return spec.from_json(spec.Job, json.loads((folder / SPEC).read_bytes()))
    except (OSError, ValueError) as error:
        raise JobNotFound(f"{folder / SPEC}: cannot be read: {error}") from None


def _completed(folder: Path) -> bool:
    try:
        result: Any = json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(result, dict) and result.get("status") == JobStatus.COMPLETED

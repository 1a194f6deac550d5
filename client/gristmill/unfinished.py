"""Finds the job that is meant, from an output folder or from the job's own."""

from __future__ import annotations

import json
from collections.abc import Callable
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
    return _find(address, _resumable)


def find_running(address: str) -> tuple[str, spec.Job | None]:
    """Return, as `find_job`, the job that was submitted last of those that have not ended; if all have, of all."""
    return _find(address, _running)


def find_complete(address: str) -> tuple[str, spec.Job | None]:
    """Return, as `find_job`, the job that was submitted last, jobs that tried another one's failed items again aside.

    Given such a job's own folder, that other one is meant.
    """
    folder, job = _find(address, _original)
    if job is not None and job.retry_of:
        original = Path(folder).with_name(job.retry_of)
        return str(original), _read_job(original)
    return folder, job


#: A job that was found, and its folder.
_Found = tuple[Path, spec.Job]


def _find(address: str, candidates: Callable[[Path, list[_Found]], list[_Found]]) -> tuple[str, spec.Job | None]:
    path = local_path(address)
    if path is None:
        return address.rstrip("/"), None
    if (path / SPEC).is_file():
        return str(path), _read_job(path)
    folders = sorted(file.parent for file in path.glob(f"{HIDDEN}/*/{SPEC}"))
    if not folders:
        raise JobNotFound(f"{path}: no job was begun there; give a job's output folder, or its folder in {HIDDEN}/")
    jobs = candidates(path, [(folder, _read_job(folder)) for folder in folders])
    folder, job = max(jobs, key=lambda found: (found[1].submitted, found[0]))
    return str(folder), job


def _resumable(path: Path, jobs: list[_Found]) -> list[_Found]:
    found = [(folder, job) for folder, job in jobs if _status(folder) != JobStatus.COMPLETED]
    if not found:
        raise JobNotFound(f"{path}: every job there is complete; there is nothing to resume")
    return found


def _running(_path: Path, jobs: list[_Found]) -> list[_Found]:
    return [(folder, job) for folder, job in jobs if not _status(folder)] or jobs


def _original(path: Path, jobs: list[_Found]) -> list[_Found]:
    found = [(folder, job) for folder, job in jobs if not job.retry_of]
    if not found:
        raise JobNotFound(f"{path}: of its jobs only those are left that tried failed items again; run the job anew")
    return found


def _read_job(folder: Path) -> spec.Job:
    try:
        return spec.from_json(spec.Job, json.loads((folder / SPEC).read_bytes()))
    except (OSError, ValueError) as error:
        raise JobNotFound(f"{folder / SPEC}: cannot be read: {error}") from None


def _status(folder: Path) -> str:
    """Return how a job ended; "" while it has not."""
    try:
        result: Any = json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return ""
    return str(result.get("status", "")) if isinstance(result, dict) else ""

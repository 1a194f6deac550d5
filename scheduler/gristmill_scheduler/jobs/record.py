"""What is kept of a job: enough to begin it anywhere, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from gristmill.errors import Corrupt
from gristmill.spec import Job, from_json, to_json
from gristmill.states import JobStatus
from gristmill_storage.documents import check_form

#: Version of the document; a reader refuses a greater one.
RECORD_VERSION: Final = 1


class State(StrEnum):
    """How far a job's record is."""

    #: It waits for room on its compute.
    QUEUED = "queued"
    #: It was begun: a scheduler leads it, or is to.
    BEGUN = "begun"
    ENDED = "ended"


class Way(StrEnum):
    """How a job is to be begun."""

    NEW = "new"
    #: Its folder holds what an earlier life has done, or a plan.
    RESUME = "resume"


class Track(StrEnum):
    """How far a job's MLflow run is."""

    #: There is to be one; it has no end yet.
    WANTED = "wanted"
    #: It says how the job ended.
    ENDED = "ended"
    #: The tracking server does not take it.
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """One job, as it stands in the workspace."""

    #: Without what is secret in its input's address (see `addresses`).
    job: Job
    #: Address of the job's folder.
    folder: str
    #: Names in lower case.
    endpoint: str
    deployment: str
    #: Version of the deployment's document that the job was made from.
    deployment_version: int = 0
    #: Who asked for it.
    by: str = ""
    #: What the caller calls its request; the same one makes no second job. "": it named none.
    request_id: str = ""
    #: As they were given, without what is secret: {name: {"type", "path"}}.
    inputs: dict[str, Any] = field(default_factory=dict)
    #: Key of the input's whole address in `addresses`; "" where the job has it.
    input_key: str = ""
    #: `key=value`: what was changed of the deployment.
    overrides: tuple[str, ...] = ()
    experiment_name: str = ""
    display_name: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    archived: bool = False
    state: State = State.QUEUED
    way: Way = Way.NEW
    #: Of a job that waits: it is passed over.
    paused: bool = False
    #: Of a job that waits: why it could not be begun so far; "": nothing is in its way.
    trouble: str = ""
    #: Seconds since the epoch; None: not yet.
    started: float | None = None
    ended: float | None = None
    modified: float = 0.0
    modified_by: str = ""
    #: How it ended: "status", "error", "output", "summary", "errors", "document" (the summary), and its counts.
    result: dict[str, Any] | None = None
    #: Its MLflow run: "state" (`Track`), "run_id", "experiment_id", "server", "note"; {}: there is to be none.
    run: dict[str, Any] = field(default_factory=dict)
    #: Of the document; 0: not yet written.
    version: int = 0

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job.name

    @property
    def compute(self) -> str:
        """The compute that it waits for or runs on."""
        return self.job.deployment.compute

    @property
    def status(self) -> JobStatus | None:
        """How it ended; None while it has not."""
        return JobStatus(self.result["status"]) if self.state is State.ENDED and self.result else None

    @property
    def untracked(self) -> bool:
        """Whether it has ended, and its MLflow run does not say so yet."""
        return self.state is State.ENDED and self.run.get("state") == Track.WANTED

    def body(self) -> dict[str, Any]:
        """Return the document."""
        values = {one.name: to_json(getattr(self, one.name)) for one in fields(self) if one.name != "version"}
        return {"record_version": RECORD_VERSION, **values}


def read_record(body: Mapping[str, Any], version: int) -> JobRecord:
    """Return the record of a document.

    Raises:
        Corrupt: it is none.
        OtherVersion: a newer server wrote it, in a form that this one does not know.

    """
    check_form(body.get("record_version"), RECORD_VERSION, "a job's record")
    try:
        known = {one.name: body[one.name] for one in fields(JobRecord) if one.name in body}
        return JobRecord(
            **{
                **known,
                "job": from_json(Job, body["job"]),
                "state": State(body["state"]),
                "way": Way(body["way"]),
                "overrides": tuple(body.get("overrides", ())),
                "version": version,
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"a job's record cannot be read: {error!r}") from error


def wanted(*, tracked: bool) -> dict[str, Any]:
    """Return what a new job's record says of its MLflow run."""
    return {"state": Track.WANTED} if tracked else {}


def ended(record: JobRecord, result: Mapping[str, Any], *, started: float | None = None) -> dict[str, Any]:
    """Return what changes of a record when its job ends.

    Args:
        record: the record
        result: the document of the coordinator's event `finished`
        started: when its first instance began, where that was seen

    """
    summary = result.get("document") or {}
    queued = (summary.get("seconds") or {}).get("queue")
    known = record.job.submitted + queued if queued is not None and record.way is Way.NEW else None
    kept = {name: result.get(name) for name in ("status", "error", "output", "summary", "errors")}
    counts = {name: summary.get(name) for name in ("items", "mini_batches", "rows")}
    # The deployment stands in the record already.
    document = {name: value for name, value in summary.items() if name not in ("deployment", "instances")} or None
    return {
        "state": State.ENDED,
        "paused": False,
        "started": record.started or started or known,
        "ended": time.time(),
        "result": {**kept, **counts, "document": document},
    }

"""What the scheduler says of a job, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gristmill.states import JobStatus


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is."""

    #: Seconds since the job was submitted.
    elapsed: float = 0.0
    #: Mini-batches known so far; all of them once `plan_closed`.
    planned: int = 0
    plan_closed: bool = False
    done: int = 0
    running: int = 0
    waiting_retry: int = 0
    items_planned: int = 0
    succeeded: int = 0
    failed: int = 0
    rows: int = 0
    #: Items a second over the last seconds.
    rate: float = 0.0
    #: Seconds until the end at this rate; None where nobody can say.
    eta: float | None = None
    instances: int = 0
    scorers: int = 0
    #: Attempts that failed and are tried again, by category.
    retries: Mapping[str, int] = field(default_factory=dict)

    @property
    def items_done(self) -> int:
        """Items that need no more work."""
        return self.succeeded + self.failed

    @property
    def fraction(self) -> float:
        """The part of the known mini-batches that is done, 0 to 1; 0 while nothing is planned."""
        return min(1.0, self.done / self.planned) if self.planned else 0.0

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Progress:
        """Return the progress of an event; what it lacks counts as nothing."""
        batches, items = document.get("mini_batches") or {}, document.get("items") or {}
        return cls(
            elapsed=float(document.get("elapsed") or 0.0),
            planned=int(batches.get("planned", 0)),
            plan_closed=bool(batches.get("plan_closed", False)),
            done=int(batches.get("done", 0)),
            running=int(batches.get("running", 0)),
            waiting_retry=int(batches.get("waiting_retry", 0)),
            items_planned=int(items.get("planned", 0)),
            succeeded=int(items.get("succeeded", 0)),
            failed=int(items.get("failed", 0)),
            rows=int(document.get("rows", 0)),
            rate=float(document.get("rate") or 0.0),
            eta=document.get("eta"),
            instances=int(document.get("instances", 0)),
            scorers=int(document.get("scorers", 0)),
            retries=dict(document.get("retries") or {}),
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended."""

    status: JobStatus
    #: `GristmillError.to_json` of what ended it; None after success.
    error: Mapping[str, Any] | None = None
    #: Addresses of what it left; "" for what there is not.
    output: str = ""
    summary: str = ""
    errors: str = ""
    #: The summary itself, so that it can be had where its address is not for this process to read.
    document: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Outcome:
        """Return the outcome of a `finished` event."""
        return cls(
            status=JobStatus(document["status"]),
            error=document.get("error"),
            output=document.get("output") or "",
            summary=document.get("summary") or "",
            errors=document.get("errors") or "",
            document=document.get("document"),
        )

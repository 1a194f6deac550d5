"""The states of a job, in Azure ML's words."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class JobStatus(StrEnum):
    """Where a job stands."""

    #: Accepted; nothing was done yet.
    NOT_STARTED = "NotStarted"
    #: Waiting for an instance.
    QUEUED = "Queued"
    #: An instance has taken it: model and environment are being made ready, init() runs.
    PREPARING = "Preparing"
    #: Mini-batches are being scored.
    RUNNING = "Running"
    #: Everything is scored; the parts are being merged.
    FINALIZING = "Finalizing"
    #: Somebody asked for its end.
    CANCEL_REQUESTED = "CancelRequested"
    #: Done: the output is there.
    COMPLETED = "Completed"
    #: Ended by a fault; what was scored can be resumed.
    FAILED = "Failed"
    #: Ended on request; what was scored can be resumed.
    CANCELED = "Canceled"

    @property
    def terminal(self) -> bool:
        """Whether a job in this state has ended."""
        return self in ENDED


#: The statuses of a job that has ended, in the order of the words above; `Paused` is none here.
ENDED: Final = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED)


class Category(StrEnum):
    """Why an attempt at a mini-batch failed; stands in errors.jsonl and in the summary's counts."""

    #: run() raised.
    EXCEPTION = "exception"
    #: run() returned something that is no list, tuple, array, Series or DataFrame.
    RETURN_TYPE = "return_type"
    #: run() returned fewer results than it was given items.
    MISSING_RESULTS = "missing_results"
    #: run() took longer than retry_settings.timeout.
    TIMEOUT = "timeout"
    #: The scorer's process died.
    CRASH = "crash"
    #: The instance that held the mini-batch was lost, again and again.
    LOST = "lost"
    #: A no-code item of a file type that has no reader.
    UNSUPPORTED = "unsupported"
    #: A no-code item that could not be read, or does not fit the model's signature.
    UNREADABLE = "unreadable"
    #: The result could not be written in the output's format.
    ENCODING = "encoding"
    #: The item could not be fetched from its store.
    FETCH = "fetch"

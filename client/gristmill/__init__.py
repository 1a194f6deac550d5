"""Batch inference on your own machines: pour a folder in, get one file back.

job = gristmill.run("deployment.yml", input="images/", output="scores/")
job.wait().to_pandas()
"""

from __future__ import annotations

from importlib import import_module

# What `typing` has of it takes longer to import than all that a process may need of this file.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from gristmill.api import resume, retry_failed, run, verify
    from gristmill.errors import (
        EnvironmentFailed,
        GristmillError,
        InitFailed,
        InputEmpty,
        InputNotFound,
        InvalidDeployment,
        InvalidDocument,
        InvalidSetting,
        JobCanceled,
        JobFailed,
        JobNotFound,
        LedgerFailed,
        MissingExtra,
        Mistake,
        ModelNotFound,
        NothingSucceeded,
        OutputExists,
        StorageFailed,
        ThresholdExceeded,
    )
    from gristmill.job import Job
    from gristmill.service.client import Client
    from gristmill.service.values import Input, Output
    from gristmill.states import JobStatus

__version__ = "0.1.0"

_ERRORS = (
    "EnvironmentFailed",
    "GristmillError",
    "InitFailed",
    "InputEmpty",
    "InputNotFound",
    "InvalidDeployment",
    "InvalidDocument",
    "InvalidSetting",
    "JobCanceled",
    "JobFailed",
    "JobNotFound",
    "LedgerFailed",
    "MissingExtra",
    "Mistake",
    "ModelNotFound",
    "NothingSucceeded",
    "OutputExists",
    "StorageFailed",
    "ThresholdExceeded",
)

#: What is imported when it is first asked for: every process runs this file, and starts sooner without.
_LATER = {
    **dict.fromkeys(_ERRORS, "gristmill.errors"),
    "Client": "gristmill.service.client",
    "Input": "gristmill.service.values",
    "Job": "gristmill.job",
    "JobStatus": "gristmill.states",
    "Output": "gristmill.service.values",
    "resume": "gristmill.api",
    "retry_failed": "gristmill.api",
    "run": "gristmill.api",
    "verify": "gristmill.api",
}

__all__ = [
    "Client",
    "EnvironmentFailed",
    "GristmillError",
    "InitFailed",
    "Input",
    "InputEmpty",
    "InputNotFound",
    "InvalidDeployment",
    "InvalidDocument",
    "InvalidSetting",
    "Job",
    "JobCanceled",
    "JobFailed",
    "JobNotFound",
    "JobStatus",
    "LedgerFailed",
    "MissingExtra",
    "Mistake",
    "ModelNotFound",
    "NothingSucceeded",
    "Output",
    "OutputExists",
    "StorageFailed",
    "ThresholdExceeded",
    "__version__",
    "resume",
    "retry_failed",
    "run",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'gristmill' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Every error that Gristmill raises, as one tree.

GristmillError                  exit code 1
├── Mistake                     2   something the user gave cannot be used; nothing was started
│   ├── InvalidDocument             a file or mapping (an endpoint, a model, ...), with all its faults
│   │   └── InvalidDeployment           a deployment's
│   ├── InvalidSetting              a process setting (an environment variable)
│   ├── InputNotFound               there is nothing at the input
│   ├── InputEmpty                  the input holds no file to score
│   ├── OutputExists                the output is already there
│   ├── ModelNotFound               no model at the path or reference
│   ├── JobNotFound                 no job in that folder (or of that name on the server: 3)
│   ├── ResourceNotFound        3   the server has no such endpoint, deployment, model, ...
│   ├── Conflict                    something of that name is there, or in a state that forbids it
│   ├── PreconditionFailed          somebody else changed it meanwhile
│   ├── Unauthorized                no token, or none that the server takes
│   ├── Forbidden                   the token's roles do not allow it
│   ├── TooLarge                    more than the server takes
│   ├── TooManyRequests             asked too often
│   └── MissingExtra                an optional part of the package is not installed
├── EnvironmentFailed           1   a Python environment cannot be had, or its build failed
├── JobFailed                   3   the job ran and failed
│   ├── InitFailed                  init() of the scoring script failed
│   ├── ThresholdExceeded           more items failed than error_threshold allows
│   └── NothingSucceeded            not one item was scored
├── JobCanceled                 130 the job was cancelled
├── StorageFailed               4   a store refused, or holds what it should not
│   ├── AlreadyExists               create-if-absent found something there
│   ├── NotFound                    nothing under that path
│   └── Corrupt                     a manifest or a part is damaged
├── ServerFailed                4   the server cannot be reached, or failed
└── LedgerFailed                4   the ledger's server cannot be reached, or answered nonsense
    ├── OtherVersion                a job, a message or a document is of a version that this one does not work with
    ├── Fenced                      the caller lost its lease: what it holds is no longer its own
    └── LedgerLost                  the ledger knows nothing of this job (its memory was lost)

A message is one line: the field or file, the value found, and the way to mend it.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, ClassVar, Final

#: What Azure's command line exits with where what is named is not there: scripts ask so whether something exists.
NOT_THERE: Final = 3


class GristmillError(Exception):
    """Root of all errors of Gristmill."""

    #: What the command line exits with when this error ends it.
    exit_code: int = 1

    #: Every class of the tree by its name, so that an error can cross a process as JSON.
    _classes: ClassVar[dict[str, type[GristmillError]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Note the class under its name."""
        super().__init_subclass__(**kwargs)
        GristmillError._classes[cls.__name__] = cls

    def __init__(self, message: str, *, detail: str = "") -> None:
        """Take the one line that says what is wrong, and an optional longer text (a traceback, a log's tail)."""
        super().__init__(message)
        self.message = message
        self.detail = detail

    def to_json(self) -> dict[str, Any]:
        """Return the error as it travels between processes and stands in files."""
        return {"class": type(self).__name__, "message": self.message, "detail": self.detail}

    @staticmethod
    def from_json(document: dict[str, Any]) -> GristmillError:
        """Return the error of `to_json`'s document; an unknown class becomes a plain `GristmillError`."""
        kind = GristmillError._classes.get(str(document.get("class")), GristmillError)
        error = GristmillError.__new__(kind)
        GristmillError.__init__(error, str(document.get("message", "")), detail=str(document.get("detail", "")))
        return error


def unexpected(what: str, error: Exception) -> GristmillError:
    """Return a fault of Gristmill's own, or of a library, as an error that names it and keeps its traceback."""
    detail = "".join(traceback.format_exception(error))
    return GristmillError(f"{what}: unexpected {type(error).__name__}: {error}", detail=detail)


class Mistake(GristmillError):
    """Something the user gave cannot be used; nothing was started."""

    exit_code = 2


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a document."""

    #: Dotted path of the field, "" for the document as a whole.
    field: str
    #: What is wrong with it, the value included, and how to mend it.
    message: str
    #: Line in the file, counted from 1; None where there is no file or no place.
    line: int | None = None

    def __str__(self) -> str:
        """Return the fault in one line."""
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.field}: {self.message}" if self.field else f"{place}{self.message}"


class InvalidDocument(Mistake):
    """A YAML file, or a mapping in its place, cannot be used; `faults` holds all that is wrong, in the file's order."""

    def __init__(self, source: str, faults: tuple[Fault, ...]) -> None:
        """Take where the document came from (a path, or a word) and its faults."""
        self.source = source
        self.faults = faults
        if len(faults) == 1:
            message = f"{source}: {faults[0]}"
        else:
            message = "\n  ".join([f"{source}: {len(faults)} faults", *map(str, faults)])
        super().__init__(message)


class InvalidDeployment(InvalidDocument):
    """A deployment file cannot be used."""


class InvalidSetting(Mistake):
    """A process setting (an environment variable) has a value that cannot be used."""


class InputNotFound(Mistake):
    """There is nothing at the input's address."""


class InputEmpty(Mistake):
    """The input holds no file to score."""


class OutputExists(Mistake):
    """The output is already there, and overwriting was not asked for."""


class ModelNotFound(Mistake):
    """There is no model at the path or under the reference."""


class JobNotFound(Mistake):
    """There is no job in that folder, or of that name on the server."""


class ResourceNotFound(Mistake):
    """The server has no such endpoint, deployment, model, ..."""

    exit_code = NOT_THERE


class Conflict(Mistake):
    """Something of that name is there already, or in a state in which this cannot be done."""


class PreconditionFailed(Mistake):
    """Somebody else changed it meanwhile: an update on what it was would undo that."""


class Unauthorized(Mistake):
    """The server was given no token, or none that it takes."""


class Forbidden(Mistake):
    """The token's roles do not allow this."""


class TooLarge(Mistake):
    """More bytes or files than the server takes."""


class TooManyRequests(Mistake):
    """Asked too often; later it may work."""


class MissingExtra(Mistake):
    """An optional part of the package is needed and not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        """Take what needs it ("reading s3://") and the extra's name ("s3")."""
        super().__init__(f"{purpose} needs an optional part: pip install 'gristmill[{extra}]'")


class EnvironmentFailed(GristmillError):
    """The Python environment that a deployment asks for cannot be had, or its build failed."""


class JobFailed(GristmillError):
    """The job ran and failed."""

    exit_code = 3


class InitFailed(JobFailed):
    """init() of the scoring script (or the loading of the model) failed; `detail` is its traceback."""


class ThresholdExceeded(JobFailed):
    """More items failed than error_threshold allows."""


class NothingSucceeded(JobFailed):
    """There is no succeeded mini batch item returned from run()."""


class JobCanceled(GristmillError):
    """The job was cancelled."""

    exit_code = 130


class StorageFailed(GristmillError):
    """A store refused, or holds what it should not."""

    exit_code = 4

    #: Whether it was waited for already, in vain.
    waited = False


class AlreadyExists(StorageFailed):
    """Create-if-absent found something there."""


class NotFound(StorageFailed):
    """There is nothing under that path."""


class Corrupt(StorageFailed):
    """A manifest or a part is damaged: its bytes are not what was written."""


class ServerFailed(GristmillError):
    """The server cannot be reached, or failed."""

    exit_code = 4


class LedgerFailed(GristmillError):
    """The ledger's server cannot be reached, or answered what it must not."""

    exit_code = 4


class OtherVersion(LedgerFailed):
    """A job, a message or a document is of a version of Gristmill that this one does not work with (`versions`)."""


class Fenced(LedgerFailed):
    """The caller's lease was taken from it: what it holds is no longer its own."""


class LedgerLost(LedgerFailed):
    """The ledger knows nothing of this job: the server's memory was lost, or the job was closed long ago."""

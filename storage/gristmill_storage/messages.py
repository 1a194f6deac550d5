"""What lies in a queue, whoever puts it there and whoever takes it: Celery's messages, of two tasks.

Nothing here needs Celery: `queue` sends and takes by it, `own_queue` without.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gristmill import versions
from gristmill.errors import GristmillError, OtherVersion
from gristmill.log_context import ids

#: Prefix of every key that Celery keeps, so that a server can be shared.
KEY_PREFIX: Final = "gristmill-celery:"

RUN_INSTANCE: Final = "gristmill.run_instance"
AGGREGATE: Final = "gristmill.aggregate"

#: Messages of a queue that are looked through for those of one job.
LOOKED_THROUGH: Final = 1000

log = logging.getLogger("gristmill.node")


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a task carries: where the job is, never its data."""

    #: The job's name.
    job: str
    #: The job's folder, an absolute path or a URL.
    folder: str
    #: Which of the job's instances this is, from 0; 0 for `aggregate`.
    slot: int = 0
    #: `aggregate`: whether the output is published, or only what went wrong is reported.
    publish: bool = True
    #: `aggregate`: whether what is finished is published as the part that it is, because the job was cancelled.
    partial: bool = False
    #: The span that it belongs to (W3C Trace Context); "": none.
    traceparent: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the message as its task's keyword arguments."""
        return {
            **({"traceparent": self.traceparent} if self.traceparent else {}),
            "version": versions.PROTOCOL,
            "job": self.job,
            "folder": self.folder,
            "slot": self.slot,
            "publish": self.publish,
            "partial": self.partial,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Message:
        """Return the message of a task's keyword arguments.

        Raises:
            ValueError: they are no message.
            OtherVersion: the message is of a protocol that this node does not work with.

        """
        version, job, folder = document.get("version"), document.get("job"), document.get("folder")
        if not isinstance(version, int):
            raise ValueError(f"a message of version {version!r}")  # noqa: TRY004 - it came from outside
        what = f"a message of job {job!s:.100}"
        if refusal := versions.refusal(version, what, this="this node", that="the scheduler that sent it"):
            raise OtherVersion(refusal)
        if not isinstance(job, str) or not isinstance(folder, str) or not job or not folder:
            raise ValueError("a message without a job or its folder")
        return cls(
            job=job,
            folder=folder,
            slot=int(document.get("slot", 0)),
            publish=bool(document.get("publish", True)),
            partial=bool(document.get("partial", False)),
            traceparent=str(document.get("traceparent", "")),
        )


def queue_name(compute: str) -> str:
    """Return the name of a compute's queue."""
    return f"gristmill.{compute}"


def opened(raw: str | bytes) -> tuple[str, dict[str, Any]]:
    """Return a message's task and its document as they lie in a queue.

    Raises:
        ValueError: it is no message of Celery's with a document; what it is instead is not shown.

    """
    try:
        envelope = json.loads(raw)
        task = envelope["headers"]["task"]
        _, document, _ = json.loads(base64.b64decode(envelope["body"]))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(type(error).__name__) from None
    if not isinstance(document, dict):
        raise ValueError("no document")  # noqa: TRY004 - it came from outside
    return str(task), document


def read(raw: bytes) -> tuple[str, Message] | None:
    """Return task and message as they lie in a queue; None for what is none of ours."""
    try:
        task, document = opened(raw)
        return task, Message.from_json(document)
    except (OtherVersion, ValueError, TypeError):
        return None


class Sender(Protocol):
    """The sending side. Each call raises `LedgerFailed` within a few seconds of a server that is away."""

    def send_instance(self, compute: str, message: Message) -> None:
        """Ask for one instance of a job on a compute."""

    def send_aggregate(self, compute: str, message: Message) -> None:
        """Ask for a job's parts to be merged."""

    def waiting(self, compute: str, job: str) -> list[tuple[str, Message]]:
        """Return the messages of a job that nobody has taken, each with its task; of a long queue, those taken next."""

    def remove(self, compute: str) -> None:
        """Delete a compute's queue and what Celery noted about it: for computes that live as long as one job."""

    def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True, kw_only=True)
class NodeTasks:
    """What a node does with each message, and what it does when told to leave."""

    run_instance: Callable[[Message], None]
    aggregate: Callable[[Message], None]
    #: Called with the reason when a message cannot be worked on here, because it, or its job, is of another version;
    #: the place is taken until it returns, so that others get the next messages.
    refuse: Callable[[str], None]
    #: Called once when the node begins to shut down; what runs must then come to its end by itself.
    drain: Callable[[], None]
    #: Called once when the node takes work.
    ready: Callable[[], None]
    #: Whether one task more may run.
    free: Callable[[], bool]
    #: Called when messages wait, `free` is true, and the consumer takes nothing any more. May begin the process anew;
    #: returns when that would cost work, and then a message is taken past the consumer.
    stalled: Callable[[], None]


def work_on(task: str, document: Mapping[str, Any], tasks: NodeTasks) -> None:
    """Do what a message asks for; whatever comes of it is logged, and nothing is raised."""
    try:
        message = Message.from_json(document)
    except OtherVersion as error:
        tasks.refuse(str(error))
        return
    except (ValueError, TypeError) as error:
        log.warning("refused a message of %s: %s", task, error)
        return
    try:
        (tasks.aggregate if task == AGGREGATE else tasks.run_instance)(message)
    except OtherVersion as error:
        tasks.refuse(str(error))
    except GristmillError as error:
        # Its one line says it.
        log.error("%s of job %s: %s", task, message.job, error, extra=ids(job=message.job))  # noqa: TRY400
    except Exception:
        log.exception("%s of job %s ended by a fault", task, message.job, extra=ids(job=message.job))

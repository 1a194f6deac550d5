"""What a node is asked to do for a job: the instance that it becomes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from gristmill.settings import ProcessSettings
from gristmill.spans import Span
from gristmill.spec import Job
from gristmill.tracing import NO_SPAN
from gristmill_storage.files import Store
from gristmill_storage.ledger import Ledger
from gristmill_workers.bench import Bench


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What an instance works for, and with."""

    job: Job
    #: The job's folder.
    folder: Store
    #: Which of the job's instances this is.
    slot: int
    ledger: Ledger
    settings: ProcessSettings
    #: Set when the node is to leave.
    drain: threading.Event
    #: Instances that use this machine's cores.
    share: int
    #: What tells of this instance in its job's trace.
    span: Span = NO_SPAN
    #: Where scorers rest between two jobs.
    bench: Bench = field(default_factory=lambda: Bench(places=1, seconds=0))

"""The reconciler: compares the instances that a job wants with those that live, and asks again for what is missing.

A message can be lost between a broker and a node, and a node can die. Neither is noticed by Celery in time, so nothing
here trusts it: an instance exists when the ledger says that it lives.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from gristmill.errors import LedgerFailed
from gristmill_storage.ledger import Snapshot
from gristmill_storage.queue import Message, Queue

#: Seconds that an instance may take from the queue to the ledger before it counts as lost.
ARRIVAL_SECONDS: Final = 3.0

#: Role of an aggregator among the instances of a job.
AGGREGATOR: Final = "aggregator"

log = logging.getLogger("gristmill.scheduler")


class Reconciler:
    """Asks a compute for what a job wants and does not have."""

    def __init__(self, queue: Queue, *, compute: str, job: str, folder: str, instances: int) -> None:
        """Take the queue, where the job's instances go, and how many it wants."""
        self._queue = queue
        self._compute = compute
        self._job = job
        self._folder = folder
        self._instances = instances
        self._sent: dict[int | str, float] = {}

    def assume_sent(self, snapshot: Snapshot) -> None:
        """Take what an earlier coordinator of the job would have asked for as asked for just now."""
        wanted: list[int | str] = [*range(self._instances)] if snapshot.state == "open" else [AGGREGATOR]
        self._sent = dict.fromkeys(wanted, time.monotonic())

    def want_instances(self, snapshot: Snapshot) -> None:
        """Ask for every instance that neither lives nor waits in the queue; a queue that is away is asked later."""
        try:
            self._want_instances(snapshot)
        except LedgerFailed as error:
            log.warning("job %s: %s", self._job, error)

    def want_aggregate(self, snapshot: Snapshot, *, publish: bool, partial: bool = False) -> None:
        """Ask for the aggregator unless it works already; a queue that is away is asked later."""
        try:
            self._want_aggregate(snapshot, publish=publish, partial=partial)
        except LedgerFailed as error:
            log.warning("job %s: %s", self._job, error)

    def _want_instances(self, snapshot: Snapshot) -> None:
        alive = {instance.info.get("slot") for instance in snapshot.instances}
        missing = [slot for slot in range(self._instances) if slot not in alive and self._due(slot)]
        if not missing or self._waiting():
            return
        for slot in missing:
            self._sent[slot] = time.monotonic()
            self._queue.send_instance(self._compute, Message(job=self._job, folder=self._folder, slot=slot))

    def _want_aggregate(self, snapshot: Snapshot, *, publish: bool, partial: bool) -> None:
        alive = any(instance.info.get("role") == AGGREGATOR for instance in snapshot.instances)
        if alive or not self._due(AGGREGATOR) or (AGGREGATOR in self._sent and self._waiting()):
            return
        self._sent[AGGREGATOR] = time.monotonic()
        message = Message(job=self._job, folder=self._folder, publish=publish, partial=partial)
        self._queue.send_aggregate(self._compute, message)

    def _due(self, what: int | str) -> bool:
        """Return whether it was never asked for, or so long ago that it should have arrived."""
        return time.monotonic() - self._sent.get(what, float("-inf")) >= ARRIVAL_SECONDS

    def _waiting(self) -> bool:
        """Return whether messages that nobody has taken lie in the queue: then sending more helps nobody."""
        return bool(self._sent) and self._queue.length(self._compute) > 0

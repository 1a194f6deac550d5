"""The reconciler: compares the instances that a job wants with those that live, and asks again for what is missing.

A message can be lost between a broker and a node, and a node can die. Neither is noticed by Celery in time, so nothing
here trusts it: an instance exists when the ledger says that it lives.

A compute's queue holds the messages of all its jobs. Those of others say nothing of this one's: only its own are looked
for. A job that has a share of its compute asks for no more instances than that, and for one beside it that it has no
place for now: so the queue shows, to whoever adds nodes, that they would have work. It costs one refusal a place that
becomes free.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from gristmill.errors import LedgerFailed
from gristmill_storage.ledger import Snapshot
from gristmill_storage.messages import AGGREGATE, Message, Sender

#: Seconds that an instance may take from the queue to the ledger before it counts as lost.
ARRIVAL_SECONDS: Final = 3.0

#: Role of an aggregator among the instances of a job.
AGGREGATOR: Final = "aggregator"

log = logging.getLogger("gristmill.scheduler")


class Reconciler:
    """Asks a compute for what a job wants and does not have."""

    def __init__(
        self,
        queue: Sender,
        *,
        compute: str,
        job: str,
        folder: str,
        instances: int,
        traceparent: str = "",
        check: Callable[[], object] = lambda: None,
    ) -> None:
        """Take the queue, where the job's instances go, how many it wants, and which span they are children of.

        `check` raises where there is no point in asking once more for what was asked for and has not come.
        """
        self._traceparent = traceparent
        self._check = check
        self._queue = queue
        self._compute = compute
        self._job = job
        self._folder = folder
        self._instances = instances
        self._sent: dict[int | str, float] = {}
        #: How many instances could have worked when that was last looked at.
        self._allowed = 0

    def assume_sent(self, snapshot: Snapshot) -> None:
        """Take what an earlier coordinator of the job would have asked for as asked for just now."""
        wanted: list[int | str] = [*range(self._instances)] if snapshot.state == "open" else [AGGREGATOR]
        self._sent = dict.fromkeys(wanted, time.monotonic())
        self._allowed = self._most(snapshot)

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

    def _most(self, snapshot: Snapshot) -> int:
        """Return how many instances may work now."""
        return self._instances if snapshot.share is None else min(self._instances, snapshot.share)

    def _want_instances(self, snapshot: Snapshot) -> None:
        alive = {each.info.get("slot") for each in snapshot.instances if each.info.get("role") != AGGREGATOR}
        before, self._allowed = self._allowed, self._most(snapshot)
        again = bool(self._sent) and self._allowed > before
        missing = [slot for slot in range(self._instances) if slot not in alive]
        due = [slot for slot in missing if again or self._due(slot)]
        # One more than may work tells whoever looks at the queue that there is work for more nodes.
        count = min(self._instances, self._allowed + 1) - len(alive) - (len(missing) - len(due))
        if not due or count <= 0:
            return
        self._send(due, count)

    def _send(self, due: list[int], count: int) -> None:
        """Ask for so many of these instances, less what was asked for and lies in the queue."""
        now = time.monotonic()
        lying = {message.slot for task, message in self._lying() if task != AGGREGATE}
        for slot in lying.intersection(due):
            self._sent[slot] = now  # it is looked for again when it should have arrived
        wanted = [slot for slot in due if slot not in lying][: max(0, count - len(lying.intersection(due)))]
        if not self._sent.keys().isdisjoint(wanted):
            self._check()
        for slot in wanted:
            self._sent[slot] = now
            log.info("job %s: instance %d is asked for on %s", self._job, slot, self._compute)
            self._queue.send_instance(self._compute, self._message(slot=slot))

    def _want_aggregate(self, snapshot: Snapshot, *, publish: bool, partial: bool) -> None:
        alive = any(instance.info.get("role") == AGGREGATOR for instance in snapshot.instances)
        if alive or not self._due(AGGREGATOR):
            return
        asked = AGGREGATOR in self._sent
        lies = asked and any(task == AGGREGATE for task, _ in self._lying())
        self._sent[AGGREGATOR] = time.monotonic()
        if not lies:
            if asked:
                self._check()
            log.info("job %s: an aggregator is asked for on %s", self._job, self._compute)
            self._queue.send_aggregate(self._compute, self._message(publish=publish, partial=partial))

    def _message(self, *, slot: int = 0, publish: bool = True, partial: bool = False) -> Message:
        return Message(
            job=self._job,
            folder=self._folder,
            slot=slot,
            publish=publish,
            partial=partial,
            traceparent=self._traceparent,
        )

    def _due(self, what: int | str) -> bool:
        """Return whether it was never asked for, or so long ago that it should have arrived."""
        return time.monotonic() - self._sent.get(what, float("-inf")) >= ARRIVAL_SECONDS

    def _lying(self) -> list[tuple[str, Message]]:
        """Return this job's messages that nobody has taken; before the first one there is none."""
        return self._queue.waiting(self._compute, self._job) if self._sent else []

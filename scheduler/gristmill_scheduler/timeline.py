"""When a job reached each of its stations; the aggregator puts it into the summary."""

from __future__ import annotations

import json
import time
from typing import Any

from gristmill_storage.ledger import InstanceInfo, Snapshot


class Timeline:
    """Moments of a job, in seconds since the epoch, each noted once."""

    def __init__(self, submitted: float) -> None:
        """Take when the job was submitted."""
        self._moments: dict[str, float] = {"submitted": submitted, "opened": time.time()}
        self._nodes: dict[str, dict[str, Any]] = {}

    def note(self, station: str) -> None:
        """Note that a station was reached now, unless it was before."""
        self._moments.setdefault(station, time.time())

    def see(self, snapshot: Snapshot) -> None:
        """Note what a snapshot shows."""
        if snapshot.plan_closed:
            self.note("planned")
        if snapshot.instances:
            self.note("taken")
        if snapshot.done:
            self.note("first_result")
        for instance in snapshot.instances:
            if instance.info.get("role") == "instance":
                self._see_instance(instance)

    def _see_instance(self, instance: InstanceInfo) -> None:
        """Note what an instance says of itself; its first scorer's moment is by its own node's clock."""
        self._nodes[instance.name] = dict(instance.info)
        ready = instance.info.get("ready_at")
        if ready is not None:
            self._moments["ready"] = min(float(ready), self._moments.get("ready", float("inf")))

    def to_bytes(self, snapshot: Snapshot) -> bytes:
        """Return the document that stands in the job's folder."""
        document = {
            "moments": self._moments,
            "instances": self._nodes,
            "attempts_failed": dict(snapshot.failures),
            "losses": snapshot.losses,
            "expiries": snapshot.expiries,
            "fenced": snapshot.fenced,
            "error": snapshot.error,
            "state": snapshot.state,
        }
        return json.dumps(document).encode()

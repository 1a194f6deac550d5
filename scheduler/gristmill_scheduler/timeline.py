"""When a job reached each of its stations; the aggregator puts it into the summary.

What is known is kept in the job's folder every few seconds, so that a coordinator that takes the job over goes on with
it, and its counts outlive a ledger that lost its memory.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from typing import Any, Final

from gristmill.errors import NotFound, StorageFailed
from gristmill_storage import job_folder
from gristmill_storage.documents import read_document
from gristmill_storage.files import Store
from gristmill_storage.ledger import InstanceInfo, Snapshot

#: Seconds between two times that it is written down while the job runs.
KEEP_SECONDS: Final = 3.0

#: The station behind which only the aggregator has something to do.
SCORED: Final = "scored"

_COUNTS: Final = ("losses", "expiries", "fenced")

log = logging.getLogger("gristmill.scheduler")


class Timeline:
    """Moments of a job, in seconds since the epoch, each noted once."""

    def __init__(self, submitted: float) -> None:
        """Take when the job was submitted."""
        self._moments: dict[str, float] = {"submitted": submitted, "opened": time.time()}
        self._nodes: dict[str, dict[str, Any]] = {}
        #: What the ledger's present life has counted, as last seen, and its lives before that.
        self._counts: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._epoch = ""
        self._kept = time.monotonic()

    def note(self, station: str) -> None:
        """Note that a station was reached now, unless it was before."""
        self._moments.setdefault(station, time.time())

    def reached(self, station: str) -> bool:
        """Return whether a station was reached, as far as was written down."""
        return station in self._moments

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
        self._count(snapshot)

    def keep(self, folder: Store, snapshot: Snapshot) -> None:
        """Write it down if that was not done for some seconds."""
        if time.monotonic() - self._kept >= KEEP_SECONDS:
            self.save(folder, snapshot)

    def save(self, folder: Store, snapshot: Snapshot) -> None:
        """Write it down; a store that refuses that costs the job nothing."""
        self._kept = time.monotonic()
        try:
            folder.replace(job_folder.TIMELINE, self.to_bytes(snapshot))
        except StorageFailed as error:
            log.warning("%s: the timeline could not be written: %s", folder.url, error)

    def restore(self, folder: Store) -> None:
        """Go on from what another coordinator of the job wrote down; where that cannot be read, from now."""
        try:
            document = read_document(folder, job_folder.TIMELINE)
            moments, before = dict(document["moments"]), Counter(document.get("counts", {}))
            nodes, epoch = dict(document["instances"]), str(document.get("epoch", ""))
        except NotFound:
            return
        except (StorageFailed, ValueError, TypeError, KeyError) as error:
            log.warning("%s: the timeline cannot be read: %s", folder.url, error)
            return
        self._moments.update(moments)
        self._nodes.update(nodes)
        self._counts, self._epoch = before, epoch
        self._before = Counter(document.get("counts_before", {}))

    def _see_instance(self, instance: InstanceInfo) -> None:
        """Note what an instance says of itself; when it was ready to score counts once, by this machine's clock."""
        known = self._nodes.get(instance.name, {})
        self._nodes[instance.name] = dict(instance.info)
        after = instance.info.get("ready_after")
        if after is not None and known.get("ready_after") is None:
            ready = time.time() - max(0.0, instance.alive_seconds - float(after))
            self._moments["ready"] = min(ready, self._moments.get("ready", float("inf")))

    def _count(self, snapshot: Snapshot) -> None:
        """Note the counts; those of a life of the ledger that is over are added to what came before."""
        if self._epoch not in ("", snapshot.epoch):
            self._before += self._counts
        self._epoch = snapshot.epoch
        counts = {name: getattr(snapshot, name) for name in _COUNTS}
        failures = {f"failed:{category}": count for category, count in snapshot.failures.items()}
        self._counts = Counter({**counts, **failures})

    def to_bytes(self, snapshot: Snapshot) -> bytes:
        """Return the document that stands in the job's folder."""
        counts = self._before + self._counts
        document = {
            "moments": self._moments,
            "instances": self._nodes,
            "attempts_failed": {name[7:]: count for name, count in counts.items() if name.startswith("failed:")},
            **{name: counts[name] for name in _COUNTS},
            "error": snapshot.error,
            "state": snapshot.state,
            "epoch": self._epoch,
            "counts": self._counts,
            "counts_before": self._before,
        }
        return json.dumps(document).encode()

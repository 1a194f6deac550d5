"""Sources of metrics with everything in them that can be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gristmill.errors import LedgerFailed
from gristmill.spec import Priority
from gristmill_scheduler.jobs.observed import Demand, JobSeen
from gristmill_scheduler.jobs.record import State
from gristmill_scheduler.jobs.rows import Row
from gristmill_scheduler.metrics.exporter import Bounds, Exporter, Sources
from gristmill_storage.ledger import Health, Holding, InstanceInfo, JobMeasures, Snapshot

TALLIES = {
    "run:0.01": 3,
    "run:0.5": 1,
    "run:7": 2,
    "run:us": 15_530_000,
    "init:1": 1,
    "init:us": 800_000,
    "item:timeout": 2,
    "item:unknown": 1,
    "storage:faults": 3,
    "node:done:n 1": 5,
    "node:items_done:n 1": 10,
    "node:rows:n 1": 9,
    "node:done:": 1,
}


def seen(name: str = "j", **given: Any) -> JobSeen:
    row = Row(
        name=name, endpoint="e", deployment="d", compute="gpu", instances=3, submitted=100.0, state=State.BEGUN,
        status=given.pop("ended", ""), archived=False, paused=False, version=1, priority=Priority.MEDIUM,
    )  # fmt: skip
    return JobSeen(**{"row": row, "status": "Running", "started": 101.0, "eta": 9.5, "looked": 200.0, **given})


def instance(name: str, **info: Any) -> InstanceInfo:
    return InstanceInfo(name=name, info=info, alive_seconds=5)


def measured(**given: Any) -> JobMeasures:
    instances = [
        instance("a", role="instance", node="n 1", scorers=2, busy=1),
        instance("b", role="instance", node="n 1", scorers=2, busy=2, waiting="storage"),
        instance("c", role="instance"),
        instance("d", role="aggregator", node="n2", merged=4),
    ]
    found = Snapshot(
        state="open", error=None, epoch="1", planned=20, plan_closed=True, items_planned=40, size_planned=400, done=6,
        leased=5, returned=2, cursor=13, items_done=12, succeeded=9, failed=3, rows=9, size=77,
        failures={"exception": 4}, losses=1, expiries=1, instances=instances, parts=3, seconds_since_commit=1.5,
        fenced=2, status="", copies=1, outrun=1,
    )  # fmt: skip
    holding = {"a": Holding(oldest_seconds=3.0, mini_batches=4), "b": Holding(oldest_seconds=5.0, mini_batches=1)}
    whole = JobMeasures(snapshot=found, threshold=5, lease_seconds=30.0, tallies=TALLIES, holding=holding)
    return replace(whole, **given)


@dataclass
class World:
    """What there is; each part may be changed."""

    dispatches: bool = True
    looked: float = 150.0
    led: list[JobSeen] = field(default_factory=lambda: [seen()])
    found: dict[str, JobMeasures] = field(default_factory=lambda: {"j": measured()})
    away: bool = False
    scrapes: int = 0
    lingers: list[float] = field(default_factory=list)
    said: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {
                "host": "n 1", "compute": "gpu", "pid": 7, "slots": 2, "running": ["j", None], "age_seconds": 0.5,
                "machine": {
                    "cpus": 4, "cpu_seconds": 12.5, "memory": 100, "memory_available": 60,
                    "gpus": [{"utilization": 0.5, "memory": 10, "memory_used": 4}],
                },
            },
            {"host": "old", "compute": "cpu", "pid": 8},
        ]
    )  # fmt: skip

    def jobs(self, names: Any = None, *, linger: float = 0.0) -> Any:
        if names is None:
            self.lingers.append(linger)
            return list(self.led)
        return {name: self.found[name] for name in names if name in self.found}

    def counts(self) -> Mapping[str, int]:
        return {"Running": 1, "Completed": 7}

    def demand(self) -> Mapping[str, Demand]:
        return {"gpu": Demand(instances=3, queued=1, oldest_seconds=4.0)}

    def health(self) -> Health:
        self.scrapes += 1
        self._check()
        return Health(latency_seconds=0.001, numbers={"used_memory": 5, "evicted_keys": 0}, writes=True, jobs=1)

    def nodes(self) -> Sequence[Mapping[str, Any]]:
        self._check()
        return self.said

    def waiting(self, compute: str) -> int:
        self._check()
        return len(compute)

    def _check(self) -> None:
        if self.away:
            raise LedgerFailed("redis://x cannot be used")

    def exporter(self, *, shared_seconds: float = 0.0, **bounds: Any) -> Exporter:
        sources = Sources(jobs=self, ledger=self, nodes=self.nodes, waiting=self.waiting)  # type: ignore[arg-type]
        return Exporter(sources, Bounds(**bounds), shared_seconds=shared_seconds)


@pytest.fixture
def world() -> World:
    return World()

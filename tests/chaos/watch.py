"""Watches a job from outside: whether anything moves, when nothing did, and where the job is.

Work moves when a scorer ends a run(), when the ledger's count of done mini-batches reaches a new height, when the
job's state changes, when the result appears. The clock of standing still is held while nothing could work by our own
hand (Redis is down, every node is away).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

import redis

from chaos.workload import Workload
from chaos.world import REDIS, World
from gristmill_storage.ledger.scripts import key

#: Seconds between two looks.
GLANCE: Final = 0.1


@dataclass(kw_only=True)
class Gap:
    """A time in which nothing moved."""

    #: By the monotonic clock.
    start: float
    end: float = 0.0
    #: Seconds of it in which something could have moved.
    seconds: float = 0.0


@dataclass(kw_only=True)
class Sight:
    """What a look shows."""

    #: run() calls that ended, by node.
    runs: dict[str, int] = field(default_factory=dict)
    #: The ledger's state of the job; "" when it knows nothing of it, None when it does not answer.
    state: str | None = None
    done: int = 0


class Watch:
    """Looks at one job again and again, in a thread of its own."""

    def __init__(self, world: World, workload: Workload, job: str) -> None:
        """Begin."""
        self._world = world
        self._workload = workload
        self._job = job
        self._client = redis.Redis.from_url(
            world.watch_url, socket_timeout=1, socket_connect_timeout=1, decode_responses=True, protocol=2
        )
        self.began = time.monotonic()
        self.sight = Sight()
        self.gaps: list[Gap] = []
        #: When each node's scorers last ended a run().
        self.worked: dict[str, float] = {}
        #: Seconds of the longest time in which a node that was there did nothing.
        self.longest_idle = 0.0
        self._idle: dict[str, float] = {}
        #: The most mini-batches that were done at once.
        self.most_done = 0
        #: When the ledger first said that all is scored.
        self.scored_at: float | None = None
        self._state = ""
        self._begun = False
        self._gap = Gap(start=self.began)
        self._looked = self.began
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; the last gap counts."""
        self._stopping.set()
        self._thread.join()
        self._moved(time.monotonic())
        self._client.close()

    def ledger(self, call: str, *arguments: Any) -> Any:
        """Ask the server something; None when it does not answer."""
        with contextlib.suppress(redis.RedisError):
            return self._client.execute_command(call, *arguments)
        return None

    def _run(self) -> None:
        while not self._stopping.wait(GLANCE):
            self._look()

    def _look(self) -> None:
        before, self.sight = self.sight, self._see()
        now = time.monotonic()
        if not self._world.nothing_can_work:
            self._gap.seconds += now - self._looked
        for node in self._world.nodes:
            self._look_at(node, self.sight.runs.get(node, 0) > before.runs.get(node, 0), now)
        self._looked = now
        if self.sight.state == "scored" and self.scored_at is None:
            self.scored_at = now
        if self._moves(before):
            self._moved(now)

    def _look_at(self, node: str, works: bool, now: float) -> None:
        """Note that a node works, or for how long it has not although it could."""
        away = self._world.away
        if works:
            self.worked[node] = now
            self._idle[node] = 0.0
        elif self.sight.state == "open" and not (away[node] or away[REDIS]):
            self._idle[node] = self._idle.get(node, 0.0) + now - self._looked
            self.longest_idle = max(self.longest_idle, self._idle[node])

    def _moves(self, before: Sight) -> bool:
        further = self.sight.done > self.most_done
        self.most_done = max(self.most_done, self.sight.done)
        changed = bool(self.sight.state) and self.sight.state != self._state
        self._state = self.sight.state or self._state
        return further or changed or sum(self.sight.runs.values()) > sum(before.runs.values())

    def _moved(self, now: float) -> None:
        """End a gap; what comes before the first run() is the job's start, and no standing still."""
        self._gap.end = now
        if self._begun:
            self.gaps.append(self._gap)
        self._begun = bool(self.worked)
        self._gap = Gap(start=now)

    def _see(self) -> Sight:
        runs = self._workload.runs(self._job)
        try:
            fields: Any = self._client.hmget(key(self._job, "job"), ["state", "done"])
        except redis.RedisError:
            return Sight(runs=runs)
        state, done = fields
        return Sight(runs=runs, state=state or "", done=int(done or 0))

    def fenced(self) -> int:
        """Return how many late commits the ledger has refused."""
        return int(self.ledger("HGET", key(self._job, "job"), "fenced") or 0)

    def aggregator_node(self) -> str | None:
        """Return the node on which the aggregator works now."""
        for text in (self.ledger("HVALS", key(self._job, "info")) or []) if self.sight.state == "scored" else []:
            info = json.loads(text.partition(":")[2])
            if info.get("role") == "aggregator":
                return str(info["node"])
        return None

"""The ledger in this process's memory, for tests: what `Ledger` does, without a server.

The same tests run over both, and a state machine compares them step by step. Nothing is shared between processes, and
nothing ever expires by itself save leases.
"""

from __future__ import annotations

import itertools
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gristmill.errors import Fenced, LedgerFailed, LedgerLost
from gristmill_storage.ledger.leasing import Asked, lease
from gristmill_storage.ledger.ledger import Ledger
from gristmill_storage.ledger.model import GRACE, Instance, Job, cut, length
from gristmill_storage.ledger.records import (
    Commit,
    Entry,
    InstanceInfo,
    Lease,
    Over,
    Range,
    Registration,
    Snapshot,
    Wait,
)
from gristmill_storage.ledger.replies import node as told_node

_SUMS = ("items_done", "succeeded", "failed", "rows", "size", "losses", "expiries", "fenced", "copies", "outrun")


class MemoryLedger(Ledger):
    """A ledger without a server; safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what tells the seconds."""
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        #: Until when, for how many ms at a time, and who.
        self._leaders: dict[str, tuple[int, int, str]] = {}
        self._announced: dict[str, str] = {}
        #: Until when, for how many ms at a time, and what it says of itself.
        self._nodes: dict[str, tuple[int, int, dict[str, Any]]] = {}
        self._calls = itertools.count(1)

    def tell_waits(self, tell: Callable[[str], None]) -> None:
        """See `Ledger.tell_waits`: this one is never away."""

    def open(self, job: str, *, epoch: str, lease_seconds: float, error_threshold: int) -> None:
        """See `Ledger.open`."""
        with self._changed:
            known = self._jobs.get(job)
            if known and known.epoch != epoch and known.state != "closed":
                raise LedgerFailed(f"job {job}: it is open under the epoch {known.epoch}, not {epoch}")
            if known is None or known.epoch != epoch:
                lease_ms, now = round(lease_seconds * 1000), self._now()
                made = Job(epoch=epoch, lease_ms=lease_ms, threshold=error_threshold, heard=now, committed=now)
                self._jobs[job] = made

    def extend(self, job: str, *, first: int, count: int, items: int, size: int, closed: bool) -> None:
        """See `Ledger.extend`."""
        chunk = (first, first + count - 1)
        with self._transition(job) as it:
            if it.state == "closed":
                return
            if count and first < it.planned:
                if chunk not in it.chunks:
                    raise LedgerFailed(f"job {job}: chunk {chunk} contradicts the plan")
            elif count:
                if first > it.planned or it.plan_closed:
                    raise LedgerFailed(f"job {job}: chunk {chunk} does not follow: the plan ends before {it.planned}")
                it.chunks.append(chunk)
                it.planned = first + count
                it.items_planned += items
                it.size_planned += size
            if closed and first + count != it.planned:
                raise LedgerFailed(f"job {job}: the plan cannot be closed at {first + count}")
            it.plan_closed = it.plan_closed or closed
            it.settle()

    def adopt(self, job: str, *, part: str, entries: Sequence[Entry]) -> None:
        """See `Ledger.adopt`."""
        with self._transition(job) as it:
            if it.state == "closed" or part in it.parts:
                return
            if any(entry.last >= it.planned for entry in entries):
                raise LedgerFailed(f"job {job}: part {part} holds more than the plan, which ends before {it.planned}")
            accepted: list[Range] = []
            for entry in entries:
                accepted += self._adopt_entry(it, entry)
            if accepted:
                it.accept(part, accepted, self._now())
                it.settle()

    def register(self, job: str, *, instance: str, info: Mapping[str, Any]) -> Registration:
        """See `Ledger.register`."""
        with self._transition(job) as it:
            if it.state != "closed":
                now = self._now()
                it.reap(now)
                known = it.instances.get(instance)
                if known is None and it.state == "open" and it.is_full(info):
                    return Registration(epoch=it.epoch, lease_seconds=it.lease_ms / 1000, state="full")
                if known is None:
                    known = it.instances[instance] = Instance(since=now, expiry=0, info={})
                    it.bell = True
                known.expiry, known.info = now + it.lease_ms, _copy(info)
            return Registration(epoch=it.epoch, lease_seconds=it.lease_ms / 1000, state=it.state)

    def renew(self, job: str, *, instance: str, info: Mapping[str, Any]) -> str:
        """See `Ledger.renew`."""
        with self._transition(job) as it:
            known = self._instance(it, job, instance)
            if it.state != "closed":
                known.expiry, known.info = self._now() + it.lease_ms, _copy(info)
                it.reap(self._now())
            return "surplus" if it.state == "open" and it.is_surplus(instance) else it.state

    def leave(self, job: str, *, instance: str) -> None:
        """See `Ledger.leave`."""
        with self._transition(job) as it:
            if instance in it.instances:
                if it.state == "closed":
                    it.drop(instance)
                else:
                    it.bury(instance, 0, self._now())

    def lease(
        self,
        job: str,
        *,
        instance: str,
        limit: int,
        request: str | None = None,
        copy_after: float | None = None,
        holds_nothing: bool = False,
        least: int | None = None,
    ) -> Lease | Wait | Over:
        """See `Ledger.lease`."""
        with self._transition(job) as it:
            if it.state != "open":
                return Over(state=it.state)
            now = self._now()
            self._prove_alive(it, self._instance(it, job, instance))
            it.reap(now)
            name = f"#{next(self._calls)}" if request is None else request
            asked = Asked(limit=limit, request=name, copy_after=copy_after, holds_nothing=holds_nothing, least=least)
            return lease(it, instance, asked, now=now)

    def commit(
        self, job: str, *, instance: str, part: str, entries: Sequence[Entry], node: str = "", tallies: str = ""
    ) -> Commit:
        """See `Ledger.commit`."""
        with self._transition(job) as it:
            if part in it.parts:
                return _as_before(it, it.parts[part], entries)
            accepted: list[Entry] = []
            refused: list[Range] = []
            for entry in entries:
                if it.spend(instance, entry.token, entry.first, entry.last, self._now()):
                    it.add(entry, entry.last - entry.first + 1)
                    accepted.append(entry)
                else:
                    it.refuse(entry.token, entry.first, entry.last)
                    refused.append((entry.first, entry.last))
            ranges = [(entry.first, entry.last) for entry in accepted]
            if accepted:
                it.accept(part, ranges, self._now())
                it.tally(tallies)
                it.tally_node(node, accepted)
                self._prove_alive(it, it.instances[instance])
                it.settle()
            return Commit(accepted=ranges, refused=refused, state=it.state)

    def fail(self, job: str, *, instance: str, token: str, mini_batch: int, category: str, delay: float) -> bool:
        """See `Ledger.fail`."""
        with self._transition(job) as it:
            lease = it.held(instance, token)
            rest, taken = cut(lease.ranges if lease else [], mini_batch, mini_batch)
            if lease is None or not taken:
                return False
            lease.ranges = rest
            it.instances[instance].hold(lease)
            due = self._now() + math.ceil(delay * 1000)
            it.release(lease, taken, self._now(), attempts=lease.attempts + 1, due=due)
            it.failures[category] += 1
            return True

    def give_back(self, job: str, *, instance: str, token: str, ranges: Sequence[Range] | None) -> None:
        """See `Ledger.give_back`."""
        with self._transition(job) as it:
            lease = it.held(instance, token)
            if lease is None:
                return
            for first, last in list(lease.ranges) if ranges is None else ranges:
                lease.ranges, taken = cut(lease.ranges, first, last)
                it.release(lease, taken, self._now())
            it.instances[instance].hold(lease)

    def stop(self, job: str, *, state: str, error: Mapping[str, Any] | None, epoch: str = "") -> bool:
        """See `Ledger.stop`."""
        with self._transition(job) as it:
            if epoch not in ("", it.epoch):
                return False
            if it.state != "open":
                return it.state == state and it.error == error
            it.state, it.error, it.bell = state, error, True
            return True

    def pause(self, job: str, *, paused: bool) -> bool:
        """See `Ledger.pause`."""
        with self._transition(job) as it:
            if it.state == "open":
                it.paused = paused
            return it.state == "open"

    def share(self, job: str, *, instances: int | None) -> None:
        """See `Ledger.share`."""
        with self._transition(job) as it:
            if it.state != "closed" and it.share != instances:
                it.share, it.bell = instances, True

    def close(self, job: str, *, status: str, error: Mapping[str, Any] | None = None, epoch: str = "") -> None:
        """See `Ledger.close`."""
        with self._changed:
            if job not in self._jobs or epoch in ("", self._jobs[job].epoch):
                self._announced.pop(job, None)
        with self._transition(job) as it:
            if epoch not in ("", it.epoch):
                return
            if it.state != "closed":
                it.state, it.status, it.bell = "closed", status, True
                it.error = error or it.error

    def snapshot(self, job: str) -> Snapshot:
        """See `Ledger.snapshot`."""
        with self._transition(job) as it:
            now = self._now()
            if it.state != "closed":
                it.reap(now)
            leases = [lease for instance in it.instances.values() for lease in instance.leases.values()]
            return Snapshot(
                state=it.state,
                paused=it.paused,
                share=it.share,
                error=it.error,
                epoch=it.epoch,
                status=it.status,
                planned=it.planned,
                plan_closed=it.plan_closed,
                items_planned=it.items_planned,
                size_planned=it.size_planned,
                done=len(it.done),
                leased=sum(length(lease.ranges) for lease in leases) - len(it.doubles),
                returned=length((entry.first, entry.last) for entry in it.returned),
                cursor=it.cursor,
                failures=dict(it.failures),
                instances=[_told(now, name, it.instances[name]) for name in sorted(it.instances)],
                parts=len(it.parts),
                seconds_since_commit=max(0, now - it.committed) / 1000,
                **{name: it.counts[name] for name in _SUMS},
            )

    def tallies(self, job: str) -> dict[str, int]:
        """See `Ledger.tallies`."""
        with self._changed:
            return dict(sorted(self._jobs[job].tallies.items())) if job in self._jobs else {}

    def parts(self, job: str) -> Iterator[tuple[str, list[Range]]]:
        """See `Ledger.parts`."""
        with self._transition(job) as it:
            found = [(part, list(ranges)) for part, ranges in it.parts.items()]
        yield from found

    def wait(self, job: str, seconds: float) -> None:
        """See `Ledger.wait`."""
        with self._changed:
            self._changed.wait_for(lambda: job in self._jobs and self._jobs[job].bell, timeout=seconds)
            if job in self._jobs:
                self._jobs[job].bell = False

    def forget(self, job: str) -> None:
        """See `Ledger.forget`."""
        with self._changed:
            self._jobs.pop(job, None)
            self._announced.pop(job, None)

    def lead(self, job: str, *, leader: str, seconds: float) -> bool:
        """See `Ledger.lead`."""
        term = max(1, math.ceil(seconds * 1000))
        with self._changed:
            until, its_term, who = self._leaders.get(job, (0, 0, leader))
            if who != leader and 0 < until - self._now() <= 2 * its_term:
                return False
            self._leaders[job] = (self._now() + term, term, leader)
            return True

    def unlead(self, job: str, *, leader: str) -> None:
        """See `Ledger.unlead`."""
        with self._changed:
            if self._leaders.get(job, (0, 0, ""))[2] == leader:
                del self._leaders[job]

    def speak(self, job: str) -> None:
        """See `Ledger.speak`: within one process all speak the same."""

    def announce(self, job: str, *, folder: str) -> None:
        """See `Ledger.announce`."""
        with self._changed:
            self._announced[job] = folder

    def announced(self) -> dict[str, str]:
        """See `Ledger.announced`."""
        with self._changed:
            return dict(self._announced)

    def see_node(self, node: str, info: Mapping[str, Any], seconds: float) -> None:
        """See `Ledger.see_node`."""
        term = max(1, math.ceil(seconds * 1000))
        with self._changed:
            self._nodes[node] = (self._now() + term, term, _copy(info))

    def leave_node(self, node: str) -> None:
        """See `Ledger.leave_node`."""
        with self._changed:
            self._nodes.pop(node, None)

    def nodes(self) -> list[dict[str, Any]]:
        """See `Ledger.nodes`."""
        with self._changed:
            now = self._now()
            self._nodes = {name: it for name, it in self._nodes.items() if 0 < it[0] - now <= 2 * it[1]}
            told = sorted(self._nodes.items())
            return [told_node(name, max(0, term - until + now), _copy(info)) for name, (until, term, info) in told]

    def disconnect(self) -> None:
        """Do nothing: there is no connection."""

    def _now(self) -> int:
        return int(self._clock() * 1000)

    @contextmanager
    def _transition(self, job: str) -> Iterator[Job]:
        with self._changed:
            if job not in self._jobs:
                raise LedgerLost(f"the ledger in memory knows nothing of job {job}")
            try:
                yield self._jobs[job]
            finally:
                self._changed.notify_all()

    def _instance(self, it: Job, job: str, instance: str) -> Instance:
        if instance not in it.instances:
            raise Fenced(
                f"job {job}: instance {instance} is not known to the ledger (any more): its work went to others"
            )
        return it.instances[instance]

    def _prove_alive(self, it: Job, instance: Instance) -> None:
        now = self._now()
        if instance.expiry < now + it.lease_ms * 3 / 4 or instance.expiry % 1 == GRACE:
            instance.expiry = now + it.lease_ms

    @staticmethod
    def _adopt_entry(it: Job, entry: Entry) -> list[Range]:
        fresh = it.runs(entry.first, entry.last)
        for first, last in fresh:
            it.revoke(first, last)
            it.done.update(range(first, last + 1))
        if fresh:
            it.add(entry, length(fresh))
        return fresh


def _as_before(it: Job, known: Sequence[Range], entries: Sequence[Entry]) -> Commit:
    accepted: list[Range] = []
    refused: list[Range] = []
    for entry in entries:
        _, inside = cut(known, entry.first, entry.last)
        outside = [(entry.first, entry.last)]
        for first, last in inside:
            outside, _ = cut(outside, first, last)
        accepted += inside
        refused += outside
    return Commit(accepted=accepted, refused=refused, state=it.state)


def _copy(info: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(info))


def _told(now: int, name: str, instance: Instance) -> InstanceInfo:
    return InstanceInfo(name=name, info=instance.info, alive_seconds=max(0, now - instance.since) / 1000)

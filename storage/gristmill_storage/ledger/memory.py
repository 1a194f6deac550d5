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
from gristmill_storage.ledger.ledger import Ledger
from gristmill_storage.ledger.model import GRACE, SUSPECT, Held, Instance, Job, Returned, cut, length
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

_COUNTS = ("items", "failed", "rows", "size")


class MemoryLedger(Ledger):
    """A ledger without a server; safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what tells the seconds."""
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._calls = itertools.count(1)

    def open(self, job: str, *, epoch: str, lease_seconds: float, error_threshold: int) -> None:
        """See `Ledger.open`."""
        with self._changed:
            known = self._jobs.get(job)
            if known and known.epoch != epoch and known.state != "closed":
                raise LedgerFailed(f"job {job}: it is open under the epoch {known.epoch}, not {epoch}")
            if known is None or known.epoch != epoch:
                lease_ms, now = round(lease_seconds * 1000), self._now()
                self._jobs[job] = Job(
                    epoch=epoch, lease_ms=lease_ms, threshold=error_threshold, heard=now, committed=now
                )

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
            return it.state

    def leave(self, job: str, *, instance: str) -> None:
        """See `Ledger.leave`."""
        with self._transition(job) as it:
            if instance in it.instances:
                if it.state == "closed":
                    del it.instances[instance]
                else:
                    it.bury(instance, 0)

    def lease(self, job: str, *, instance: str, limit: int, request: str | None = None) -> Lease | Wait | Over:
        """See `Ledger.lease`."""
        with self._transition(job) as it:
            if it.state != "open":
                return Over(state=it.state)
            holder = self._instance(it, job, instance)
            self._prove_alive(it, holder)
            it.reap(self._now())
            name = f"#{next(self._calls)}" if request is None else request
            lease = _repeated(it, holder, name) or self._take(it, limit)
            if lease is None:
                return Wait(seconds=self._pause(it))
            if not lease.token:
                it.tokens += 1
                lease.token, lease.request = f"{it.epoch}-{it.tokens}", name
                holder.hold(lease)
            return _answer(it, lease)

    def commit(self, job: str, *, instance: str, part: str, entries: Sequence[Entry]) -> Commit:
        """See `Ledger.commit`."""
        with self._transition(job) as it:
            if part in it.parts:
                return _as_before(it, it.parts[part], entries)
            accepted: list[Range] = []
            refused: list[Range] = []
            for entry in entries:
                spent = _spend(it, instance, entry)
                (accepted if spent else refused).append((entry.first, entry.last))
                if spent:
                    _add(it, entry, length([(entry.first, entry.last)]))
            if accepted:
                it.accept(part, accepted, self._now())
                self._prove_alive(it, it.instances[instance])
                it.settle()
            it.counts["fenced"] += length(refused)
            return Commit(accepted=accepted, refused=refused, state=it.state)

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
            it.put_back(taken, attempts=lease.attempts + 1, losses=lease.losses, due=due)
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
                it.put_back(taken, attempts=lease.attempts, losses=lease.losses)
            it.instances[instance].hold(lease)

    def stop(self, job: str, *, state: str, error: Mapping[str, Any] | None) -> bool:
        """See `Ledger.stop`."""
        with self._transition(job) as it:
            if it.state != "open":
                return it.state == state and it.error == error
            it.state, it.error, it.bell = state, error, True
            return True

    def close(self, job: str, *, status: str) -> None:
        """See `Ledger.close`."""
        with self._transition(job) as it:
            if it.state != "closed":
                it.state, it.status, it.bell = "closed", status, True

    def snapshot(self, job: str) -> Snapshot:
        """See `Ledger.snapshot`."""
        with self._transition(job) as it:
            now = self._now()
            if it.state != "closed":
                it.reap(now)
            leases = [lease for instance in it.instances.values() for lease in instance.leases.values()]
            sums = ("items_done", "succeeded", "failed", "rows", "size", "losses", "expiries", "fenced")
            return Snapshot(
                state=it.state,
                error=it.error,
                epoch=it.epoch,
                status=it.status,
                planned=it.planned,
                plan_closed=it.plan_closed,
                items_planned=it.items_planned,
                size_planned=it.size_planned,
                done=len(it.done),
                leased=sum(length(lease.ranges) for lease in leases),
                returned=length((entry.first, entry.last) for entry in it.returned),
                cursor=it.cursor,
                failures=dict(it.failures),
                instances=[_told(now, name, it.instances[name]) for name in sorted(it.instances)],
                parts=len(it.parts),
                seconds_since_commit=max(0, now - it.committed) / 1000,
                **{name: it.counts[name] for name in sums},
            )

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

    def _take(self, it: Job, limit: int) -> Held | None:
        if it.returned and it.returned[0].due <= self._now():
            return _take_returned(it, it.returned.pop(0), limit)
        while it.cursor < it.planned and it.cursor in it.done:
            it.cursor += 1
        if it.cursor >= it.planned:
            return None
        first = it.cursor
        last = it.runs(first, min(first + limit - 1, it.chunk_of(first)[1]))[0][1]
        it.cursor = last + 1
        return Held(token="", attempts=0, losses=0, ranges=[(first, last)], request="")

    def _pause(self, it: Job) -> float:
        most = 1000 if it.plan_closed else 200
        return max(1, min([most, *(entry.due - self._now() for entry in it.returned[:1])])) / 1000

    @staticmethod
    def _adopt_entry(it: Job, entry: Entry) -> list[Range]:
        fresh = it.runs(entry.first, entry.last)
        for first, last in fresh:
            it.revoke(first, last)
            it.done.update(range(first, last + 1))
        if fresh:
            _add(it, entry, length(fresh))
        return fresh


def _take_returned(it: Job, entry: Returned, limit: int) -> Held:
    last = min(entry.last, entry.first + (1 if entry.losses >= SUSPECT else limit) - 1)
    if last < entry.last:
        it.put_back([(last + 1, entry.last)], attempts=entry.attempts, losses=entry.losses, due=entry.due)
    ranges = [(entry.first, last)]
    return Held(token="", attempts=entry.attempts, losses=entry.losses, ranges=ranges, request="")


def _repeated(it: Job, holder: Instance, request: str) -> Held | None:
    before = next((lease for lease in holder.leases.values() if request and lease.request == request), None)
    if before and len(before.ranges) > 1:  # holes were torn into it since: a lease is one range
        it.put_back(before.ranges, attempts=before.attempts, losses=before.losses)
        before.ranges = []
        holder.hold(before)
        return None
    return before


def _answer(it: Job, lease: Held) -> Lease:
    first, last = lease.ranges[0]
    chunk = it.chunk_of(first)[0]
    return Lease(token=lease.token, first=first, last=last, attempts=lease.attempts, losses=lease.losses, chunk=chunk)


def _spend(it: Job, instance: str, entry: Entry) -> bool:
    lease = it.held(instance, entry.token)
    rest, taken = cut(lease.ranges if lease else [], entry.first, entry.last)
    if lease is None or length(taken) < entry.last - entry.first + 1:
        return False
    lease.ranges = rest
    it.instances[instance].hold(lease)
    return True


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


def _add(it: Job, entry: Entry, fresh: int) -> None:
    """Count an entry of which `fresh` mini-batches are new, in proportion."""
    share = fresh / (entry.last - entry.first + 1)
    items, failed, rows, size = (math.floor(getattr(entry, name) * share) for name in _COUNTS)
    succeeded = entry.succeeded if share == 1 else items - failed
    it.counts.update(items_done=items, succeeded=succeeded, failed=failed, rows=rows, size=size)


def _copy(info: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(info))


def _told(now: int, name: str, instance: Instance) -> InstanceInfo:
    return InstanceInfo(name=name, info=instance.info, alive_seconds=max(0, now - instance.since) / 1000)

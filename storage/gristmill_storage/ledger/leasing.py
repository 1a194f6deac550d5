"""What the in-memory ledger leases next, as in lua/lease.lua."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from gristmill_storage.ledger.model import SUSPECT, Held, Instance, Job
from gristmill_storage.ledger.records import Lease, Wait

#: ms between two looks: for a plan's next chunk, for what others may return, whether a job goes on.
_PLAN_GROWS: Final = 200
_IDLE: Final = 1000
_PAUSED: Final = 500


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an instance asks for: the arguments of `Ledger.lease`."""

    limit: int
    request: str
    copy_after: float | None
    holds_nothing: bool
    least: int | None


def lease(it: Job, name: str, asked: Asked, *, now: int) -> Lease | Wait:
    """Lease something to the instance of that name, or say when to ask again."""
    holder, limit, request = it.instances[name], asked.limit, asked.request
    late = Wait(seconds=_patience(it, now) / 1000)
    if _is_late(it, name, request, same=False):
        return late
    found = _repeated(it, holder, request, now)
    if found is None:
        if _is_late(it, name, request, same=True):
            return late
        if asked.holds_nothing:
            it.release_all(name, 0, now)
        if it.paused:
            return Wait(seconds=_PAUSED / 1000)
        found = _take_returned(it, limit, now) or _take_next(it, asked, now)
        later = _IDLE
        if found is None:
            found, later = _take_double(it, asked.copy_after, now)
        if found is None:
            return Wait(seconds=min(later, _patience(it, now)) / 1000)
        _write_down(it, name, found, request)
    first, last = found.ranges[0]
    return Lease(
        token=found.token,
        first=first,
        last=last,
        attempts=found.attempts,
        losses=found.losses,
        chunk=it.chunk_of(first)[0],
        copy=found.copy_of is not None,
    )


def _is_late(it: Job, name: str, request: str, *, same: bool) -> bool:
    """Return whether the instance asked for something later already; `same`: or for just this, which else is noted."""
    caller, _, number = request.rpartition("-")
    if not caller or not number.isdigit():
        return False
    before, _, last = it.asked.get(name, "").rpartition("-")
    ahead = int(last) - int(number) if before == caller else -1
    if same and ahead < 0:
        it.asked[name] = request
    return ahead > 0 or (same and ahead == 0)


def _repeated(it: Job, holder: Instance, request: str, now: int) -> Held | None:
    """Return the lease that the same request got before: its answer did not arrive."""
    before = next((held for held in holder.leases.values() if request and held.request == request), None)
    if before and len(before.ranges) > 1:  # holes were torn into it since: a lease is one range
        it.release(before, before.ranges, now)
        before.ranges = []
        holder.hold(before)
        return None
    return before


def _take_returned(it: Job, limit: int, now: int) -> Held | None:
    if not it.returned or it.returned[0].due > now:
        return None
    entry = it.returned.pop(0)
    last = min(entry.last, entry.first + (1 if entry.losses >= SUSPECT else limit) - 1)
    if last < entry.last:
        it.put_back([(last + 1, entry.last)], attempts=entry.attempts, losses=entry.losses, due=entry.due)
    return _fresh(entry.first, last, now, attempts=entry.attempts, losses=entry.losses)


def _share_of(it: Job, asked: Asked, left: int) -> int:
    """Return how many of the last mini-batches one instance gets."""
    if asked.least is None or not it.plan_closed or len(it.instances) == 1:
        return asked.limit
    return min(asked.limit, max(asked.least, math.ceil(left / (2 * len(it.instances)))))


def _take_next(it: Job, asked: Asked, now: int) -> Held | None:
    while it.cursor < it.planned and it.cursor in it.done:
        it.cursor += 1
    if it.cursor >= it.planned:
        return None
    first = it.cursor
    most = _share_of(it, asked, it.planned - first)
    last = it.runs(first, min(first + most - 1, it.chunk_of(first)[1]))[0][1]
    it.cursor = last + 1
    return _fresh(first, last, now)


def _take_double(it: Job, copy_after: float | None, now: int) -> tuple[Held | None, int]:
    """Return a copy of what was held for too long; or None, and the ms after which to look again."""
    if copy_after is None or not it.plan_closed or it.returned:
        return None, _IDLE
    copy_ms = math.ceil(copy_after * 1000)
    if it.oldest <= now < it.oldest + copy_ms:
        return None, it.oldest + copy_ms - now
    alone = [
        (held.made, number, held)
        for instance in it.instances.values()
        for held in instance.leases.values()
        for first, last in held.ranges
        for number in range(first, last + 1)
        if number not in it.doubles
    ]
    made, number, longest = min(alone, key=lambda found: found[:2], default=(now, 0, None))
    it.oldest = made
    if longest is None:
        return None, _IDLE
    if now - made < copy_ms:
        return None, made + copy_ms - now
    return _fresh(number, number, now, attempts=longest.attempts, losses=longest.losses, copy_of=longest), _IDLE


def _fresh(first: int, last: int, now: int, *, attempts: int = 0, losses: int = 0, copy_of: Held | None = None) -> Held:
    return Held(
        instance="",
        token="",
        attempts=attempts,
        losses=losses,
        ranges=[(first, last)],
        made=now,
        copy_of=copy_of,
        request="",
    )


def _write_down(it: Job, name: str, found: Held, request: str) -> None:
    it.tokens += 1
    found.instance, found.token, found.request = name, f"{it.epoch}-{it.tokens}", request
    it.instances[name].hold(found)
    if found.copy_of is not None:
        it.doubles[found.ranges[0][0]] = (found.copy_of, found)
        it.counts["copies"] += 1


def _patience(it: Job, now: int) -> int:
    """Return the ms after which something may be there."""
    most = _IDLE if it.plan_closed else _PLAN_GROWS
    return max(1, min([most, *(entry.due - now for entry in it.returned[:1])]))

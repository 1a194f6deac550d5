"""One job of the in-memory ledger: the state and the steps that its transitions share, as in lua/shared/."""

from __future__ import annotations

import bisect
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gristmill_storage.ledger.records import Entry, Range

#: Losses after which mini-batches are leased one by one, to find the one that kills.
SUSPECT: Final = 2
#: Fraction of a ms that marks an expiry which was put off although the instance had not spoken.
GRACE: Final = 0.5
#: Role of those who are no part of a share.
AGGREGATOR: Final = "aggregator"
#: What an entry counts and is shared out where not all of it is new.
_COUNTS: Final = ("items", "failed", "rows", "size")
_TALLY: Final = re.compile(r"(\S+)=(\d+)")
#: Instances that one call buries at most.
_REAPED_AT_ONCE: Final = 8


@dataclass(order=True, kw_only=True)
class Returned:
    """A range to be leased again, in the order in which that happens."""

    due: int
    first: int
    last: int
    attempts: int
    losses: int


@dataclass(kw_only=True)
class Held:
    """What is left of a lease."""

    instance: str
    token: str
    attempts: int
    losses: int
    ranges: list[Range]
    #: When it was made, or lost its double.
    made: int
    #: The lease that it is a copy of.
    copy_of: Held | None
    request: str

    @property
    def serial(self) -> int:
        """Return the number in its token, which grows with each lease of the job."""
        return int(self.token.rpartition("-")[2])


@dataclass(kw_only=True)
class Instance:
    """An instance that is alive, and its leases by token."""

    since: int
    expiry: float
    info: Mapping[str, Any]
    leases: dict[str, Held] = field(default_factory=dict)

    @property
    def staying(self) -> int:
        """Return how late it is to leave: 0 who leaves already, 1 who is ready, 2 who is not."""
        return 0 if self.info.get("leaving") is True else 1 if self.info.get("ready_after") is not None else 2

    def hold(self, lease: Held) -> None:
        """Write a lease down; one that holds nothing any more is forgotten."""
        if lease.ranges:
            self.leases[lease.token] = lease
        else:
            self.leases.pop(lease.token, None)


@dataclass(kw_only=True)
class Job:
    """The state of a job. Times are in ms."""

    epoch: str
    lease_ms: int
    threshold: int
    heard: int
    committed: int
    state: str = "open"
    paused: bool = False
    #: Most instances that may score at a time; None: any number.
    share: int | None = None
    error: Mapping[str, Any] | None = None
    status: str = ""
    plan_closed: bool = False
    planned: int = 0
    items_planned: int = 0
    size_planned: int = 0
    cursor: int = 0
    tokens: int = 0
    #: Nothing that may be copied was leased before.
    oldest: int = 0
    #: Manifest chunks, in order.
    chunks: list[Range] = field(default_factory=list)
    returned: list[Returned] = field(default_factory=list)
    instances: dict[str, Instance] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    #: Mini-batches that two leases hold, and both.
    doubles: dict[int, tuple[Held, Held]] = field(default_factory=dict)
    #: What a lease, by token, lost because the other one won.
    outrun: dict[str, set[int]] = field(default_factory=dict)
    parts: dict[str, list[Range]] = field(default_factory=dict)
    #: The latest request for a lease, by instance.
    asked: dict[str, str] = field(default_factory=dict)
    #: Sums over accepted entries, and what went wrong.
    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    #: What is counted beside the sums (see `gristmill_storage.tallies`).
    tallies: Counter[str] = field(default_factory=Counter)
    #: Whether something happened that a coordinator cares about.
    bell: bool = False

    def chunk_of(self, number: int) -> Range:
        """Return the manifest chunk that holds a mini-batch."""
        return self.chunks[bisect.bisect_right(self.chunks, number, key=lambda chunk: chunk[0]) - 1]

    def put_back(self, ranges: Iterable[Range], *, attempts: int, losses: int, due: int = 0) -> None:
        """Return ranges that nobody holds, to be leased again from `due` on."""
        for first, last in ranges:
            entry = Returned(due=due, first=first, last=last, attempts=attempts, losses=losses)
            bisect.insort(self.returned, entry)

    def release(self, lease: Held, ranges: Iterable[Range], now: int, **terms: int) -> int:
        """Return ranges that a lease held; what another holds too stays with that one. Returns how much is returned."""
        size = 0
        for held in list(ranges):
            alone = [held]
            for number, other in self.unpair(lease, *held):
                other.made = now
                alone, _ = cut(alone, number, number)
            self.put_back(alone, **{"attempts": lease.attempts, "losses": lease.losses, **terms})
            size += length(alone)
        return size

    def unpair(self, lease: Held, first: int, last: int) -> list[tuple[int, Held]]:
        """End the doubles of a lease in a range; returns their numbers, each with the other lease."""
        numbers = sorted(number for number in self.doubles if first <= number <= last)
        pairs = [(number, self.doubles.pop(number)) for number in numbers]
        return [(number, other if one is lease else one) for number, (one, other) in pairs]

    def release_all(self, name: str, losses: int, now: int) -> int:
        """Return all that an instance alone held, with that many more losses. Returns how much."""
        size = 0
        leases = self.instances[name].leases
        # A copy goes before what it was made of: where one instance has both, that comes back in one piece.
        for lease in sorted(leases.values(), key=lambda lease: -lease.serial):
            size += self.release(lease, lease.ranges, now, losses=lease.losses + losses)
        leases.clear()
        return size

    def bury(self, name: str, losses: int, now: int) -> int:
        """Strike an instance out; what it alone held is returned, with that many more losses. Returns how much."""
        size = self.release_all(name, losses, now)
        del self.instances[name]
        self.asked.pop(name, None)
        self.bell = True
        return size

    def drop(self, name: str) -> None:
        """Strike an instance out of a closed job, to which nothing is returned."""
        self.asked.pop(name, None)
        for lease in self.instances.pop(name).leases.values():
            for first, last in lease.ranges:
                self.unpair(lease, first, last)

    def reap(self, now: int) -> None:
        """Bury instances that fell silent; when nobody was heard, each gets a fresh lease, once until it speaks."""
        silence = abs(now - self.heard)
        if silence > self.lease_ms / 8:
            self.heard = now
        if silence > self.lease_ms / 2:
            limit = now + self.lease_ms + GRACE
            for instance in self.instances.values():
                if instance.expiry % 1 != GRACE or instance.expiry > limit:
                    instance.expiry = limit
        silent = sorted((it.expiry, name) for name, it in self.instances.items() if it.expiry <= now)
        for _, name in silent[:_REAPED_AT_ONCE]:
            self.counts["losses"] += self.bury(name, 1, now)
            self.counts["expiries"] += 1

    def scoring(self) -> list[str]:
        """Return the instances that score, those first that are to leave first."""
        found = [(it, name) for name, it in self.instances.items() if it.info.get("role") != AGGREGATOR]
        return [name for it, name in sorted(found, key=lambda each: (each[0].staying, each[0].since, each[1]))]

    def is_full(self, info: Mapping[str, Any]) -> bool:
        """Return whether there is no place for an instance that says this of itself."""
        return self.share is not None and info.get("role") != AGGREGATOR and len(self.scoring()) >= self.share

    def is_surplus(self, name: str) -> bool:
        """Return whether an instance is one of those that are more than the job's share."""
        found = self.scoring() if self.share is not None else []
        return name in found[: max(0, len(found) - (self.share or 0))]

    def held(self, name: str, token: str) -> Held | None:
        """Return a lease that an instance still has."""
        instance = self.instances.get(name)
        return instance.leases.get(token) if instance and self.state != "closed" else None

    def runs(self, first: int, last: int) -> list[Range]:
        """Return what of a range is not done."""
        return join([(number, number) for number in range(first, last + 1) if number not in self.done])

    def revoke(self, first: int, last: int) -> None:
        """Take a range from whoever has it."""
        self.doubles = {number: pair for number, pair in self.doubles.items() if not first <= number <= last}
        for instance in self.instances.values():
            for lease in list(instance.leases.values()):
                lease.ranges, _ = cut(lease.ranges, first, last)
                instance.hold(lease)
        before, self.returned = self.returned, []
        for entry in before:
            rest, _ = cut([(entry.first, entry.last)], first, last)
            self.put_back(rest, attempts=entry.attempts, losses=entry.losses, due=entry.due)

    def spend(self, instance: str, token: str, first: int, last: int, now: int) -> bool:
        """Take a range from a lease that holds all of it, and from those that hold any of it too.

        Of a range that it holds in places only these are returned.
        """
        lease = self.held(instance, token)
        if lease is None:
            return False
        lease.ranges, taken = cut(lease.ranges, first, last)
        self.instances[instance].hold(lease)
        if length(taken) < last - first + 1:
            self.release(lease, taken, now)
            return False
        for number, other in self.unpair(lease, first, last):
            other.ranges, _ = cut(other.ranges, number, number)
            self.instances[other.instance].hold(other)
            self.outrun.setdefault(other.token, set()).add(number)
        return True

    def refuse(self, token: str, first: int, last: int) -> None:
        """Count what is refused of a commit."""
        beaten = sum(first <= number <= last for number in self.outrun.get(token, ()))
        self.counts.update(outrun=beaten, fenced=last - first + 1 - beaten)

    def accept(self, part: str, ranges: list[Range], now: int) -> None:
        """Note a part of which something is accepted, and that this is done."""
        for first, last in ranges:
            self.done.update(range(first, last + 1))
        self.parts[part] = join(ranges)
        self.committed = now

    def add(self, entry: Entry, fresh: int) -> None:
        """Count an entry of which `fresh` mini-batches are new, in proportion; its tallies where all of them are."""
        share = fresh / (entry.last - entry.first + 1)
        items, failed, rows, size = (math.floor(getattr(entry, name) * share) for name in _COUNTS)
        succeeded = entry.succeeded if share == 1 else items - failed
        self.counts.update(items_done=items, succeeded=succeeded, failed=failed, rows=rows, size=size)
        if share == 1:
            self.tally(entry.tallies)

    def tally(self, text: str) -> None:
        """Count what `tallies.encode` wrote."""
        self.tallies.update({name: int(amount) for name, amount in _TALLY.findall(text)})

    def tally_node(self, node: str, entries: Iterable[Entry]) -> None:
        """Count what a node has done."""
        for entry in entries:
            sums = {"items_done": entry.items, "rows": entry.rows, "done": entry.last - entry.first + 1}
            self.tallies.update({f"node:{name}:{node}": amount for name, amount in sums.items()})

    def settle(self) -> None:
        """End the scoring when too much failed or all is done."""
        if self.state != "open":
            return
        failed = self.counts["failed"]
        if 0 <= self.threshold < failed:
            message = (
                f"error_threshold: {failed} item{'' if failed == 1 else 's'} failed, {self.threshold} allowed; "
                "see errors.jsonl, mend the input or the script, or allow more"
            )
            self.state, self.bell = "stopped", True
            self.error = {"class": "ThresholdExceeded", "message": message, "detail": ""}
        elif self.plan_closed and len(self.done) == self.planned:
            self.state, self.bell = "scored", True


def length(ranges: Iterable[Range]) -> int:
    """Return how many mini-batches ranges hold."""
    return sum(last - first + 1 for first, last in ranges)


def cut(ranges: Iterable[Range], first: int, last: int) -> tuple[list[Range], list[Range]]:
    """Return what is left of ranges without first..last, and what was cut out."""
    rest: list[Range] = []
    taken: list[Range] = []
    for low, high in ranges:
        start, end = max(low, first), min(high, last)
        if start > end:
            rest.append((low, high))
            continue
        taken.append((start, end))
        rest.extend(piece for piece in ((low, start - 1), (end + 1, high)) if piece[0] <= piece[1])
    return rest, taken


def join(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges sorted, those that touch joined."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and joined[-1][1] + 1 >= first:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined

"""The two ledgers that a world may have, each with a way to look into it: the one in memory, and the real scripts.

The one in memory is held to the scripts by the ledger's own tests (one contract over both, and a state machine that
compares them step by step); with a real server the simulator runs the scripts themselves, with its own clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from gristmill_storage.ledger import Ledger, MemoryLedger
from gristmill_storage.ledger.scripts import Scripts, key

#: The scripts' clock: milliseconds under a key that is not the ledger's.
_CLOCK = "local function read_clock() return tonumber(redis.call('GET', 'simulated-clock')) end"
_SUMS = ("items_done", "succeeded", "failed", "rows", "size")


@dataclass(frozen=True, kw_only=True)
class View:
    """Where a ledger has each mini-batch of a job."""

    state: str
    epoch: str
    planned: int
    cursor: int
    #: One that a lease and its copy hold is there once.
    leased: list[int]
    returned: list[int]
    done: set[int]
    sums: Any


class Look(Protocol):
    """A ledger, and what the simulator wants of it beside its transitions."""

    ledger: Any

    def before(self) -> None:
        """Make ready for a transition."""

    def view(self, job: str) -> View | None:
        """Look into a job."""

    def rang(self, job: str) -> bool:
        """Return whether a job's bell rang, and quieten it."""

    def flush(self) -> None:
        """Lose all memory."""

    def unkept(self) -> list[str]:
        """Return the keys that have no time to live."""


class MemoryLook:
    """A ledger in memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.ledger: Any = MemoryLedger(clock=clock)

    def before(self) -> None:
        """Do nothing: it has the clock."""

    def view(self, job: str) -> View | None:
        found = self.ledger._jobs.get(job)
        if found is None:
            return None
        leases = [lease for instance in found.instances.values() for lease in instance.leases.values()]
        return View(
            state=found.state,
            epoch=found.epoch,
            planned=found.planned,
            cursor=found.cursor,
            leased=_once(_numbers(pair for lease in leases for pair in lease.ranges), found.doubles),
            returned=_numbers((entry.first, entry.last) for entry in found.returned),
            done=set(found.done),
            sums=found.counts,
        )

    def rang(self, job: str) -> bool:
        found = self.ledger._jobs.get(job)
        rang = found is not None and found.bell
        if rang:
            found.bell = False
        return bool(rang)

    def flush(self) -> None:
        MemoryLedger.__init__(self.ledger, clock=self._clock)

    def unkept(self) -> list[str]:
        return []


class RealLook:
    """The scripts on a server, which is emptied first."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        import redis

        self._client: Any = redis.Redis.from_url(url, decode_responses=True, protocol=2)
        self._client.flushall()
        self._clock = clock
        self.ledger: Any = Ledger(url, patience=1.0)
        self.ledger._scripts = Scripts(_CLOCK)

    def before(self) -> None:
        self._client.set("simulated-clock", int(self._clock() * 1000))

    def view(self, job: str) -> View | None:
        pipe = self._client.pipeline(transaction=False)
        pipe.hgetall(key(job, "job"))
        pipe.zrange(key(job, "instances"), 0, -1)
        pipe.zrange(key(job, "returned"), 0, -1)
        pipe.zrange(key(job, "doubles"), 0, -1, withscores=True)
        fields, instances, returned, doubles = pipe.execute()
        if "state" not in fields:
            return None
        planned = int(fields["planned"])
        bits = self._client.pipeline(transaction=False)
        for number in range(planned):
            bits.getbit(key(job, "done"), number)
        for instance in instances:
            bits.hgetall(key(job, f"lease:{instance}"))
        answers = bits.execute()
        leases = [text for held in answers[planned:] for name, text in held.items() if name.startswith("lease:")]
        return View(
            state=fields["state"],
            epoch=fields["epoch"],
            planned=planned,
            cursor=int(fields["cursor"]),
            leased=_once(_numbers(pair for text in leases for pair in _ranges(text.split(":")[2])), _scores(doubles)),
            returned=_numbers(pair for text in returned for pair in _ranges(text.split(":")[0])),
            done={number for number, bit in enumerate(answers[:planned]) if bit},
            sums={name: int(fields[name]) for name in _SUMS},
        )

    def rang(self, job: str) -> bool:
        return self._client.rpop(key(job, "bell")) is not None

    def flush(self) -> None:
        self._client.flushall()

    def unkept(self) -> list[str]:
        return [name for name in self._client.scan_iter("gristmill:*") if self._client.ttl(name) == -1]


def _scores(flat: Iterable[tuple[str, float]]) -> list[int]:
    return [int(score) for _, score in flat]


def _ranges(text: str) -> list[tuple[int, int]]:
    bounds = (piece.partition("-") for piece in text.split(","))
    return [(int(first), int(last or first)) for first, _, last in bounds]


def _numbers(ranges: Iterable[tuple[int, int]]) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]


def _once(numbers: list[int], doubles: Iterable[int]) -> list[int]:
    """Take away one of each that a lease and its copy hold."""
    for number in doubles:
        numbers.remove(number)
    return numbers

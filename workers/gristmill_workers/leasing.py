"""What an instance leases: as much as keeps its scorers at work for half a second, and what it gives back.

With `settings.speculate`, a free scorer for which nothing is left takes what somebody has been at for long: a second
attempt beside the first, a copy. The first of the two to be committed counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from gristmill.counts import counted
from gristmill.errors import Fenced
from gristmill.spec import Deployment
from gristmill_storage.files import Store
from gristmill_storage.ledger import Entry, Lease, Ledger, Wait
from gristmill_storage.manifest import ManifestReader
from gristmill_workers.lease_spans import LeaseSpans
from gristmill_workers.tuning import Choice, with_pace
from gristmill_workers.verdict import Retry
from gristmill_workers.work import Work

#: Seconds of work that an instance holds leased.
LEASE_SECONDS: Final = 0.5

#: Seconds of work that an instance leases at least where the last mini-batches are shared out.
LEAST_SECONDS: Final = 0.02

#: Mini-batches that an instance holds leased at most, unless it is told otherwise: their items are in memory.
LEASE_LIMIT: Final = 2048

#: Bytes that are fetched ahead at most, by the size of the mini-batches leased last: a disk holds them.
FETCH_BYTES: Final = 256 << 20

#: How many times as many mini-batches as the last time may be leased; and how many times too many are given back.
GROWTH: Final = 2
SURPLUS: Final = 2

#: Seconds until an instance that was told to wait asks again all the same, or the share of the time since its last
#: lease, or since it asked first: what it waits for, the next of a plan that grows quickly say, may be there long
#: before it was told to come.
SHORT_WAIT: Final = 0.005
SHARE_WAITED: Final = 0.25

#: Seconds that a mini-batch must have been held at least for a copy of it to be made, and how many times its pace.
COPY_SECONDS: Final = 1.0
COPY_FACTOR: Final = 2.0

#: Seconds without a copy after one has failed here: the other attempt is likely to fail too, and decides.
COPY_PAUSE: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Leased:
    """Mini-batches under one lease."""

    works: list[Work]
    #: How often they were lost with their instance before.
    losses: int


class Leasing:
    """Leases for one instance, fails and gives back; not for several threads at once, but for `soon`."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        job: str,
        instance: str,
        folder: Store,
        deployment: Deployment,
        ahead: int | None,
        spans: LeaseSpans | None = None,
    ) -> None:
        """Take whose leases these are, in which ledger.

        `ahead` items are to be fetched, where any are.
        `spans` are those of the leases, where traces are made.
        """
        settings = deployment.settings
        self._spans = spans
        self._ledger = ledger
        self._job = job
        self._instance = instance
        self._manifest = ManifestReader(folder)
        self._scorers = settings.max_concurrency_per_instance
        self._ahead = None if ahead is None else ahead // settings.mini_batch_size
        #: Whether there are others who would take what is given back.
        self._shared = deployment.instance_count > 1
        self._fixed = settings.tuning.lease_mini_batches
        self._speculate = settings.speculate
        #: Whether scorers may be given mini-batches by their lines: items are where the manifest says, nobody else may
        #: answer the same, and no trace tells of each.
        self._by_line = ahead is None and spans is None and not (settings.speculate or settings.split_files)
        #: Bytes of a mini-batch, lately; None before the first, 0 where sizes are not asked for.
        self._bytes: int | None = None
        #: How many mini-batches may be held for their pace: a few quick ones say little of those that follow.
        self._allowed = self._scorers
        #: Mini-batches leased here, until they are told to the ledger: done, failed or given back. No copies.
        self._in_hand: set[int] = set()
        self._copies = 0
        self._no_copy_before = 0.0
        self._ask_again = 0.0
        #: When it leased something, lately, or asked first.
        self._leased: float | None = None
        #: The job's state, as last heard here.
        self.state = "open"

    @property
    def pause(self) -> float:
        """Seconds for which the ledger is not to be asked."""
        return max(0.0, self._ask_again - time.monotonic())

    def soon(self) -> None:
        """Ask without delay the next time: something has changed."""
        self._ask_again = 0.0

    def more(self, held: int, pace: float | None, *, idle: bool, empty: bool = False) -> Leased | None:
        """Lease more mini-batches when too few are held.

        Args:
            held: Mini-batches that the instance holds.
            pace: Seconds that a mini-batch takes, lately.
            idle: Whether some scorer has nothing to do, and nothing is on its way to it.
            empty: Whether the instance has nothing else, as far as it knows: nothing to commit, no commit under way.

        Raises:
            Fenced: the ledger leases what is in hand here: it has lost what it had acknowledged.

        """
        now = time.monotonic()
        if now < self._ask_again:
            return None
        target = self._target(pace, self._allowed)
        copying = idle and self._speculate and now >= self._no_copy_before
        if held > target // 2 and held >= self._scorers and not copying:
            return None
        began = 0 if self._spans is None else time.time_ns()
        since = self._leased = now if self._leased is None else self._leased
        answer = self._ledger.lease(
            self._job,
            instance=self._instance,
            limit=max(1, target - held),
            copy_after=max(COPY_SECONDS, COPY_FACTOR * (pace or 0.0)) if copying else None,
            holds_nothing=empty and not self._in_hand,
            least=None if self._fixed else self._least(held, pace),
        )
        if isinstance(answer, Lease):
            self._leased = now
            self._take_in_hand(answer)
            self._allowed = min(LEASE_LIMIT, max(self._scorers, GROWTH * target))
            works = self._works(answer)
            self._bytes = sum([work.size for work in works]) // len(works)
            if self._spans is not None:
                self._spans.leased(works, began=began)
            return Leased(works=works, losses=answer.losses)
        if isinstance(answer, Wait):
            self._ask_again = now + min(answer.seconds, max(SHORT_WAIT, SHARE_WAITED * (now - since)))
        else:
            self.state = answer.state
        return None

    def _least(self, held: int, pace: float | None) -> int:
        """Return how many are worth the asking: one for each scorer that has none, or some milliseconds of work."""
        return max(1, self._scorers - held, int(self._scorers * LEAST_SECONDS / (pace or 1.0)))

    def _take_in_hand(self, lease: Lease) -> None:
        if lease.copy:
            return
        numbers = range(lease.first, lease.last + 1)
        if not self._in_hand.isdisjoint(numbers):
            raise Fenced(
                f"job {self._job}: {lease.first}-{lease.last} are leased to instance {self._instance}, "
                "which has some of them in hand: the ledger's server has lost what it had acknowledged"
            )
        self._in_hand.update(numbers)

    def told(self, entries: Iterable[Entry]) -> None:
        """Note that these are out of hand: they stand in a part of which the ledger will be told."""
        for entry in entries:
            self._in_hand.difference_update(range(entry.first, entry.last + 1))

    def surplus(self, held: int, pace: float | None) -> int:
        """Return how many mini-batches others should have: they were leased when the pace seemed to be another."""
        target = self._target(pace, LEASE_LIMIT)
        return held - target if self._shared and held > SURPLUS * target else 0

    def _target(self, pace: float | None, allowed: int) -> int:
        """Return how many mini-batches are to be held: half a second of work, and what is to be fetched ahead."""
        if self._fixed is not None:
            return max(self._scorers, self._fixed)
        return min(LEASE_LIMIT, max(self._of_work(pace, allowed), self._of_fetching()))

    def _of_work(self, pace: float | None, allowed: int) -> int:
        wanted = self._scorers if pace is None else int(self._scorers * LEASE_SECONDS / pace)
        if self._ahead is not None and self._bytes:
            allowed = min(allowed, 2 * self._scorers + FETCH_BYTES // self._bytes)
        return max(self._scorers, min(wanted, allowed))

    def _of_fetching(self) -> int:
        if self._ahead is None or self._bytes is None:
            return 0
        return 2 * self._scorers + min(self._ahead, FETCH_BYTES // max(1, self._bytes))

    def choice(self, pace: float | None) -> Choice:
        """Return how many mini-batches are to be held while this pace lasts."""
        target = self._target(pace, LEASE_LIMIT)
        if self._fixed is not None:
            why = "settings.tuning.lease_mini_batches"
        elif pace is None:
            why = "none has been scored yet"
        elif target > self._of_work(pace, LEASE_LIMIT):
            why = "so many are fetched ahead"
        elif target in (self._scorers, LEASE_LIMIT):
            why = f"the {'least' if target == self._scorers else 'most'} there can be"
        else:
            why = f"{LEASE_SECONDS:g} s of work of {counted(self._scorers, 'scorer')}"
        return Choice(
            what="lease size",
            amount=target,
            words=with_pace(f"{counted(target, 'mini-batch')}: {why}", pace),
        )

    def _works(self, lease: Lease) -> list[Work]:
        self._copies += lease.copy
        now = time.monotonic()
        chunk = self._manifest.chunk(lease.chunk)
        numbers, (items, sizes) = range(lease.first, lease.last + 1), chunk.columns(lease.first, lease.last)
        lines: Iterable[bytes] = chunk.lines(lease.first, lease.last) if self._by_line else repeat(b"")
        token, attempt, copy = lease.token, lease.attempts + 1, self._copies if lease.copy else None
        return [
            Work(number, attempt, token, names, size, copy=copy, leased=now, line=line)
            for number, names, size, line in zip(numbers, items, sizes, lines, strict=False)
        ]

    def close(self) -> None:
        """Lease nothing any more; what is held is not scored here any more."""
        if self._spans is not None:
            self._spans.close()

    def fail(self, work: Work, verdict: Retry) -> bool:
        """Say that an attempt has failed and another is due; False: the mini-batch was not held any more."""
        if self._spans is not None:
            self._spans.returned([work])
        held = self._ledger.fail(
            self._job,
            instance=self._instance,
            token=work.token,
            mini_batch=work.number,
            category=verdict.category,
            delay=verdict.delay,
        )
        if work.copy is not None:
            self._no_copy_before = time.monotonic() + COPY_PAUSE
        else:
            self._in_hand.discard(work.number)
        self.soon()
        return held

    def give_back(self, works: Iterable[Work]) -> None:
        """Return mini-batches as they were leased."""
        by_token: dict[str, list[tuple[int, int]]] = {}
        works = sorted(works, key=lambda work: work.number)
        if self._spans is not None:
            self._spans.returned(works)
        for work in works:
            if work.copy is None:
                self._in_hand.discard(work.number)
            ranges = by_token.setdefault(work.token, [])
            if ranges and ranges[-1][1] + 1 == work.number:
                ranges[-1] = (ranges[-1][0], work.number)
            else:
                ranges.append((work.number, work.number))
        for token, ranges in by_token.items():
            self._ledger.give_back(self._job, instance=self._instance, token=token, ranges=ranges)

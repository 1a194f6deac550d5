"""Has the jobs of each compute keep to their shares: asks the ledger who has what, and tells it who may have what.

All that counts is in the ledger. Whoever dispatches after another sets the shares right at its first look; what it does
not know, who has had how much, begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gristmill.errors import LedgerLost, OtherVersion
from gristmill_scheduler.jobs.rows import Row
from gristmill_scheduler.jobs.shares import WEIGHTS, Claim, Place, Shares
from gristmill_scheduler.reconciler import AGGREGATOR
from gristmill_storage.ledger import InstanceInfo, Ledger, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """A job that was begun, as the ledger has it."""

    row: Row
    snapshot: Snapshot

    @property
    def claim(self) -> Claim:
        """What it wants and has."""
        working = [each for each in self.snapshot.instances if each.info.get("role") != AGGREGATOR]
        return Claim(
            job=self.row.name,
            weight=WEIGHTS[self.row.priority],
            wanted=0 if self.snapshot.paused else self.row.instances,
            places=[_place(each) for each in working],
        )


class Sharing:
    """The shares of all computes; for one thread."""

    def __init__(self, ledger: Ledger, *, seconds: float) -> None:
        """Take the ledger, one whose calls end soon, and how long an instance has its place for at least."""
        self._ledger = ledger
        self._seconds = seconds
        self._computes: dict[str, Shares] = {}
        #: Jobs that have no limit, as far as is known.
        self._free: set[str] = set()

    def look(self, compute: str, begun: Sequence[Row], slots: int) -> None:
        """Set the shares of a compute right, given its jobs that were begun and what it runs at once.

        Raises:
            LedgerFailed: the ledger is away.

        """
        if len(begun) == 1 and begun[0].name in self._free:
            self._computes.pop(compute, None)
            return
        seen = [found for row in begun if (found := self._see(row)) is not None]
        open_ones = [each for each in seen if each.snapshot.state == "open"]
        merging = sum(each.snapshot.state not in ("open", "closed") for each in seen)
        shares = self._computes.setdefault(compute, Shares(seconds=self._seconds))
        given = shares.give([each.claim for each in open_ones], slots, time.monotonic(), merging=merging)
        for each in open_ones:
            self._set(each, given[each.row.name])

    def turn(self, compute: str) -> float | None:
        """Return the seconds until the next place of a compute changes hands; None: nobody waits, or nobody knows."""
        shares = self._computes.get(compute)
        return shares.turn(time.monotonic()) if shares is not None else None

    def keep(self, begun: Sequence[Row]) -> None:
        """Forget computes and jobs of which nothing is begun any more."""
        names, computes = {row.name for row in begun}, {row.compute for row in begun}
        self._free &= names
        self._computes = {compute: shares for compute, shares in self._computes.items() if compute in computes}

    def forget(self) -> None:
        """Forget all: another sets the shares from now on."""
        self.keep(())

    def _see(self, row: Row) -> _Seen | None:
        try:
            return _Seen(row=row, snapshot=self._ledger.snapshot(row.name))
        except (LedgerLost, OtherVersion):
            return None  # it is not opened yet, or made again just now; or a server of another version leads it

    def _set(self, seen: _Seen, instances: int | None) -> None:
        name = seen.row.name
        self._free.discard(name)
        with suppress(LedgerLost, OtherVersion):
            if seen.snapshot.share != instances:
                self._ledger.share(name, instances=instances)
            if instances is None:
                self._free.add(name)


def rank(row: Row, now: float) -> tuple[float, tuple[float, str]]:
    """Return what jobs that wait are ordered by: how long they do, in seconds, by their weight; the greatest first.

    So the more urgent go first, and none is kept waiting for ever by those that come after it.
    """
    return -max(0.0, now - row.submitted) * WEIGHTS[row.priority], row.order


def _place(instance: InstanceInfo) -> Place:
    after, init = instance.info.get("ready_after"), instance.info.get("init_seconds")
    ready = instance.alive_seconds - float(after) if after is not None else None
    return Place(ready=ready, init=float(init or 0.0))

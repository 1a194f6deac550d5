"""Bugs to be planted, one at a time, to see that the simulator finds them; nothing of the shipped code is edited."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gristmill.errors import LedgerLost
from gristmill_scheduler import rebuild as rebuild_module
from gristmill_storage.ledger import Commit
from gristmill_storage.ledger import leasing as leasing_module
from gristmill_workers import collector as collector_module

if TYPE_CHECKING:
    from simulator.world import World

#: What a bug puts in place: (where, name, thing) for as long as the world lives.
Patches = list[tuple[Any, str, Any]]


def no_fencing(world: World) -> Patches:
    """`commit` takes whatever a part holds, whoever holds the lease."""
    ledger = world.server.ledger
    real = ledger.commit

    def commit(job: str, *, instance: str, part: str, entries: Any, **more: Any) -> Commit:
        it = _job(world, job)
        answer: Commit = real(job, instance=instance, part=part, entries=entries, **more)
        refused = [entry for entry in entries if (entry.first, entry.last) in answer.refused]
        if not refused or it.state == "closed":
            return answer
        for entry in refused:
            _count(it, entry)
        ranges = [(entry.first, entry.last) for entry in refused]
        it.accept(part, answer.accepted + ranges, 0)
        return Commit(accepted=answer.accepted + ranges, refused=[], state=it.state)

    return [(ledger, "commit", commit)]


def commit_before_durable(_world: World) -> Patches:
    """A part is told of before it is durable."""

    def seal(self: Any, draft: Any) -> None:
        self._commit(draft.name, draft.entries)
        draft.writer.seal()

    return [(collector_module.Committer, "_seal", seal)]


def no_delay(world: World) -> Patches:
    """`lease` gives what was returned, due or not."""
    ledger = world.server.ledger
    real = ledger.lease

    def lease(job: str, **named: Any) -> Any:
        for entry in _job(world, job).returned:
            entry.due = 0
        return real(job, **named)

    return [(ledger, "lease", lease)]


def counted_twice(world: World) -> Patches:
    """A repeated `commit` counts once more."""
    ledger = world.server.ledger
    real = ledger.commit

    def commit(job: str, *, instance: str, part: str, entries: Any, **more: Any) -> Commit:
        it = _job(world, job)
        known = part in it.parts
        answer: Commit = real(job, instance=instance, part=part, entries=entries, **more)
        for entry in entries if known else ():
            if (entry.first, entry.last) in answer.accepted:
                _count(it, entry)
        return answer

    return [(ledger, "commit", commit)]


def expired_is_lost(world: World) -> Patches:
    """What an instance held that fell silent is not returned."""
    ledger = world.server.ledger
    real = ledger._transition

    def transition(job: str) -> Any:
        if job in ledger._jobs:
            it = ledger._jobs[job]
            bury = type(it).bury
            it.bury = lambda name, losses, *rest: (
                it.drop(name) or 0 if losses else bury(it, name, losses, *rest)  # type: ignore[func-returns-value]
            )
        return real(job)

    return [(ledger, "_transition", transition)]


def last_part_wins(_world: World) -> Patches:
    """A rebuild takes the last part that has a mini-batch, not the first."""
    return [(rebuild_module, "sorted", lambda names: sorted(names, reverse=True))]


def lease_not_repeated(world: World) -> Patches:
    """A lease request that is repeated because its answer was lost gets another lease; the first is nobody's."""
    ledger = world.server.ledger
    real, calls = ledger.lease, itertools.count()

    def lease(job: str, **named: Any) -> Any:
        return real(job, **{**named, "request": f"call {next(calls)}", "holds_nothing": False})

    return [(ledger, "lease", lease)]


def late_request(world: World) -> Patches:
    """A lease request that the network kept until nobody waits for it gets a lease all the same."""
    ledger = world.server.ledger
    real = ledger.lease
    return [
        (leasing_module, "_is_late", lambda *_, **__: False),
        (ledger, "lease", lambda job, **named: real(job, **{**named, "holds_nothing": False})),
    ]


def _job(world: World, job: str) -> Any:
    found = world.server.ledger._jobs.get(job)
    if found is None:
        raise LedgerLost("simulated")
    return found


def _count(it: Any, entry: Any) -> None:
    it.counts.update(
        items_done=entry.items, succeeded=entry.succeeded, failed=entry.failed, rows=entry.rows, size=entry.size
    )


#: Each bug by name, with the profile in which it is looked for.
BUGS: Final[dict[str, tuple[Callable[[World], Patches], str]]] = {
    "no-fencing": (no_fencing, "partitions"),
    "commit-before-durable": (commit_before_durable, "crashes"),
    "no-delay": (no_delay, "calm"),
    "counted-twice": (counted_twice, "replies"),
    "expired-is-lost": (expired_is_lost, "crashes"),
    "last-part-wins": (last_part_wins, "flush"),
    "lease-not-repeated": (lease_not_repeated, "replies"),
    "late-request": (late_request, "replies"),
}

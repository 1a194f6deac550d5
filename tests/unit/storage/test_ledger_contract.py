"""What every ledger does: here over the double in memory, in tests/integration/test_ledger.py over a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gristmill.errors import Fenced, LedgerFailed, LedgerLost
from gristmill_storage.ledger import Commit, Entry, Lease, Ledger, MemoryLedger, Over, Snapshot, Wait

JOB = "heart-1"
LEASE = 8.0


@dataclass
class World:
    """A ledger, and its time in the test's hands."""

    ledger: Ledger
    #: Puts the ledger's clock forward (or back) by seconds, at one go.
    jump: Callable[[float], None]

    def begin(self, count: int = 100, *, chunk: int = 1000, closed: bool = True, threshold: int = -1) -> Ledger:
        """Open the job and plan mini-batches of two items in chunks."""
        self.ledger.open(JOB, epoch="e1", lease_seconds=LEASE, error_threshold=threshold)
        for first in range(0, count, chunk):
            size = min(chunk, count - first)
            last = first + size == count
            self.ledger.extend(JOB, first=first, count=size, items=2 * size, size=10 * size, closed=closed and last)
        return self.ledger

    def join(self, *names: str) -> None:
        for name in names:
            self.ledger.register(JOB, instance=name, info={})

    def pass_time(self, seconds: float, *alive: str) -> None:
        """Let time pass in small steps in which the coordinator looks and the instances named renew."""
        steps = int(seconds) or 1
        for _ in range(steps):
            self.jump(seconds / steps)
            for name in alive:
                self.ledger.renew(JOB, instance=name, info={})
            self.ledger.snapshot(JOB)


@pytest.fixture
def world() -> World:
    now = [1000.0]

    def jump(seconds: float) -> None:
        now[0] += seconds

    return World(MemoryLedger(clock=lambda: now[0]), jump)


def take(ledger: Ledger, instance: str = "a", limit: int = 10, **options: Any) -> Lease:
    lease = ledger.lease(JOB, instance=instance, limit=limit, **options)
    assert isinstance(lease, Lease)
    return lease


def entry(first: int, last: int, token: str = "", *, failed: int = 0) -> Entry:
    """What scoring two items a mini-batch gives: a row of 5 bytes for each that did not fail."""
    items = 2 * (last - first + 1)
    good = items - failed
    return Entry(
        token=token, first=first, last=last, items=items, succeeded=good, failed=failed, rows=good, size=5 * good
    )


def whole(lease: Lease, *, failed: int = 0) -> Entry:
    return entry(lease.first, lease.last, lease.token, failed=failed)


def commit(ledger: Ledger, part: str, *entries: Entry, instance: str = "a") -> Commit:
    return ledger.commit(JOB, instance=instance, part=part, entries=list(entries))


def places(found: Snapshot) -> tuple[int, int, int]:
    return found.done, found.leased, found.returned


def score_all(ledger: Ledger, instance: str = "a", prefix: str = "p") -> list[tuple[int, int]]:
    """Lease and commit until it is over; returns what was leased."""
    leased = []
    while not isinstance(lease := ledger.lease(JOB, instance=instance, limit=7), Over):
        if isinstance(lease, Lease):
            leased.append((lease.first, lease.last))
            commit(ledger, f"{prefix}{lease.token}", whole(lease), instance=instance)
    return leased


def numbers(ranges: list[tuple[int, int]]) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]


# The path of a job


def test_a_job_is_leased_in_order_and_scored(world: World) -> None:
    ledger = world.begin(100)
    world.join("a")
    assert numbers(score_all(ledger)) == list(range(100))
    found = ledger.snapshot(JOB)
    assert (found.state, found.planned, found.done, found.cursor) == ("scored", 100, 100, 100)
    assert (found.items_planned, found.items_done, found.succeeded, found.failed) == (200, 200, 200, 0)
    assert (found.rows, found.size, found.size_planned, found.parts) == (200, 1000, 1000, 15)
    assert ledger.lease(JOB, instance="a", limit=1) == Over(state="scored")


def test_an_empty_plan_is_scored_when_it_is_closed(world: World) -> None:
    world.ledger.open(JOB, epoch="e1", lease_seconds=LEASE, error_threshold=-1)
    world.ledger.extend(JOB, first=0, count=0, items=0, size=0, closed=True)
    assert world.ledger.snapshot(JOB).state == "scored"


def test_a_job_is_not_scored_before_its_plan_is_closed(world: World) -> None:
    ledger = world.begin(10, closed=False)
    world.join("a")
    commit(ledger, "p", whole(take(ledger)))
    assert ledger.snapshot(JOB).state == "open"
    assert ledger.lease(JOB, instance="a", limit=1) == Wait(seconds=0.2)
    ledger.extend(JOB, first=10, count=0, items=0, size=0, closed=True)
    assert ledger.snapshot(JOB).state == "scored"


def test_the_commit_that_ends_the_job_says_so(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    lease = take(ledger)
    assert commit(ledger, "p", entry(0, 4, lease.token)).state == "open"
    assert commit(ledger, "q", entry(5, 9, lease.token)).state == "scored"


def test_tokens_carry_the_epoch_and_grow(world: World) -> None:
    ledger = world.begin()
    world.join("a", "b")
    assert [take(ledger, name).token for name in "aba"] == ["e1-1", "e1-2", "e1-3"]


# open, extend


def test_open_again_under_the_same_epoch_changes_nothing(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    take(ledger)
    before = ledger.snapshot(JOB)
    ledger.open(JOB, epoch="e1", lease_seconds=LEASE, error_threshold=-1)
    assert ledger.snapshot(JOB) == before


def test_open_under_another_epoch_is_refused_while_the_job_lives(world: World) -> None:
    ledger = world.begin(10)
    with pytest.raises(LedgerFailed, match="open under the epoch e1, not e2"):
        ledger.open(JOB, epoch="e2", lease_seconds=LEASE, error_threshold=-1)


def test_a_closed_job_opens_anew_under_another_epoch(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    score_all(ledger)
    ledger.close(JOB, status="Completed")
    ledger.open(JOB, epoch="e2", lease_seconds=LEASE, error_threshold=-1)
    found = ledger.snapshot(JOB)
    assert (found.state, found.epoch, found.planned, found.done, found.parts) == ("open", "e2", 0, 0, 0)
    assert found.instances == []


def test_an_epoch_of_digits_stays_as_it_is(world: World) -> None:
    epoch = "202611210000000000000001"
    world.ledger.open(JOB, epoch=epoch, lease_seconds=LEASE, error_threshold=-1)
    world.ledger.extend(JOB, first=0, count=1, items=1, size=1, closed=True)
    world.join("a")
    assert take(world.ledger).token == f"{epoch}-1"
    assert world.ledger.snapshot(JOB).epoch == epoch


def test_extend_again_changes_nothing(world: World) -> None:
    ledger = world.begin(30, chunk=10)
    for first in (0, 10):
        ledger.extend(JOB, first=first, count=10, items=20, size=100, closed=False)
    ledger.extend(JOB, first=20, count=10, items=20, size=100, closed=True)
    found = ledger.snapshot(JOB)
    assert (found.planned, found.items_planned, found.size_planned, found.plan_closed) == (30, 60, 300, True)


@pytest.mark.parametrize(
    ("first", "count", "closed"), [(20, 5, False), (5, 5, False), (0, 9, False), (10, 5, False), (5, 0, True)]
)
def test_a_chunk_that_does_not_fit_the_plan_is_refused(world: World, first: int, count: int, closed: bool) -> None:
    ledger = world.begin(10)
    with pytest.raises(LedgerFailed):
        ledger.extend(JOB, first=first, count=count, items=1, size=1, closed=closed)
    assert ledger.snapshot(JOB).planned == 10


def test_a_lease_never_crosses_a_chunk_and_names_it(world: World) -> None:
    ledger = world.begin(25, chunk=10)
    world.join("a")
    leases = [take(ledger, limit=7) for _ in range(5)]
    assert [(it.first, it.last, it.chunk) for it in leases] == [
        (0, 6, 0),
        (7, 9, 0),
        (10, 16, 10),
        (17, 19, 10),
        (20, 24, 20),
    ]


# register, renew, leave, expiry


def test_an_instance_learns_epoch_lease_and_state(world: World) -> None:
    ledger = world.begin()
    told = ledger.register(JOB, instance="a", info={"node": "n1"})
    assert (told.epoch, told.lease_seconds, told.state) == ("e1", LEASE, "open")


def test_the_snapshot_tells_who_is_there_and_since_when(world: World) -> None:
    ledger = world.begin()
    ledger.register(JOB, instance="b", info={"node": "n1", "scorers": 2})
    world.jump(2)
    ledger.register(JOB, instance="b", info={"node": "n1"})
    ledger.register(JOB, instance="a", info={})
    world.jump(1)
    ledger.renew(JOB, instance="a", info={"busy": 1.5})
    first, second = ledger.snapshot(JOB).instances
    assert (first.name, dict(first.info), first.alive_seconds) == ("a", {"busy": 1.5}, 1.0)
    assert (second.name, dict(second.info), second.alive_seconds) == ("b", {"node": "n1"}, 3.0)


def test_a_job_that_is_over_takes_its_aggregator_and_loses_it_when_silent(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    score_all(ledger)
    ledger.leave(JOB, instance="a")
    assert ledger.register(JOB, instance="aggregator", info={}).state == "scored"
    assert ledger.renew(JOB, instance="aggregator", info={}) == "scored"
    assert [it.name for it in ledger.snapshot(JOB).instances] == ["aggregator"]
    world.pass_time(LEASE + 1)
    assert ledger.snapshot(JOB).instances == []


def test_a_job_that_is_closed_takes_nobody(world: World) -> None:
    ledger = world.begin()
    ledger.close(JOB, status="Canceled")
    assert ledger.register(JOB, instance="a", info={}).state == "closed"
    assert ledger.snapshot(JOB).instances == []


def test_a_silent_instance_is_lost_and_its_work_goes_to_others(world: World) -> None:
    ledger = world.begin(20)
    world.join("a", "b")
    lost = take(ledger, "a")
    world.pass_time(LEASE + 1, "b")
    found = ledger.snapshot(JOB)
    assert [it.name for it in found.instances] == ["b"]
    assert (found.expiries, found.losses, places(found)) == (1, 10, (0, 0, 10))
    again = take(ledger, "b")
    assert (again.first, again.last, again.attempts, again.losses) == (0, 9, 0, 1)
    assert again.token != lost.token
    with pytest.raises(Fenced):
        ledger.renew(JOB, instance="a", info={})
    with pytest.raises(Fenced):
        ledger.lease(JOB, instance="a", limit=1)


def test_renewing_keeps_all_leases(world: World) -> None:
    ledger = world.begin(20)
    world.join("a")
    leases = [take(ledger), take(ledger)]
    world.pass_time(3 * LEASE, "a")
    assert commit(ledger, "p", *map(whole, leases)).refused == []


def test_leasing_and_committing_are_signs_of_life(world: World) -> None:
    ledger = world.begin(40)
    world.join("a")
    for number in range(4):
        world.pass_time(LEASE - 2)
        lease = take(ledger)
        world.pass_time(LEASE - 2)
        assert commit(ledger, f"p{number}", whole(lease)).refused == []


def test_a_late_commit_is_fenced_and_counted(world: World) -> None:
    ledger = world.begin(20)
    world.join("a", "b")
    lease = take(ledger, "a")
    world.pass_time(LEASE + 1, "b")
    answer = commit(ledger, "late", whole(lease))
    assert (answer.accepted, answer.refused) == ([], [(0, 9)])
    assert commit(ledger, "good", whole(take(ledger, "b")), instance="b").accepted == [(0, 9)]
    assert commit(ledger, "late", whole(lease)).refused == [(0, 9)]
    found = ledger.snapshot(JOB)
    assert (found.done, found.items_done, found.parts) == (10, 20, 1)
    assert found.fenced == 20


def test_a_late_commit_of_the_same_instance_under_an_old_token_is_fenced(world: World) -> None:
    ledger = world.begin(10)
    world.join("a", "b")
    old = take(ledger, "a")
    world.pass_time(LEASE + 1, "b")
    world.join("a")
    new = take(ledger, "a")
    assert commit(ledger, "old", whole(old)).accepted == []
    assert commit(ledger, "new", whole(new)).accepted == [(0, 9)]


def test_a_commit_after_the_expiry_counts_while_nobody_else_has_the_work(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    lease = take(ledger)
    world.jump(3 * LEASE)
    assert commit(ledger, "p", whole(lease)).accepted == [(0, 9)]


def test_when_the_server_was_away_nobody_is_lost(world: World) -> None:
    ledger = world.begin(20)
    world.join("a", "b")
    leases = {name: take(ledger, name) for name in "ab"}
    world.jump(10 * LEASE)
    ledger.renew(JOB, instance="b", info={})
    assert len(ledger.snapshot(JOB).instances) == 2
    assert commit(ledger, "p", whole(leases["a"])).accepted == [(0, 9)]
    world.pass_time(LEASE + 1, "b")
    assert [it.name for it in ledger.snapshot(JOB).instances] == ["b"]


@pytest.mark.parametrize("pause", [0.6, 1.1, 3.0])
def test_the_dead_are_found_even_when_those_who_ask_do_so_seldom(world: World, pause: float) -> None:
    ledger = world.begin(20)
    world.join("a", "b")
    take(ledger, "a")
    for _ in range(4):
        world.jump(pause * LEASE)
        assert ledger.renew(JOB, instance="b", info={}) == "open", "who speaks is never lost"
    assert [it.name for it in ledger.snapshot(JOB).instances] == ["b"]
    assert ledger.snapshot(JOB).losses == 10


def test_who_was_spared_once_is_spared_again_after_a_sign_of_life(world: World) -> None:
    ledger = world.begin(20)
    world.join("a")
    lease = take(ledger, "a")
    for _ in range(3):
        world.jump(5 * LEASE)
        ledger.snapshot(JOB)
        assert isinstance(ledger.lease(JOB, instance="a", limit=1), Lease)
    assert commit(ledger, "p", whole(lease)).accepted == [(0, 9)]


def test_a_clock_set_back_does_not_keep_the_dead_alive(world: World) -> None:
    ledger = world.begin(20)
    world.join("a", "b")
    take(ledger, "a")
    world.jump(-3600)
    world.pass_time(LEASE + 2, "b")
    assert [it.name for it in ledger.snapshot(JOB).instances] == ["b"]


def test_many_silent_instances_are_buried_in_slices(world: World) -> None:
    ledger = world.begin(100)
    world.join("z", *(f"i{number:02d}" for number in range(20)))
    for number in range(20):
        take(ledger, f"i{number:02d}", 2)
    world.pass_time(LEASE - 1, "z")
    world.jump(2)
    assert ledger.renew(JOB, instance="z", info={}) == "open"
    assert len(ledger.snapshot(JOB).instances) == 21 - 16
    assert len(ledger.snapshot(JOB).instances) == 1
    found = ledger.snapshot(JOB)
    assert (found.expiries, found.losses, found.returned) == (20, 40, 40)


def test_leaving_returns_work_unchanged(world: World) -> None:
    ledger = world.begin(20)
    world.join("a", "b")
    lease = take(ledger, "a")
    commit(ledger, "p", entry(3, 5, lease.token))
    for _ in range(2):
        ledger.leave(JOB, instance="a")
    found = ledger.snapshot(JOB)
    assert (places(found), found.losses, found.expiries) == ((3, 0, 7), 0, 0)
    leases = [take(ledger, "b") for _ in range(3)]
    assert [(it.first, it.last, it.losses) for it in leases] == [(0, 2, 0), (6, 9, 0), (10, 19, 0)]


def test_what_was_lost_twice_is_leased_one_by_one(world: World) -> None:
    ledger = world.begin(6)
    world.join("z")
    for name in ("a", "b"):
        world.join(name)
        assert take(ledger, name).last == 5
        world.pass_time(LEASE + 1, "z")
    leases = [take(ledger, "z") for _ in range(6)]
    assert [(it.first, it.last, it.losses) for it in leases] == [(number, number, 2) for number in range(6)]


# lease


def test_a_repeated_request_answers_the_same_lease(world: World) -> None:
    ledger = world.begin()
    world.join("a", "b")
    first = take(ledger, request="r1")
    assert take(ledger, request="r1") == first
    assert take(ledger, request="r2").first == 10
    assert take(ledger, "b", request="r1").first == 20
    assert ledger.snapshot(JOB).leased == 30


def test_a_request_is_forgotten_with_its_lease(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    commit(ledger, "p", whole(take(ledger, request="r1")))
    assert take(ledger, request="r1").first == 10


def test_an_end_that_was_meant_for_a_former_life_comes_too_late(world: World) -> None:
    ledger = world.begin(10)
    former = ledger.snapshot(JOB).epoch
    ledger.forget(JOB)
    ledger.open(JOB, epoch="later", lease_seconds=LEASE, error_threshold=-1)
    ledger.announce(JOB, folder="here")

    assert not ledger.stop(JOB, state="stopped", error=None, epoch=former)
    ledger.close(JOB, status="Failed", epoch=former)

    assert ledger.snapshot(JOB).state == "open"
    assert ledger.announced() == {JOB: "here"}
    assert ledger.stop(JOB, state="stopped", error=None, epoch="later")
    ledger.close(JOB, status="Failed", epoch="later")
    assert ledger.snapshot(JOB).state == "closed"
    assert ledger.announced() == {}


def test_a_request_that_comes_late_leases_nothing(world: World) -> None:
    ledger = world.begin(100)
    world.join("a", "b")
    first = take(ledger, request="me-9")
    commit(ledger, "p", whole(first))

    assert isinstance(ledger.lease(JOB, instance="a", limit=10, request="me-9"), Wait), "its answer was heard long ago"
    assert isinstance(ledger.lease(JOB, instance="a", limit=10, request="me-8"), Wait)
    later = take(ledger, request="me-10")
    assert later.first == 10
    assert isinstance(ledger.lease(JOB, instance="a", limit=10, request="me-9"), Wait)
    assert take(ledger, request="me-10") == later
    assert take(ledger, "b", request="me-1").first == 20, "each instance counts by itself"
    assert take(ledger, request="other-1").first == 30, "and each caller"
    assert ledger.snapshot(JOB).leased == 30


def test_a_late_request_tears_nothing_away(world: World) -> None:
    ledger = world.begin(100)
    world.join("a")
    lease = take(ledger, request="me-1")
    take(ledger, request="me-2")
    ledger.fail(JOB, instance="a", token=lease.token, mini_batch=5, category="crash", delay=1)

    ledger.lease(JOB, instance="a", limit=10, request="me-1")

    assert commit(ledger, "p", entry(0, 4, lease.token), entry(6, 9, lease.token)).refused == []


def test_the_last_mini_batches_are_shared_out(world: World) -> None:
    ledger = world.begin(100)
    world.join("a", "b")

    sizes = []
    while isinstance(lease := ledger.lease(JOB, instance="ab"[len(sizes) % 2], limit=40, least=3), Lease):
        sizes.append(lease.last - lease.first + 1)

    # A quarter of what is left each time: half of what each of two would get.
    assert sizes == [25, 19, 14, 11, 8, 6, 5, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("names", "closed", "least"),
    [("ab", True, None), ("a", True, 1), ("ab", False, 1)],
    ids=["asked", "alone", "grows"],
)
def test_nothing_is_shared_out_that_was_not_asked_for_alone_or_while_the_plan_grows(
    world: World, names: str, closed: bool, least: int | None
) -> None:
    ledger = world.begin(100, closed=closed)
    world.join(*names)

    lease = take(ledger, limit=40, least=least)

    assert (lease.first, lease.last) == (0, 39)


def test_who_holds_nothing_says_so_and_what_the_ledger_has_it_hold_goes_to_others(world: World) -> None:
    ledger = world.begin(30)
    world.join("a", "b")
    take(ledger)
    ledger.fail(JOB, instance="a", token=take(ledger, limit=1).token, mini_batch=10, category="crash", delay=0)
    world.jump(0.1)
    take(ledger, limit=1)

    answer = ledger.lease(JOB, instance="a", limit=4, holds_nothing=True)

    assert isinstance(answer, Lease)
    assert (answer.first, answer.last, answer.attempts) == (0, 3, 0)
    found = ledger.snapshot(JOB)
    assert (found.leased, found.returned, found.losses) == (4, 7, 0)
    assert (take(ledger, "b").first, take(ledger, "b").attempts) == (4, 1)


def test_who_holds_nothing_and_asks_again_keeps_what_it_got(world: World) -> None:
    ledger = world.begin(30)
    world.join("a")
    take(ledger, request="me-1")
    first = take(ledger, limit=4, request="me-2", holds_nothing=True)

    assert take(ledger, limit=4, request="me-2", holds_nothing=True) == first
    later = take(ledger, limit=5, request="me-3")
    for late in ("me-2", "me-1"):
        assert isinstance(ledger.lease(JOB, instance="a", limit=1, request=late, holds_nothing=True), Wait)
    assert commit(ledger, "p", whole(first), whole(later)).refused == []


def test_who_holds_nothing_leaves_to_others_what_they_hold_too(world: World) -> None:
    ledger = world.begin(1)
    world.join("a", "b")
    take(ledger)
    world.pass_time(2, "a", "b")
    other = take(ledger, "b", copy_after=1.0)
    assert other.copy

    assert isinstance(ledger.lease(JOB, instance="a", limit=1, holds_nothing=True), Wait)

    assert places(ledger.snapshot(JOB)) == (0, 1, 0)
    assert commit(ledger, "p", whole(other), instance="b").state == "scored"


def test_two_calls_without_a_request_are_two_leases(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    assert [take(ledger).first for _ in range(3)] == [0, 10, 20]


def test_returned_ranges_come_first_lowest_number_first(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    leases = [take(ledger) for _ in range(3)]
    for lease in (leases[2], leases[0]):
        ledger.give_back(JOB, instance="a", token=lease.token, ranges=None)
    assert [take(ledger).first for _ in range(3)] == [0, 20, 30]


def test_a_returned_range_is_split_by_the_limit(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    ledger.give_back(JOB, instance="a", token=take(ledger).token, ranges=None)
    assert [(it.first, it.last) for it in (take(ledger, limit=4) for _ in range(4))] == [
        (0, 3),
        (4, 7),
        (8, 9),
        (10, 13),
    ]


def test_a_lease_by_nobody_is_fenced(world: World) -> None:
    with pytest.raises(Fenced, match="instance ghost"):
        world.begin().lease(JOB, instance="ghost", limit=1)


def test_waiting_lasts_until_the_next_return_is_due(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    lease = take(ledger)
    assert ledger.lease(JOB, instance="a", limit=1) == Wait(seconds=1.0)
    ledger.fail(JOB, instance="a", token=lease.token, mini_batch=3, category="exception", delay=0.5)
    assert ledger.lease(JOB, instance="a", limit=1) == Wait(seconds=0.5)
    world.jump(0.5)
    assert take(ledger).first == 3


# commit


def test_a_repeated_commit_answers_as_the_first(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    lease = take(ledger)
    entries = [whole(lease), entry(50, 59, "e1-99"), entry(10, 11, lease.token)]
    first = commit(ledger, "p", *entries)
    assert (first.accepted, first.refused) == ([(0, 9)], [(50, 59), (10, 11)])
    before = ledger.snapshot(JOB)
    assert commit(ledger, "p", *entries) == first
    ledger.leave(JOB, instance="a")
    assert commit(ledger, "p", *entries) == first
    after = ledger.snapshot(JOB)
    assert (after.done, after.items_done, after.parts) == (before.done, before.items_done, 1)


def test_an_entry_is_accepted_whole_or_not_at_all(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    lease, other = take(ledger), take(ledger)
    answer = commit(ledger, "p", entry(5, 14, lease.token), entry(2, 3, lease.token), entry(2, 4, lease.token))
    assert (answer.accepted, answer.refused) == ([(2, 3)], [(5, 14), (2, 4)])
    assert commit(ledger, "q", entry(0, 1, other.token)).accepted == []
    assert places(ledger.snapshot(JOB)) == (2, 2 + 10, 5 + 1), "what is held of a refused entry is returned"


def test_of_an_entry_that_is_held_in_places_only_these_places_are_scored_again(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    lease = take(ledger)
    ledger.fail(JOB, instance="a", token=lease.token, mini_batch=4, category="crash", delay=0.0)
    for _ in range(2):
        assert commit(ledger, "p", whole(lease)).refused == [(0, 9)]
        assert places(ledger.snapshot(JOB)) == (0, 0, 10)
    assert sorted(numbers(score_all(ledger))) == list(range(10))
    assert ledger.snapshot(JOB).state == "scored"


def test_nothing_is_done_twice_under_two_part_names(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    lease = take(ledger)
    assert commit(ledger, "p", whole(lease)).accepted == [(0, 9)]
    assert commit(ledger, "q", whole(lease)).refused == [(0, 9)]
    assert ledger.snapshot(JOB).items_done == 20


def test_another_instance_cannot_commit_a_lease(world: World) -> None:
    ledger = world.begin()
    world.join("a", "b")
    lease = take(ledger, "a")
    assert commit(ledger, "p", whole(lease), instance="b").accepted == []
    assert commit(ledger, "p", whole(lease), instance="ghost").accepted == []


def test_an_empty_part_changes_nothing(world: World) -> None:
    ledger = world.begin()
    answer = commit(ledger, "p")
    assert (answer.accepted, answer.refused, ledger.snapshot(JOB).parts) == ([], [], 0)


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 31, 64, 65, 200])
def test_every_mini_batch_is_done_once_whatever_the_size_of_a_lease(world: World, size: int) -> None:
    ledger = world.begin(401, chunk=150)
    world.join("a")
    seen = []
    while isinstance(lease := ledger.lease(JOB, instance="a", limit=size), Lease):
        seen.append((lease.first, lease.last))
        middle = (lease.first + lease.last) // 2
        halves = [entry(middle + 1, lease.last, lease.token), entry(lease.first, middle, lease.token)]
        commit(ledger, lease.token, *[half for half in halves if half.first <= half.last])
    assert numbers(seen) == list(range(401))
    assert sorted(numbers([found for _, ranges in ledger.parts(JOB) for found in ranges])) == list(range(401))


def test_parts_tell_what_counts_from_each(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    lease, other = take(ledger), take(ledger)
    halves = [entry(5, 9, lease.token), entry(0, 3, lease.token), entry(10, 12, other.token)]
    commit(ledger, "p", *halves, entry(70, 80, "e1-77"))
    commit(ledger, "q", entry(4, 4, lease.token))
    commit(ledger, "garbage", entry(4, 4, lease.token))
    assert dict(ledger.parts(JOB)) == {"p": [(0, 3), (5, 12)], "q": [(4, 4)]}


def test_too_many_failed_items_stop_the_job(world: World) -> None:
    ledger = world.begin(100, threshold=3)
    world.join("a")
    assert commit(ledger, "p", whole(take(ledger), failed=3)).state == "open"
    lease = take(ledger)
    assert commit(ledger, "q", whole(take(ledger), failed=1)).state == "stopped"
    found = ledger.snapshot(JOB)
    assert found.error is not None
    assert found.error["class"] == "ThresholdExceeded"
    assert "error_threshold: 4 items failed, 3 allowed" in found.error["message"]
    assert ledger.lease(JOB, instance="a", limit=1) == Over(state="stopped")
    assert commit(ledger, "r", whole(lease)).accepted == [(10, 19)], "work in hand still counts"


def test_the_threshold_comes_before_the_end(world: World) -> None:
    ledger = world.begin(10, threshold=0)
    world.join("a")
    assert commit(ledger, "p", whole(take(ledger), failed=1)).state == "stopped"


def test_a_negative_threshold_allows_every_failure(world: World) -> None:
    ledger = world.begin(10, threshold=-1)
    world.join("a")
    assert commit(ledger, "p", whole(take(ledger), failed=20)).state == "scored"


def test_the_snapshot_tells_when_the_last_part_came(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    world.jump(2)
    assert ledger.snapshot(JOB).seconds_since_commit == 2.0
    commit(ledger, "p", whole(take(ledger)))
    world.jump(1.5)
    assert ledger.snapshot(JOB).seconds_since_commit == 1.5


# fail, give_back


def test_a_failed_attempt_is_made_again_later_and_counted(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    lease = take(ledger)
    call = {"instance": "a", "token": lease.token, "mini_batch": 4, "category": "timeout", "delay": 2.0}
    assert ledger.fail(JOB, **call) is True
    assert ledger.fail(JOB, **call) is False
    found = ledger.snapshot(JOB)
    assert (dict(found.failures), places(found)) == ({"timeout": 1}, (0, 9, 1))
    assert commit(ledger, "q", entry(0, 3, lease.token), entry(5, 9, lease.token)).refused == []
    world.jump(2)
    again = take(ledger)
    assert (again.first, again.last, again.attempts, again.losses) == (4, 4, 1, 0)
    assert ledger.fail(JOB, **call | {"token": again.token, "delay": 0.0}) is True
    assert take(ledger).attempts == 2


@pytest.mark.parametrize("wrong", [{"token": "e1-9"}, {"instance": "b"}, {"instance": "ghost"}, {"mini_batch": 10}])
def test_failing_what_is_not_held_is_false(world: World, wrong: dict[str, Any]) -> None:
    ledger = world.begin()
    world.join("a", "b")
    call = {"instance": "a", "token": take(ledger).token, "mini_batch": 4, "category": "crash", "delay": 0.0}
    assert ledger.fail(JOB, **call | wrong) is False
    assert ledger.snapshot(JOB).failures == {}


def test_ranges_given_back_keep_their_attempts(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    lease = take(ledger)
    ledger.fail(JOB, instance="a", token=lease.token, mini_batch=0, category="crash", delay=0.0)
    again = take(ledger)
    for _ in range(2):
        ledger.give_back(JOB, instance="a", token=again.token, ranges=[(0, 0)])
    assert take(ledger).attempts == 1


def test_only_what_is_held_is_given_back(world: World) -> None:
    ledger = world.begin(30)
    world.join("a", "b")
    lease, _ = take(ledger, "a"), take(ledger, "b")
    commit(ledger, "p", entry(2, 3, lease.token))
    ledger.give_back(JOB, instance="a", token=lease.token, ranges=[(1, 4), (8, 15)])
    assert places(ledger.snapshot(JOB)) == (2, 14, 4)
    ledger.give_back(JOB, instance="b", token=lease.token, ranges=None)
    ledger.give_back(JOB, instance="a", token=lease.token, ranges=[])
    assert places(ledger.snapshot(JOB)) == (2, 14, 4)
    ledger.give_back(JOB, instance="a", token=lease.token, ranges=None)
    assert places(ledger.snapshot(JOB)) == (2, 10, 8)


# stop, close, forget


def test_the_first_stop_wins(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    lease = take(ledger)
    assert ledger.stop(JOB, state="canceled", error=None) is True
    assert ledger.stop(JOB, state="canceled", error=None) is True, "the same call once more"
    assert ledger.stop(JOB, state="stopped", error={"class": "InitFailed", "message": "x"}) is False
    found = ledger.snapshot(JOB)
    assert (found.state, found.error) == ("canceled", None)
    assert ledger.renew(JOB, instance="a", info={}) == "canceled"
    assert ledger.lease(JOB, instance="a", limit=1) == Over(state="canceled")
    assert commit(ledger, "p", whole(lease)).accepted == [(0, 9)]


def test_a_stop_keeps_its_error(world: World) -> None:
    ledger = world.begin()
    error = {"class": "InitFailed", "message": "init() failed: ä", "detail": "Traceback\n  ..."}
    assert ledger.stop(JOB, state="stopped", error=error) is True
    assert ledger.snapshot(JOB).error == error


def test_a_scored_job_is_not_stopped(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    score_all(ledger)
    assert ledger.stop(JOB, state="canceled", error=None) is False
    assert ledger.snapshot(JOB).state == "scored"


def test_a_closed_job_takes_nothing_more(world: World) -> None:
    ledger = world.begin(20)
    world.join("a")
    lease, second = take(ledger), take(ledger)
    good = commit(ledger, "p", whole(lease))
    ledger.close(JOB, status="Failed")
    ledger.close(JOB, status="Completed")
    assert (ledger.snapshot(JOB).state, ledger.snapshot(JOB).status) == ("closed", "Failed")
    assert commit(ledger, "q", whole(second)).refused == [(10, 19)]
    assert commit(ledger, "p", whole(lease)) == Commit(accepted=good.accepted, refused=[], state="closed")
    assert ledger.fail(JOB, instance="a", token=second.token, mini_batch=10, category="crash", delay=0) is False
    ledger.give_back(JOB, instance="a", token=second.token, ranges=None)
    ledger.adopt(JOB, part="x", entries=[entry(10, 10)])
    ledger.extend(JOB, first=20, count=5, items=5, size=5, closed=True)
    assert ledger.register(JOB, instance="b", info={}).state == "closed"
    assert ledger.renew(JOB, instance="a", info={}) == "closed"
    assert ledger.lease(JOB, instance="a", limit=1) == Over(state="closed")
    ledger.leave(JOB, instance="a")
    found = ledger.snapshot(JOB)
    assert (found.done, found.planned, found.instances) == (10, 20, [])


def test_a_close_may_say_why_and_the_first_one_stays(world: World) -> None:
    ledger = world.begin(10)
    ledger.stop(JOB, state="stopped", error={"class": "InitFailed", "message": "x"})
    ledger.close(JOB, status="Failed")
    ledger.close(JOB, status="Failed", error={"class": "StorageFailed", "message": "late"})
    assert ledger.snapshot(JOB).error == {"class": "InitFailed", "message": "x"}
    ledger.open(JOB, epoch="e2", lease_seconds=LEASE, error_threshold=-1)
    ledger.close(JOB, status="Failed", error={"class": "StorageFailed", "message": "disk full"})
    assert ledger.snapshot(JOB).error == {"class": "StorageFailed", "message": "disk full"}


CALLS: dict[str, Callable[[Ledger], Any]] = {
    "extend": lambda it: it.extend(JOB, first=0, count=1, items=1, size=1, closed=False),
    "adopt": lambda it: it.adopt(JOB, part="p", entries=[]),
    "register": lambda it: it.register(JOB, instance="a", info={}),
    "renew": lambda it: it.renew(JOB, instance="a", info={}),
    "leave": lambda it: it.leave(JOB, instance="a"),
    "lease": lambda it: it.lease(JOB, instance="a", limit=1),
    "commit": lambda it: it.commit(JOB, instance="a", part="p", entries=[]),
    "fail": lambda it: it.fail(JOB, instance="a", token="t", mini_batch=0, category="c", delay=0),
    "give_back": lambda it: it.give_back(JOB, instance="a", token="t", ranges=None),
    "stop": lambda it: it.stop(JOB, state="canceled", error=None),
    "pause": lambda it: it.pause(JOB, paused=True),
    "share": lambda it: it.share(JOB, instances=1),
    "close": lambda it: it.close(JOB, status="Failed"),
    "snapshot": lambda it: it.snapshot(JOB),
    "parts": lambda it: list(it.parts(JOB)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_job_that_is_not_known_is_lost(world: World, name: str) -> None:
    with pytest.raises(LedgerLost, match=JOB):
        CALLS[name](world.ledger)


def test_a_forgotten_job_is_lost(world: World) -> None:
    ledger = world.begin()
    for _ in range(2):
        ledger.forget(JOB)
    with pytest.raises(LedgerLost):
        ledger.snapshot(JOB)


def test_two_jobs_do_not_meet(world: World) -> None:
    ledger = world.begin(10)
    ledger.open("other", epoch="o", lease_seconds=LEASE, error_threshold=-1)
    ledger.extend("other", first=0, count=5, items=5, size=5, closed=True)
    world.join("a")
    ledger.register("other", instance="a", info={})
    score_all(ledger)
    ledger.forget(JOB)
    assert ledger.snapshot("other").planned == 5
    assert isinstance(ledger.lease("other", instance="a", limit=9), Lease)


# adopt: a rebuild after the ledger was lost


def test_after_a_loss_what_storage_holds_is_not_scored_again(world: World) -> None:
    ledger = world.begin(100, chunk=30)
    world.join("a")
    kept = {}
    for number in range(4):
        lease = take(ledger, limit=7)
        kept[f"e1-{number}"] = [entry(n, n) for n in range(lease.first, lease.last + 1)]
        commit(ledger, f"e1-{number}", whole(lease))
    flying = take(ledger)
    ledger.forget(JOB)

    ledger.open(JOB, epoch="e2", lease_seconds=LEASE, error_threshold=-1)
    for first in range(0, 100, 30):
        size = min(30, 100 - first)
        ledger.extend(JOB, first=first, count=size, items=2 * size, size=10 * size, closed=first == 90)
    for part in ("e1-3", "e1-0", "e1-1"):  # the third part is lost as well
        ledger.adopt(JOB, part=part, entries=kept[part])
    with pytest.raises(Fenced):
        ledger.renew(JOB, instance="a", info={})
    world.join("b")
    assert commit(ledger, "e1-9", whole(flying)).accepted == []
    again = numbers(score_all(ledger, "b"))
    assert again == [*range(14, 21), *range(28, 100)]
    found = ledger.snapshot(JOB)
    assert (found.state, found.done, found.items_done, found.succeeded) == ("scored", 100, 200, 200)
    assert sorted(numbers([it for _, ranges in ledger.parts(JOB) for it in ranges])) == list(range(100))


def test_adopting_again_changes_nothing(world: World) -> None:
    ledger = world.begin(10)
    for _ in range(2):
        ledger.adopt(JOB, part="p", entries=[entry(2, 4)])
    found = ledger.snapshot(JOB)
    assert (found.done, found.items_done, found.parts) == (3, 6, 1)


def test_a_part_that_comes_second_is_adopted_with_what_is_new(world: World) -> None:
    ledger = world.begin(20)
    ledger.adopt(JOB, part="p", entries=[entry(2, 4)])
    ledger.adopt(JOB, part="q", entries=[entry(n, n) for n in range(6)])
    ledger.adopt(JOB, part="r", entries=[entry(3, 5)])
    found = ledger.snapshot(JOB)
    assert (found.done, found.items_done, found.rows) == (6, 12, 12)
    assert dict(ledger.parts(JOB)) == {"p": [(2, 4)], "q": [(0, 1), (5, 5)]}


def test_an_entry_with_a_hole_is_adopted_on_both_sides_of_it(world: World) -> None:
    ledger = world.begin(20)
    ledger.adopt(JOB, part="p", entries=[entry(3, 4), entry(7, 7)])
    ledger.adopt(JOB, part="q", entries=[entry(0, 9)])
    assert dict(ledger.parts(JOB)) == {"p": [(3, 4), (7, 7)], "q": [(0, 2), (5, 6), (8, 9)]}
    assert ledger.snapshot(JOB).done == 10


@pytest.mark.parametrize("done", [(0, 15), (0, 0), (8, 15), (5, 9), (24, 39), (16, 23), (39, 39)])
def test_leases_go_round_what_was_adopted(world: World, done: tuple[int, int]) -> None:
    ledger = world.begin(40)
    ledger.adopt(JOB, part="p", entries=[entry(*done), entry(20, 20)])
    world.join("a")
    kept = {*range(done[0], done[1] + 1), 20}
    leases = []
    while isinstance(lease := ledger.lease(JOB, instance="a", limit=30), Lease):
        leases.append((lease.first, lease.last))
        assert commit(ledger, lease.token, whole(lease)).refused == []
    assert numbers(leases) == [number for number in range(40) if number not in kept]
    assert ledger.snapshot(JOB).state == "scored"


def test_an_entry_partly_done_counts_by_its_share(world: World) -> None:
    ledger = world.begin(20)
    ledger.adopt(JOB, part="p", entries=[entry(0, 1)])
    ledger.adopt(JOB, part="q", entries=[entry(0, 9, failed=5)])
    found = ledger.snapshot(JOB)
    assert (found.done, found.items_done, found.succeeded, found.failed) == (10, 20, 16, 4)


def test_a_commit_of_an_adopted_part_is_told_what_was_adopted(world: World) -> None:
    ledger = world.begin(20)
    ledger.adopt(JOB, part="other", entries=[entry(4, 5)])
    ledger.adopt(JOB, part="p", entries=[entry(n, n) for n in range(10)])
    answer = commit(ledger, "p", entry(0, 9, "e0-5"))
    assert (answer.accepted, answer.refused) == ([(0, 3), (6, 9)], [(4, 5)])
    assert ledger.snapshot(JOB).done == 10


def test_adopting_takes_work_from_who_has_it(world: World) -> None:
    ledger = world.begin(40)
    world.join("a", "b")
    lease, back = take(ledger, "a"), take(ledger, "b")
    ledger.give_back(JOB, instance="b", token=back.token, ranges=[(10, 15)])
    ledger.adopt(JOB, part="p", entries=[entry(8, 12), entry(14, 14), entry(18, 22)])
    assert places(ledger.snapshot(JOB)) == (11, 8 + 2, 2)
    assert commit(ledger, "q", entry(0, 7, lease.token)).accepted == [(0, 7)]
    assert commit(ledger, "r", entry(8, 9, lease.token)).accepted == []
    assert [(it.first, it.last) for it in (take(ledger) for _ in range(3))] == [(13, 13), (15, 15), (23, 32)]


def test_a_repeated_request_whose_lease_was_torn_gets_a_whole_one(world: World) -> None:
    ledger = world.begin(20)
    world.join("a")
    take(ledger, request="r")
    ledger.adopt(JOB, part="p", entries=[entry(4, 5)])
    lease = take(ledger, request="r")
    assert (lease.first, lease.last, lease.token) == (0, 3, "e1-2")
    assert places(ledger.snapshot(JOB)) == (2, 4, 4)


def test_adopting_what_is_not_planned_is_refused(world: World) -> None:
    ledger = world.begin(10)
    with pytest.raises(LedgerFailed, match="part p "):
        ledger.adopt(JOB, part="p", entries=[entry(0, 0), entry(9, 10)])
    assert ledger.snapshot(JOB).done == 0


def test_adopting_the_last_of_it_ends_the_job(world: World) -> None:
    ledger = world.begin(10)
    ledger.adopt(JOB, part="p", entries=[entry(0, 9)])
    assert ledger.snapshot(JOB).state == "scored"


def test_adopted_failures_count_against_the_threshold(world: World) -> None:
    ledger = world.begin(10, threshold=1)
    ledger.adopt(JOB, part="p", entries=[entry(0, 1, failed=2)])
    assert ledger.snapshot(JOB).state == "stopped"


# Copies: second attempts at what takes long


def copy(ledger: Ledger, instance: str = "b", after: float = 0.0, **options: Any) -> Lease:
    lease = take(ledger, instance, copy_after=after, **options)
    assert lease.copy
    assert lease.first == lease.last
    return lease


def copied(world: World, count: int = 4, **options: Any) -> tuple[Ledger, Lease, Lease]:
    """All of a small job held by "a", and its first mini-batch by "b" too."""
    ledger = world.begin(count, **options)
    world.join("a", "b", "c")
    return ledger, take(ledger, "a", count), copy(ledger)


def test_a_copy_is_made_when_nothing_else_is_left(world: World) -> None:
    ledger = world.begin(4)
    world.join("a", "b")
    original = take(ledger, "a", 4)
    world.jump(5)
    assert ledger.lease(JOB, instance="b", limit=4) == Wait(seconds=1.0), "only who asks for copies gets one"
    lease = ledger.lease(JOB, instance="b", limit=4, copy_after=5.0)
    assert lease == Lease(token="e1-2", first=0, last=0, attempts=0, losses=0, chunk=0, copy=True)
    assert not original.copy
    found = ledger.snapshot(JOB)
    assert (places(found), found.copies) == ((0, 4, 0), 1), "it is leased once"


def test_what_was_never_leased_comes_before_a_copy(world: World) -> None:
    ledger = world.begin(12)
    world.join("a", "b")
    take(ledger, "a", 10)
    assert not take(ledger, "b", copy_after=0.0).copy
    assert copy(ledger).first == 0


def test_nothing_is_copied_while_something_waits_for_its_time(world: World) -> None:
    ledger = world.begin(10)
    world.join("a", "b")
    lease = take(ledger)
    ledger.fail(JOB, instance="a", token=lease.token, mini_batch=3, category="crash", delay=0.5)
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=0.0) == Wait(seconds=0.5)
    world.jump(0.5)
    assert not take(ledger, "b", copy_after=0.0).copy
    assert copy(ledger).first == 0


def test_nothing_is_copied_before_the_plan_is_closed(world: World) -> None:
    ledger = world.begin(10, closed=False)
    world.join("a", "b")
    take(ledger)
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=0.0) == Wait(seconds=0.2)


def test_waiting_lasts_until_the_next_copy_may_be_made(world: World) -> None:
    ledger = world.begin(10)
    world.join("a", "b")
    assert take(ledger).last == 9
    world.jump(1.5)
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=5.0) == Wait(seconds=1.0)
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=1.75) == Wait(seconds=0.25)
    world.jump(0.25)
    assert copy(ledger, after=1.75).first == 0


def test_what_was_held_longest_is_copied_first(world: World) -> None:
    ledger = world.begin(6)
    world.join("a", "b", "c")
    late = take(ledger, "a", 2)
    take(ledger, "a", 2)
    world.jump(1)
    ledger.give_back(JOB, instance="a", token=late.token, ranges=None)
    take(ledger, "c", 2)
    take(ledger, "b", 2)
    assert [copy(ledger, "c").first for _ in range(6)] == [2, 3, 0, 1, 4, 5]


def test_a_mini_batch_has_one_copy_at_a_time(world: World) -> None:
    ledger = world.begin(3)
    world.join("a", "b", "c")
    take(ledger)
    assert [copy(ledger, name).first for name in "bcb"] == [0, 1, 2]
    assert ledger.lease(JOB, instance="c", limit=1, copy_after=0.0) == Wait(seconds=1.0), "no copy of a copy"
    assert ledger.snapshot(JOB).copies == 3


def test_who_asks_too_early_is_told_when_the_oldest_is_old_enough(world: World) -> None:
    ledger = world.begin(4)
    world.join("a", "b")
    first = take(ledger, "a", 2)
    world.jump(0.5)
    take(ledger, "a", 2)
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=1.0) == Wait(seconds=0.5)
    commit(ledger, "p", whole(first))
    world.jump(0.5)
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=1.0) == Wait(seconds=0.5), "that is another one now"
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=0.75) == Wait(seconds=0.25)
    assert copy(ledger, after=0.5).first == 2, "each who asks has an age of its own"
    world.jump(0.5)
    assert copy(ledger, after=1.0).first == 3


def test_a_clock_set_back_costs_copies_their_time_but_does_not_end_them(world: World) -> None:
    ledger = world.begin(1)
    world.join("a", "b")
    take(ledger)
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=2.0) == Wait(seconds=1.0)
    world.jump(-60)
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=2.0) == Wait(seconds=1.0)
    for _ in range(9):
        world.jump(7)
        ledger.renew(JOB, instance="a", info={})
        ledger.renew(JOB, instance="b", info={})
    assert copy(ledger, after=2.0).first == 0


def test_who_is_late_but_not_given_up_may_still_win(world: World) -> None:
    ledger, original, second = copied(world)
    world.jump(3 * LEASE)
    assert commit(ledger, "p", entry(0, 0, original.token)).accepted == [(0, 0)]
    assert commit(ledger, "q", whole(second), instance="b").refused == [(0, 0)]
    found = ledger.snapshot(JOB)
    assert (found.expiries, found.outrun, places(found)) == (0, 1, (1, 3, 0))


def test_an_instance_may_get_a_copy_of_its_own(world: World) -> None:
    ledger, original, _ = copied(world)
    own = copy(ledger, "a")
    assert commit(ledger, "p", entry(1, 1, own.token)).accepted == [(1, 1)]
    assert commit(ledger, "q", entry(1, 1, original.token)).refused == [(1, 1)]
    assert places(ledger.snapshot(JOB)) == (1, 3, 0)


def test_a_copy_has_the_attempts_and_the_losses_of_the_first(world: World) -> None:
    ledger = world.begin(1)
    world.join("a", "z")
    take(ledger)
    world.pass_time(LEASE + 1, "z")
    lease = take(ledger, "z")
    ledger.fail(JOB, instance="z", token=lease.token, mini_batch=0, category="crash", delay=0.0)
    take(ledger, "z")
    found = copy(ledger, "z")
    assert (found.attempts, found.losses) == (1, 1)


def test_the_chunk_of_a_copy_is_that_of_its_mini_batch(world: World) -> None:
    ledger = world.begin(4, chunk=2)
    world.join("a", "b")
    assert [take(ledger).chunk for _ in range(2)] == [0, 2]
    assert [copy(ledger).chunk for _ in range(4)] == [0, 0, 2, 2]


@pytest.mark.parametrize("winner", ["first", "copy"])
def test_the_first_commit_of_two_wins_and_the_other_is_outrun(world: World, winner: str) -> None:
    ledger, original, second = copied(world)
    sides = [("a", original), ("b", second)]
    (fast, won), (slow, lost) = sides if winner == "first" else sides[::-1]
    assert commit(ledger, "fast", entry(0, 0, won.token), instance=fast).accepted == [(0, 0)]
    assert places(ledger.snapshot(JOB)) == (1, 3, 0)
    for times in (1, 2):
        answer = commit(ledger, "slow", entry(0, 0, lost.token, failed=1), instance=slow)
        assert (answer.accepted, answer.refused) == ([], [(0, 0)])
        found = ledger.snapshot(JOB)
        assert (found.outrun, found.fenced, found.failed) == (times, 0, 0)
    assert commit(ledger, "fast", entry(0, 0, won.token), instance=fast).accepted == [(0, 0)], "as the first time"
    commit(ledger, "rest", entry(1, 3, original.token))
    assert ledger.snapshot(JOB).state == "scored"
    assert dict(ledger.parts(JOB)) == {"fast": [(0, 0)], "rest": [(1, 3)]}


def end_by_failing(world: World, name: str, lease: Lease) -> None:
    call = {"instance": name, "token": lease.token, "mini_batch": 0, "category": "crash", "delay": 0.0}
    assert world.ledger.fail(JOB, **call) is True
    assert world.ledger.fail(JOB, **call) is False


def end_by_giving_back(world: World, name: str, lease: Lease) -> None:
    for _ in range(2):
        world.ledger.give_back(JOB, instance=name, token=lease.token, ranges=None)


def end_by_leaving(world: World, name: str, _: Lease) -> None:
    for _ in range(2):
        world.ledger.leave(JOB, instance=name)


def end_by_falling_silent(world: World, name: str, _: Lease) -> None:
    alive = {it.name for it in world.ledger.snapshot(JOB).instances}
    world.pass_time(LEASE + 1, *(alive - {name}))


ENDS = [end_by_failing, end_by_giving_back, end_by_leaving, end_by_falling_silent]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("loser", ["a", "b"])
def test_when_one_of_two_ends_the_other_goes_on_alone(world: World, end: Any, loser: str) -> None:
    ledger = world.begin(1)
    world.join("a", "b", "c")
    leases = {"a": take(ledger), "b": copy(ledger)}
    end(world, loser, leases[loser])
    found = ledger.snapshot(JOB)
    assert (places(found), found.losses) == ((0, 1, 0), 0), "nothing is returned, and nothing was lost"
    assert dict(found.failures) == ({"crash": 1} if end is end_by_failing else {})
    left = "b" if loser == "a" else "a"
    assert commit(ledger, "late", entry(0, 0, leases[loser].token), instance=loser).accepted == []
    assert commit(ledger, "p", entry(0, 0, leases[left].token), instance=left).accepted == [(0, 0)]
    found = ledger.snapshot(JOB)
    assert (found.state, found.fenced, found.outrun) == ("scored", 1, 0)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_when_both_of_two_end_the_mini_batch_is_returned_once(world: World, end: Any, order: str) -> None:
    ledger = world.begin(1)
    world.join("a", "b", "c")
    leases = {"a": take(ledger), "b": copy(ledger)}
    for name in order:
        end(world, name, leases[name])
    found = ledger.snapshot(JOB)
    assert places(found) == (0, 0, 1)
    again = take(ledger, "c", copy_after=0.0)
    assert not again.copy
    assert again.attempts == (1 if end is end_by_failing else 0)
    assert again.losses == found.losses == (1 if end is end_by_falling_silent else 0)
    assert commit(ledger, "p", whole(again), instance="c").state == "scored"


@pytest.mark.parametrize("end", ENDS)
def test_who_was_outrun_puts_nothing_back(world: World, end: Any) -> None:
    ledger, original, second = copied(world)
    commit(ledger, "p", entry(0, 0, second.token), instance="b")
    if end is end_by_failing:
        call = {"token": original.token, "mini_batch": 0, "category": "crash", "delay": 0.0}
        assert ledger.fail(JOB, instance="a", **call) is False
    else:
        end(world, "a", original)
    found = ledger.snapshot(JOB)
    assert (found.done, found.leased + found.returned) == (1, 3)
    assert not found.failures
    if end is end_by_failing:
        commit(ledger, "q", entry(1, 3, original.token))
    else:
        assert sorted(numbers(score_all(ledger, "c", "q"))) == [1, 2, 3]
    assert ledger.snapshot(JOB).state == "scored"


def test_an_instance_that_has_both_returns_them_in_one_piece(world: World) -> None:
    ledger = world.begin(4)
    world.join("a", "b")
    take(ledger, "a")
    for number in (0, 1):
        assert copy(ledger, "a").first == number
    world.pass_time(LEASE + 1, "b")
    found = ledger.snapshot(JOB)
    assert (places(found), found.losses) == ((0, 0, 4), 4)
    again = take(ledger, "b")
    assert (again.first, again.last, again.losses) == (0, 3, 1)


def test_what_goes_on_alone_may_be_copied_again_when_it_was_held_anew(world: World) -> None:
    ledger = world.begin(1)
    world.join("a", "b")
    take(ledger)
    world.jump(5)
    end_by_failing(world, "b", copy(ledger, after=5.0))
    assert ledger.lease(JOB, instance="b", limit=1, copy_after=5.0) == Wait(seconds=1.0)
    world.jump(5)
    assert copy(ledger, after=5.0).token == "e1-3"


def test_a_copy_that_goes_on_alone_may_be_copied(world: World) -> None:
    ledger = world.begin(1)
    world.join("a", "b", "c")
    original, second = take(ledger), copy(ledger)
    ledger.give_back(JOB, instance="a", token=original.token, ranges=None)
    third = copy(ledger, "c")
    assert commit(ledger, "p", whole(third), instance="c").state == "scored"
    assert commit(ledger, "q", whole(second), instance="b").refused == [(0, 0)]
    assert ledger.snapshot(JOB).outrun == 1


def test_a_repeated_request_gets_the_same_copy(world: World) -> None:
    ledger = world.begin(4)
    world.join("a", "b")
    original = take(ledger, "a")
    first = copy(ledger, request="r")
    assert copy(ledger, request="r") == first
    assert copy(ledger, request="r", after=99.0) == first
    commit(ledger, "p", entry(0, 0, original.token))
    assert copy(ledger, request="r").first == 1, "the first copy is over"
    assert ledger.snapshot(JOB).copies == 2


def test_a_repeated_request_for_what_was_outrun_in_the_middle_gets_a_whole_one(world: World) -> None:
    ledger = world.begin(3)
    world.join("a", "b")
    take(ledger, "a", request="r")
    copies = [copy(ledger) for _ in range(2)]
    commit(ledger, "p", entry(1, 1, copies[1].token), instance="b")
    again = take(ledger, "a", request="r")
    assert (again.first, again.last, again.copy) == (2, 2, False), "0 stays with its copy"
    assert places(ledger.snapshot(JOB)) == (1, 2, 0)
    assert commit(ledger, "q", entry(0, 0, copies[0].token), instance="b").accepted == [(0, 0)]


def test_an_entry_with_one_outrun_in_it_is_refused_and_the_rest_scored_again(world: World) -> None:
    ledger, original, second = copied(world)
    commit(ledger, "p", entry(0, 0, second.token), instance="b")
    assert commit(ledger, "q", entry(0, 3, original.token)).refused == [(0, 3)]
    found = ledger.snapshot(JOB)
    assert (places(found), found.outrun, found.fenced) == ((1, 0, 3), 1, 3)
    assert numbers(score_all(ledger, "c", "r")) == [1, 2, 3]


def test_a_wide_commit_outruns_every_copy(world: World) -> None:
    ledger = world.begin(4)
    world.join("a", "b", "c")
    original = take(ledger)
    copies = [(name, copy(ledger, name)) for name in "bcb"]
    assert commit(ledger, "p", whole(original)).state == "scored"
    found = ledger.snapshot(JOB)
    assert (places(found), found.outrun) == ((4, 0, 0), 0)
    for name, lease in copies:
        assert commit(ledger, f"q-{lease.token}", whole(lease), instance=name).accepted == []
    assert ledger.snapshot(JOB).outrun == 3


def test_adopting_takes_a_mini_batch_from_both(world: World) -> None:
    ledger, original, second = copied(world)
    ledger.adopt(JOB, part="p", entries=[entry(0, 1)])
    assert places(ledger.snapshot(JOB)) == (2, 2, 0)
    assert commit(ledger, "q", entry(0, 0, original.token)).accepted == []
    assert commit(ledger, "r", entry(0, 0, second.token), instance="b").accepted == []
    found = ledger.snapshot(JOB)
    assert (found.fenced, found.outrun) == (2, 0), "neither of the two won"
    assert commit(ledger, "s", entry(2, 3, original.token)).state == "scored"


def test_failed_items_of_the_winner_alone_count_against_the_threshold(world: World) -> None:
    ledger, original, second = copied(world, threshold=1)
    assert commit(ledger, "p", entry(0, 0, second.token, failed=1), instance="b").state == "open"
    assert commit(ledger, "q", entry(0, 0, original.token, failed=2)).state == "open"
    own = copy(ledger, "c")
    assert commit(ledger, "r", entry(1, 1, own.token, failed=1), instance="c").state == "stopped"
    assert commit(ledger, "s", entry(1, 1, original.token)).refused == [(1, 1)]
    assert commit(ledger, "t", entry(2, 3, original.token)).accepted == [(2, 3)], "work in hand still counts"
    assert ledger.snapshot(JOB).outrun == 2


@pytest.mark.parametrize("state", ["stopped", "canceled"])
def test_of_two_in_hand_the_first_counts_when_the_job_was_ended(world: World, state: str) -> None:
    ledger, original, second = copied(world)
    ledger.stop(JOB, state=state, error=None)
    assert ledger.lease(JOB, instance="c", limit=1, copy_after=0.0) == Over(state=state)
    assert commit(ledger, "p", entry(0, 0, original.token)).accepted == [(0, 0)]
    assert commit(ledger, "q", whole(second), instance="b").accepted == []
    for name in "ab":
        ledger.leave(JOB, instance=name)
    assert places(ledger.snapshot(JOB)) == (1, 0, 3)


def test_a_closed_job_lets_go_of_both(world: World) -> None:
    ledger, original, second = copied(world)
    ledger.close(JOB, status="Failed")
    assert commit(ledger, "p", entry(0, 0, original.token)).accepted == []
    assert commit(ledger, "q", whole(second), instance="b").accepted == []
    ledger.leave(JOB, instance="a")
    assert places(ledger.snapshot(JOB)) == (0, 1, 0)
    ledger.leave(JOB, instance="b")
    assert places(ledger.snapshot(JOB)) == (0, 0, 0)


def test_a_job_opened_anew_knows_no_copies(world: World) -> None:
    ledger, _, _ = copied(world)
    ledger.forget(JOB)
    world.begin(4)
    world.join("a", "b")
    take(ledger)
    assert [copy(ledger).first for _ in range(4)] == [0, 1, 2, 3]
    assert ledger.snapshot(JOB).copies == 4


# Pause


def test_a_paused_job_leases_nothing_and_takes_what_is_in_hand(world: World) -> None:
    ledger = world.begin(20)
    world.join("a", "b")
    lease, other = take(ledger), take(ledger, "b", 5)
    for _ in range(2):
        assert ledger.pause(JOB, paused=True) is True
    assert ledger.snapshot(JOB).paused is True
    assert ledger.lease(JOB, instance="a", limit=1, copy_after=0.0) == Wait(seconds=0.5)
    assert ledger.fail(JOB, instance="a", token=lease.token, mini_batch=9, category="crash", delay=0.0)
    ledger.give_back(JOB, instance="a", token=lease.token, ranges=[(8, 8)])
    assert commit(ledger, "p", entry(0, 7, lease.token)).accepted == [(0, 7)]
    assert ledger.lease(JOB, instance="a", limit=1) == Wait(seconds=0.5)
    world.pass_time(LEASE + 1, "a")
    assert ledger.snapshot(JOB).losses == 5, "the dead are found"
    with pytest.raises(Fenced):
        ledger.lease(JOB, instance="b", limit=1)
    assert commit(ledger, "q", whole(other), instance="b").accepted == []
    for _ in range(2):
        assert ledger.pause(JOB, paused=False) is True
    assert ledger.snapshot(JOB).paused is False
    assert sorted(numbers(score_all(ledger))) == list(range(8, 20))


def test_a_lease_whose_answer_was_lost_is_answered_while_the_job_is_paused(world: World) -> None:
    ledger = world.begin(20)
    world.join("a")
    lease = take(ledger, request="r")
    ledger.pause(JOB, paused=True)
    assert take(ledger, request="r") == lease, "else nobody would ever score it"
    assert ledger.lease(JOB, instance="a", limit=1, request="s") == Wait(seconds=0.5)


def test_a_torn_lease_is_returned_while_the_job_is_paused(world: World) -> None:
    ledger = world.begin(20)
    world.join("a")
    take(ledger, request="r")
    ledger.adopt(JOB, part="p", entries=[entry(4, 5)])
    ledger.pause(JOB, paused=True)
    assert ledger.lease(JOB, instance="a", limit=1, request="r") == Wait(seconds=0.5)
    assert places(ledger.snapshot(JOB)) == (2, 0, 8)


def test_a_paused_job_may_end(world: World) -> None:
    ledger = world.begin(10)
    world.join("a")
    lease = take(ledger)
    ledger.pause(JOB, paused=True)
    assert commit(ledger, "p", whole(lease)).state == "scored"
    assert ledger.pause(JOB, paused=True) is False
    assert ledger.pause(JOB, paused=False) is False
    assert ledger.lease(JOB, instance="a", limit=1) == Over(state="scored")


def test_a_paused_job_may_be_stopped(world: World) -> None:
    ledger = world.begin(10)
    ledger.pause(JOB, paused=True)
    assert ledger.stop(JOB, state="canceled", error=None) is True
    assert ledger.pause(JOB, paused=False) is False


def test_a_rebuilt_job_is_not_paused(world: World) -> None:
    ledger = world.begin(10)
    ledger.pause(JOB, paused=True)
    ledger.forget(JOB)
    world.begin(10)
    assert ledger.snapshot(JOB).paused is False


# A job's share of instances


def come(ledger: Ledger, name: str, **info: Any) -> str:
    return ledger.register(JOB, instance=name, info={"role": "instance", **info}).state


def renewed(ledger: Ledger, *names: str, **info: Any) -> list[str]:
    return [ledger.renew(JOB, instance=name, info={"role": "instance", **info}) for name in names]


def test_a_job_that_has_its_share_takes_no_more_instances(world: World) -> None:
    ledger = world.begin(10)
    assert ledger.snapshot(JOB).share is None
    ledger.share(JOB, instances=1)
    assert ledger.snapshot(JOB).share == 1

    assert [come(ledger, name) for name in ("a", "b", "a")] == ["open", "full", "open"]

    assert [each.name for each in ledger.snapshot(JOB).instances] == ["a"]
    ledger.leave(JOB, instance="b")
    with pytest.raises(Fenced):
        ledger.lease(JOB, instance="b", limit=1)
    assert numbers(score_all(ledger)) == list(range(10))
    found = ledger.snapshot(JOB)
    assert (found.losses, found.expiries, found.fenced) == (0, 0, 0)


def test_of_many_that_come_at_once_as_many_are_taken_as_there_are_places(world: World) -> None:
    ledger = world.begin(10)
    ledger.share(JOB, instances=3)
    told: list[str] = []

    threads = [threading.Thread(target=lambda n=n: told.append(come(ledger, f"i{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(told) == ["full"] * 5 + ["open"] * 3
    assert len(ledger.snapshot(JOB).instances) == 3


def test_an_aggregator_needs_no_share_and_takes_none(world: World) -> None:
    ledger = world.begin(10)
    ledger.share(JOB, instances=0)
    assert come(ledger, "a") == "full"
    ledger.stop(JOB, state="stopped", error=None)

    assert ledger.register(JOB, instance="m", info={"role": "aggregator"}).state == "stopped"
    assert ledger.renew(JOB, instance="m", info={"role": "aggregator"}) == "stopped"
    assert come(ledger, "late") == "stopped"


def test_an_aggregator_that_comes_early_is_not_refused(world: World) -> None:
    ledger = world.begin(10)
    ledger.share(JOB, instances=1)

    assert ledger.register(JOB, instance="m", info={"role": "aggregator"}).state == "open"
    assert come(ledger, "a") == "open"
    assert ledger.renew(JOB, instance="m", info={"role": "aggregator"}) == "open"


def test_those_longest_there_are_asked_to_leave_and_nothing_is_lost(world: World) -> None:
    ledger = world.begin(100)
    for name in ("b", "c", "a"):
        come(ledger, name)
        world.jump(1)
    lease = take(ledger, "b")
    assert renewed(ledger, "a", "b", "c") == ["open"] * 3

    ledger.share(JOB, instances=1)

    assert renewed(ledger, "a", "b", "c") == ["open", "surplus", "surplus"]
    assert ledger.snapshot(JOB).state == "open"
    commit(ledger, "p", whole(lease), instance="b")
    ledger.leave(JOB, instance="b")
    assert renewed(ledger, "a", "c") == ["open", "surplus"]
    ledger.leave(JOB, instance="c")
    assert renewed(ledger, "a") == ["open"]
    found = ledger.snapshot(JOB)
    assert (found.done, found.losses, found.expiries) == (10, 0, 0)


def test_of_two_that_came_at_once_the_first_name_leaves(world: World) -> None:
    ledger = world.begin(10)
    come(ledger, "y")
    come(ledger, "x")
    ledger.share(JOB, instances=1)

    assert renewed(ledger, "y", "x") == ["open", "surplus"]


def test_who_leaves_already_goes_first_and_who_is_not_ready_goes_last(world: World) -> None:
    ledger = world.begin(10)
    for name in ("a", "b", "c"):
        come(ledger, name)
        world.jump(1)
    ledger.share(JOB, instances=2)
    assert renewed(ledger, "a") == ["surplus"]
    renewed(ledger, "b", ready_after=1.5)
    assert renewed(ledger, "a") == ["open"]
    renewed(ledger, "c", ready_after=0.5, leaving=True)

    assert renewed(ledger, "a") + renewed(ledger, "b", ready_after=1.5) == ["open", "open"]
    assert renewed(ledger, "c", ready_after=0.5, leaving=True) == ["surplus"]


def test_a_limit_that_is_lifted_asks_nobody_to_leave(world: World) -> None:
    ledger = world.begin(10)
    come(ledger, "a")
    ledger.share(JOB, instances=0)
    assert renewed(ledger, "a") == ["surplus"]

    ledger.share(JOB, instances=None)

    assert renewed(ledger, "a") == ["open"]
    assert come(ledger, "b") == "open"
    assert ledger.snapshot(JOB).share is None


def test_a_job_that_is_over_knows_no_surplus(world: World) -> None:
    ledger = world.begin(10)
    come(ledger, "a")
    ledger.share(JOB, instances=0)
    ledger.stop(JOB, state="canceled", error=None)
    assert renewed(ledger, "a") == ["canceled"]
    ledger.close(JOB, status="Canceled")

    ledger.share(JOB, instances=5)

    assert ledger.snapshot(JOB).share == 0


def test_a_job_opened_anew_has_no_limit(world: World) -> None:
    ledger = world.begin(10)
    ledger.share(JOB, instances=0)
    ledger.close(JOB, status="Failed")

    ledger.open(JOB, epoch="e2", lease_seconds=LEASE, error_threshold=-1)

    assert ledger.snapshot(JOB).share is None
    assert come(ledger, "a") == "open"


def test_a_new_limit_wakes_who_waits(world: World) -> None:
    ledger = world.begin(10)
    ledger.wait(JOB, 0.01)
    ledger.share(JOB, instances=2)
    began = time.monotonic()
    ledger.wait(JOB, 5)
    assert time.monotonic() - began < 4


# Who leads a job, and which jobs run


def test_one_leads_a_job_until_its_time_is_over(world: World) -> None:
    ledger = world.ledger
    assert ledger.lead(JOB, leader="x", seconds=5) is True, "also of a job that is not known"
    assert ledger.lead(JOB, leader="y", seconds=5) is False
    world.jump(4)
    assert ledger.lead(JOB, leader="x", seconds=5) is True, "that renews it"
    world.jump(4)
    assert ledger.lead(JOB, leader="y", seconds=5) is False
    world.jump(1)
    assert ledger.lead(JOB, leader="y", seconds=5) is True
    assert ledger.lead(JOB, leader="x", seconds=5) is False
    assert ledger.lead("other", leader="x", seconds=5) is True


def test_only_who_leads_gives_it_up(world: World) -> None:
    ledger = world.ledger
    ledger.unlead(JOB, leader="x")
    ledger.lead(JOB, leader="x", seconds=5)
    ledger.unlead(JOB, leader="y")
    assert ledger.lead(JOB, leader="y", seconds=5) is False
    for _ in range(2):
        ledger.unlead(JOB, leader="x")
    assert ledger.lead(JOB, leader="y:1:2", seconds=5) is True
    assert ledger.lead(JOB, leader="y:1:2", seconds=5) is True


def test_who_leads_a_job_leads_it_through_all_its_lives(world: World) -> None:
    world.ledger.lead(JOB, leader="x", seconds=5)
    ledger = world.begin(10)
    for end in (lambda: ledger.close(JOB, status="Failed"), lambda: ledger.forget(JOB)):
        end()
        assert ledger.lead(JOB, leader="y", seconds=5) is False
    ledger.open(JOB, epoch="e2", lease_seconds=LEASE, error_threshold=-1)
    assert ledger.lead(JOB, leader="y", seconds=5) is False


def test_a_clock_set_back_does_not_keep_a_dead_leader(world: World) -> None:
    world.ledger.lead(JOB, leader="x", seconds=5)
    world.jump(-3)
    assert world.ledger.lead(JOB, leader="y", seconds=5) is False
    world.jump(-3600)
    assert world.ledger.lead(JOB, leader="y", seconds=5) is True


def test_jobs_are_announced_until_they_are_closed_or_forgotten(world: World) -> None:
    ledger = world.begin(10)
    for _ in range(2):
        ledger.announce(JOB, folder="s3://out/.gristmill/heart-1")
    ledger.announce("other", folder="/data/ö")
    assert ledger.announced() == {JOB: "s3://out/.gristmill/heart-1", "other": "/data/ö"}
    ledger.announce("other", folder="/moved")
    ledger.close(JOB, status="Completed")
    assert ledger.announced() == {"other": "/moved"}
    ledger.forget("other")
    assert ledger.announced() == {}


def test_closing_a_lost_job_withdraws_it(world: World) -> None:
    world.ledger.announce(JOB, folder="/data")
    with pytest.raises(LedgerLost):
        world.ledger.close(JOB, status="Completed")
    assert world.ledger.announced() == {}


# wait


def rings(world: World, act: Callable[[], object]) -> bool:
    """Whether `act` wakes a coordinator that waits."""
    world.ledger.wait(JOB, 0.01)  # what rang before
    woke = threading.Event()

    def coordinate() -> None:
        world.ledger.wait(JOB, 10)
        woke.set()

    waiter = threading.Thread(target=coordinate)
    waiter.start()
    act()
    rang = woke.wait(5)
    waiter.join()
    return rang


def test_the_bell_rings_for_what_a_coordinator_cares_about(world: World) -> None:
    ledger = world.begin(20)
    assert rings(world, lambda: ledger.register(JOB, instance="a", info={}))
    assert rings(world, lambda: ledger.leave(JOB, instance="a"))
    world.join("a", "b")
    world.pass_time(LEASE - 1, "b")
    world.jump(2)
    assert rings(world, lambda: ledger.renew(JOB, instance="b", info={}))
    assert rings(world, lambda: score_all(ledger, "b"))
    assert rings(world, lambda: ledger.close(JOB, status="Completed"))


def test_the_bell_rings_for_a_stop(world: World) -> None:
    ledger = world.begin(20)
    assert rings(world, lambda: ledger.stop(JOB, state="canceled", error=None))


def test_a_bell_that_rang_before_is_heard(world: World) -> None:
    ledger = world.begin()
    world.join("a")
    started = time.monotonic()
    ledger.wait(JOB, 10)
    assert time.monotonic() - started < 5


def test_waiting_in_vain_ends_in_time(world: World) -> None:
    ledger = world.begin()
    ledger.wait(JOB, 0.01)
    started = time.monotonic()
    ledger.wait(JOB, 0.3)
    assert 0.25 < time.monotonic() - started < 5


def test_threads_share_a_ledger(world: World) -> None:
    ledger = world.begin(400)
    names = [f"i{number}" for number in range(4)]
    world.join(*names)
    leased: dict[str, list[tuple[int, int]]] = {}

    def work(name: str) -> None:
        leased[name] = score_all(ledger, name, name)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers([found for ranges in leased.values() for found in ranges])) == list(range(400))
    assert ledger.snapshot(JOB).done == 400


# Nodes


def test_a_node_is_told_with_its_name_and_the_age_of_its_last_sign_of_life(world: World) -> None:
    world.ledger.see_node("b", {"compute": "gpu", "running": ["heart-1"], "text": "a:b\nc"}, 15)
    world.jump(4)
    world.ledger.see_node("a", {"compute": "cpu", "slots": 2}, 15)
    world.jump(1)
    assert world.ledger.nodes() == [
        {"name": "a", "age_seconds": 1.0, "compute": "cpu", "slots": 2},
        {"name": "b", "age_seconds": 5.0, "compute": "gpu", "running": ["heart-1"], "text": "a:b\nc"},
    ]


def test_a_node_says_something_else_of_itself(world: World) -> None:
    world.ledger.see_node("a", {"running": ["heart-1"]}, 15)
    world.jump(3)
    world.ledger.see_node("a", {"running": []}, 15)
    assert world.ledger.nodes() == [{"name": "a", "age_seconds": 0.0, "running": []}]


def test_a_node_that_fell_silent_is_gone_and_one_that_beats_stays(world: World) -> None:
    world.ledger.see_node("silent", {}, 15)
    for _ in range(3):
        world.ledger.see_node("alive", {}, 15)
        world.jump(4.9)
    assert [node["name"] for node in world.ledger.nodes()] == ["alive", "silent"]
    world.jump(0.4)
    assert [node["name"] for node in world.ledger.nodes()] == ["alive"]


def test_a_node_that_leaves_in_order_is_gone_at_once(world: World) -> None:
    world.ledger.see_node("a", {}, 15)
    world.ledger.see_node("b", {}, 15)
    world.ledger.leave_node("a")
    world.ledger.leave_node("nobody")
    assert [node["name"] for node in world.ledger.nodes()] == ["b"]


def test_a_node_that_was_seen_before_the_clock_was_set_back_does_not_stay_for_ever(world: World) -> None:
    world.ledger.see_node("a", {}, 15)
    world.jump(-60)
    world.ledger.see_node("b", {}, 15)
    assert [node["name"] for node in world.ledger.nodes()] == ["b"]

from __future__ import annotations

from typing import Any

import pytest

from gristmill.errors import LedgerFailed
from gristmill.spec import Priority
from gristmill_scheduler.jobs import sharing as sharing_module
from gristmill_scheduler.jobs.record import State
from gristmill_scheduler.jobs.rows import Row
from gristmill_scheduler.jobs.sharing import Sharing, rank
from gristmill_storage.ledger.memory import MemoryLedger


@pytest.fixture
def clock(monkeypatch):
    moments = [100.0]
    monkeypatch.setattr(sharing_module.time, "monotonic", lambda: moments[0])
    return moments


@pytest.fixture
def ledger(clock):
    return MemoryLedger(clock=lambda: clock[0])


@pytest.fixture
def sharing(ledger):
    return Sharing(ledger, seconds=10)


def row(name: str, *, instances: int = 1, priority: Priority = Priority.MEDIUM, submitted: float = 0.0) -> Row:
    return Row(
        name=name,
        endpoint="e",
        deployment="d",
        compute="c",
        instances=instances,
        priority=priority,
        submitted=submitted,
        state=State.BEGUN,
        status="",
        archived=False,
        paused=False,
        version=1,
    )


def begin(ledger: MemoryLedger, *names: str) -> list[Row]:
    for name in names:
        ledger.open(name, epoch="1", lease_seconds=600, error_threshold=-1)
    return [row(name) for name in names]


def come(ledger: MemoryLedger, job: str, **info: Any) -> None:
    info = {"role": "instance", "slot": 0, "ready_after": 0.0, **info}
    ledger.register(job, instance=f"{job}-{info['slot']}", info=info)


def shares(ledger: MemoryLedger, *jobs: str) -> list[int | None]:
    return [ledger.snapshot(job).share for job in jobs]


def test_a_job_alone_has_no_limit_and_is_asked_after_once(sharing, ledger, clock, monkeypatch) -> None:
    begun = begin(ledger, "a")
    ledger.share("a", instances=0)  # by a server that died
    sharing.look("c", begun, 1)
    assert shares(ledger, "a") == [None]

    monkeypatch.setattr(ledger, "snapshot", lambda _job: pytest.fail("it is known"))
    sharing.look("c", begun, 1)


def test_two_jobs_take_turns_and_the_last_one_is_free(sharing, ledger, clock) -> None:
    begun = begin(ledger, "a", "b")
    come(ledger, "a")
    sharing.look("c", begun, 1)
    assert shares(ledger, "a", "b") == [1, 0]
    assert sharing.turn("c") == 10
    clock[0] += 11
    sharing.look("c", begun, 1)
    assert shares(ledger, "a", "b") == [0, 1]
    ledger.leave("a", instance="a-0")
    come(ledger, "b")
    sharing.look("c", begun, 1)
    assert shares(ledger, "a", "b") == [0, 1]

    sharing.keep(begun[:1])
    sharing.look("c", begun[:1], 1)

    assert shares(ledger, "a") == [None]
    assert sharing.turn("c") is None


def test_who_takes_over_sets_the_shares_right_at_its_first_look(ledger, clock) -> None:
    begun = begin(ledger, "a", "b")
    come(ledger, "a")
    clock[0] += 100
    for name in "ab":
        ledger.share(name, instances=0)
    Sharing(ledger, seconds=10).look("c", begun, 1)

    assert shares(ledger, "a", "b") == [0, 1]


def test_a_ledger_that_forgot_is_told_again(sharing, ledger, clock) -> None:
    begun = begin(ledger, "a", "b")
    come(ledger, "a")
    sharing.look("c", begun, 1)
    ledger.forget("a")
    begin(ledger, "a")
    come(ledger, "a")
    assert shares(ledger, "a") == [None]

    sharing.look("c", begun, 1)

    assert shares(ledger, "a", "b") == [1, 0]


def test_a_job_that_is_not_open_yet_or_over_wants_nothing(sharing, ledger, clock) -> None:
    begun = [*begin(ledger, "a", "over"), row("coming")]
    ledger.close("over", status="Completed")
    come(ledger, "a")
    sharing.look("c", begun, 1)

    assert shares(ledger, "a") == [None]


def test_a_job_that_is_merged_has_its_place(sharing, ledger, clock) -> None:
    begun = begin(ledger, "a", "merged")
    ledger.stop("merged", state="stopped", error=None)
    come(ledger, "a")
    clock[0] += 11
    sharing.look("c", begun, 1)
    assert shares(ledger, "a", "merged") == [0, None]
    ledger.register("merged", instance="m", info={"role": "aggregator"})
    sharing.look("c", begun, 1)
    assert shares(ledger, "a") == [0]

    ledger.close("merged", status="Failed")
    sharing.look("c", begun, 1)

    assert shares(ledger, "a") == [None]


def test_priorities_count(sharing, ledger, clock) -> None:
    begin(ledger, "low", "high")
    begun = [row("low", instances=5, priority=Priority.LOW), row("high", instances=9, priority=Priority.HIGH)]
    sharing.look("c", begun, 5)

    assert shares(ledger, "low", "high") == [1, 4]


def test_a_limit_that_could_not_be_lifted_is_lifted_later(sharing, ledger, clock, monkeypatch) -> None:
    begun = begin(ledger, "a")
    ledger.share("a", instances=0)

    def away(_job: str, **_: Any) -> None:
        raise LedgerFailed("away")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "share", away)
        with pytest.raises(LedgerFailed):
            sharing.look("c", begun, 1)
    sharing.look("c", begun, 1)

    assert shares(ledger, "a") == [None]


def test_jobs_that_wait_are_ordered_by_how_long_and_how_urgent_they_do() -> None:
    old = row("old", priority=Priority.LOW, submitted=0)
    new = row("new", priority=Priority.HIGH, submitted=80)
    newer = row("newer", priority=Priority.LOW, submitted=80)
    skewed = row("skewed", priority=Priority.HIGH, submitted=500)

    assert sorted([skewed, newer, new, old], key=lambda each: rank(each, 90)) == [old, new, newer, skewed]
    assert sorted([old, new], key=lambda each: rank(each, 120)) == [new, old]
    assert sorted([old, new], key=lambda each: rank(each, 100)) == [old, new]

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gristmill.errors import LedgerFailed
from gristmill_scheduler import leadership as leadership_module
from gristmill_scheduler.leadership import Leadership, TakenOver, lead_seconds
from gristmill_storage.ledger.memory import MemoryLedger


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def first(ledger: MemoryLedger) -> Iterator[Leadership]:
    leadership = Leadership("j", ledger, seconds=30)
    assert leadership.take()
    yield leadership
    leadership.stop()


def test_one_leads_at_a_time(ledger, first) -> None:
    second = Leadership("j", ledger, seconds=30)

    assert not second.take()
    first.check()


def test_another_job_is_another_lead(ledger, first) -> None:
    other = Leadership("k", ledger, seconds=30)

    assert other.take()
    other.stop()


def test_who_stops_lets_another_lead_at_once(ledger, first) -> None:
    first.stop()
    second = Leadership("j", ledger, seconds=30)

    assert second.take()
    second.stop()


def test_the_lead_of_one_known_to_be_dead_is_not_waited_for(ledger) -> None:
    assert ledger.lead("j", leader="dead", seconds=30)
    second = Leadership("j", ledger, seconds=30, dead="dead")

    assert second.take()
    second.stop()


def test_only_the_dead_one_is_displaced(ledger, first) -> None:
    second = Leadership("j", ledger, seconds=30, dead="another")

    assert not second.take()
    first.check()


def test_one_that_was_displaced_and_lives_finds_out(ledger, first) -> None:
    second = Leadership("j", ledger, seconds=30, dead=first.leader)
    assert second.take()

    with pytest.raises(TakenOver):
        first.confirm()
    second.stop()


def test_a_lead_that_runs_out_is_waited_for(ledger) -> None:
    assert ledger.lead("j", leader="dead", seconds=0.3)
    second = Leadership("j", ledger, seconds=30)

    assert second.take(patience=5)
    second.stop()


def test_a_lead_is_renewed_while_its_owner_is_busy(ledger) -> None:
    busy = Leadership("j", ledger, seconds=0.3)
    assert busy.take()
    time.sleep(0.7)

    assert not Leadership("j", ledger, seconds=0.3).take()
    busy.check()
    busy.stop()


def test_who_slept_too_long_sees_at_the_next_check_that_another_leads(ledger, first, monkeypatch) -> None:
    now = time.monotonic()
    ledger.unlead("j", leader=first.leader)
    assert ledger.lead("j", leader="other", seconds=60)
    first.check()  # the last answer is young enough

    monkeypatch.setattr(leadership_module.time, "monotonic", lambda: now + 40)

    with pytest.raises(TakenOver):
        first.check()
    first.stop()
    assert not ledger.lead("j", leader=first.leader, seconds=1)


def test_a_confirmation_asks_every_time(ledger, first) -> None:
    ledger.unlead("j", leader=first.leader)
    first.confirm()
    assert not ledger.lead("j", leader="other", seconds=1)

    ledger.unlead("j", leader=first.leader)
    ledger.lead("j", leader="other", seconds=60)

    with pytest.raises(TakenOver):
        first.confirm()
    with pytest.raises(TakenOver):
        first.check()


def test_a_server_that_is_away_when_the_lead_is_given_up_is_no_fault(ledger, first, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LedgerFailed("away")

    monkeypatch.setattr(ledger, "unlead", fail)
    first.stop()


def test_a_lead_lasts_a_third_of_a_lease_but_three_seconds_at_least() -> None:
    assert (lead_seconds(2), lead_seconds(15), lead_seconds(600)) == (3, 5, 200)

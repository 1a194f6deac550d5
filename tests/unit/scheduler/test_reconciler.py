from __future__ import annotations

from typing import Any

import pytest

from gristmill.errors import LedgerFailed
from gristmill_scheduler import reconciler as reconciler_module
from gristmill_scheduler.reconciler import ARRIVAL_SECONDS, Reconciler
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.queue import RUN_INSTANCE, Message


@pytest.fixture
def clock(monkeypatch):
    moments = [100.0]
    monkeypatch.setattr(reconciler_module.time, "monotonic", lambda: moments[0])
    return moments


@pytest.fixture
def ledger():
    ledger = MemoryLedger()
    ledger.open("j", epoch="1", lease_seconds=30, error_threshold=-1)
    return ledger


def alive(ledger: MemoryLedger, name: str, **info: Any) -> None:
    ledger.register("j", instance=name, info={"role": "instance", **info})


@pytest.fixture
def reconciler(queue):
    return Reconciler(queue, compute="c", job="j", folder="/f", instances=2)


def slots(queue) -> list[int]:
    return [message.slot for kind, message in queue.sent if kind == "instance"]


def test_every_instance_is_asked_for_once(reconciler, queue, ledger, clock) -> None:
    reconciler.want_instances(ledger.snapshot("j"))
    reconciler.want_instances(ledger.snapshot("j"))

    assert slots(queue) == [0, 1]


def test_nothing_is_sent_while_messages_wait_in_the_queue(reconciler, queue, ledger, clock) -> None:
    reconciler.want_instances(ledger.snapshot("j"))
    clock[0] += 10 * ARRIVAL_SECONDS
    reconciler.want_instances(ledger.snapshot("j"))

    assert slots(queue) == [0, 1]


def test_an_instance_that_never_arrived_is_asked_for_again(reconciler, queue, ledger, clock) -> None:
    reconciler.want_instances(ledger.snapshot("j"))
    queue.take()
    alive(ledger, "a", slot=0)
    clock[0] += ARRIVAL_SECONDS
    reconciler.want_instances(ledger.snapshot("j"))

    assert slots(queue) == [0, 1, 1]


def test_an_instance_that_left_is_asked_for_again(reconciler, queue, ledger, clock) -> None:
    reconciler.want_instances(ledger.snapshot("j"))
    queue.take()
    alive(ledger, "a", slot=0)
    alive(ledger, "b", slot=1)
    clock[0] += ARRIVAL_SECONDS
    reconciler.want_instances(ledger.snapshot("j"))
    assert slots(queue) == [0, 1]

    ledger.leave("j", instance="a")
    reconciler.want_instances(ledger.snapshot("j"))

    assert slots(queue) == [0, 1, 0]


def test_the_aggregator_is_asked_for_once_and_again_when_it_was_lost(reconciler, queue, ledger, clock) -> None:
    for _ in range(3):
        reconciler.want_aggregate(ledger.snapshot("j"), publish=True)
    assert [kind for kind, _ in queue.sent] == ["aggregate"]

    queue.take()
    clock[0] += ARRIVAL_SECONDS
    reconciler.want_aggregate(ledger.snapshot("j"), publish=True)

    assert [kind for kind, _ in queue.sent] == ["aggregate", "aggregate"]


def test_an_aggregator_at_work_is_left_alone(reconciler, queue, ledger, clock) -> None:
    alive(ledger, "x", role="aggregator")

    reconciler.want_aggregate(ledger.snapshot("j"), publish=True)

    assert queue.sent == []


def test_who_takes_a_job_over_does_not_ask_again_for_what_the_other_one_has_just_asked(
    reconciler, queue, ledger, clock
) -> None:
    reconciler.assume_sent(ledger.snapshot("j"))
    reconciler.want_instances(ledger.snapshot("j"))
    assert queue.sent == []

    clock[0] += ARRIVAL_SECONDS
    reconciler.want_instances(ledger.snapshot("j"))

    assert slots(queue) == [0, 1]


def test_nor_for_the_aggregator(reconciler, queue, ledger, clock) -> None:
    ledger.stop("j", state="stopped", error=None)
    reconciler.assume_sent(ledger.snapshot("j"))
    reconciler.want_aggregate(ledger.snapshot("j"), publish=False)
    assert queue.sent == []

    clock[0] += ARRIVAL_SECONDS
    reconciler.want_aggregate(ledger.snapshot("j"), publish=False, partial=True)

    assert [(kind, message.partial) for kind, message in queue.sent] == [("aggregate", True)]


def test_a_queue_that_is_away_is_asked_later(reconciler, queue, ledger, clock, monkeypatch) -> None:
    def away(_compute: str, _message: object) -> None:
        raise LedgerFailed("the queue of compute c cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(queue, "send_instance", away)
        patch.setattr(queue, "send_aggregate", away)
        reconciler.want_instances(ledger.snapshot("j"))
        reconciler.want_aggregate(ledger.snapshot("j"), publish=True)
    clock[0] += ARRIVAL_SECONDS
    reconciler.want_instances(ledger.snapshot("j"))

    assert 0 in slots(queue)


def test_messages_of_another_job_keep_none_of_this_one_back(reconciler, queue, ledger, clock) -> None:
    reconciler.want_instances(ledger.snapshot("j"))
    queue.take()  # they were lost
    queue.lying.append((RUN_INSTANCE, Message(job="other", folder="/f")))
    clock[0] += ARRIVAL_SECONDS
    reconciler.want_instances(ledger.snapshot("j"))

    assert slots(queue) == [0, 1, 0, 1]


def test_nor_its_aggregator_and_what_lies_there_is_looked_for_again_when_it_should_have_come(
    reconciler, queue, ledger, clock
) -> None:
    reconciler.want_aggregate(ledger.snapshot("j"), publish=True)
    clock[0] += ARRIVAL_SECONDS
    reconciler.want_aggregate(ledger.snapshot("j"), publish=True)
    assert len(queue.sent) == 1
    queue.take()
    queue.lying.append((RUN_INSTANCE, Message(job="j", folder="/f")))
    reconciler.want_aggregate(ledger.snapshot("j"), publish=True)
    assert len(queue.sent) == 1

    clock[0] += ARRIVAL_SECONDS
    reconciler.want_aggregate(ledger.snapshot("j"), publish=True)

    assert len(queue.sent) == 2


@pytest.fixture
def wide(queue):
    return Reconciler(queue, compute="c", job="j", folder="/f", instances=5)


def test_a_job_with_a_share_asks_for_that_and_for_one_more_that_shows_that_nodes_are_wanted(
    wide, queue, ledger, clock
) -> None:
    ledger.share("j", instances=2)
    for _ in range(3):
        wide.want_instances(ledger.snapshot("j"))
        clock[0] += ARRIVAL_SECONDS

    assert slots(queue) == [0, 1, 2]


def test_a_share_of_nothing_is_one_message_and_no_more_however_often_that_is_refused(
    wide, queue, ledger, clock
) -> None:
    ledger.share("j", instances=0)
    for _ in range(10):
        wide.want_instances(ledger.snapshot("j"))
        queue.take()
        clock[0] += ARRIVAL_SECONDS / 10

    assert slots(queue) == [0]


def test_a_share_that_grows_is_used_at_once(wide, queue, ledger, clock) -> None:
    ledger.share("j", instances=1)
    wide.want_instances(ledger.snapshot("j"))
    queue.take()
    alive(ledger, "a", slot=0)  # and slot 1 was refused
    wide.want_instances(ledger.snapshot("j"))
    assert slots(queue) == [0, 1]

    ledger.share("j", instances=3)
    wide.want_instances(ledger.snapshot("j"))

    assert slots(queue) == [0, 1, 1, 2, 3]


def test_what_lies_in_the_queue_when_a_share_grows_is_not_sent_twice(wide, queue, ledger, clock) -> None:
    ledger.share("j", instances=0)
    wide.want_instances(ledger.snapshot("j"))
    ledger.share("j", instances=None)
    for _ in range(3):
        wide.want_instances(ledger.snapshot("j"))

    assert sorted(slots(queue)) == [0, 1, 2, 3, 4]


def test_a_job_that_has_more_than_its_share_asks_for_nothing(wide, queue, ledger, clock) -> None:
    for number in range(3):
        alive(ledger, f"i{number}", slot=number)
    ledger.share("j", instances=1)
    wide.want_instances(ledger.snapshot("j"))

    assert slots(queue) == []

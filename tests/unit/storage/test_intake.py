from __future__ import annotations

import pytest

from gristmill_storage.intake import PATIENCE_SECONDS, START_SECONDS, Intake


class Node:
    """A queue, its consumer and a clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queue = 0
        self.slots = 1
        self.stalls: list[float] = []
        self.away = False
        self.intake = Intake(
            waiting=self._waiting,
            free=lambda: self.slots > 0,
            stalled=lambda: self.stalls.append(self.now),
            clock=lambda: self.now,
        )

    def _waiting(self) -> int:
        if self.away:
            raise OSError("nobody there")
        return self.queue

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.intake.look()
            self.now += 1


@pytest.fixture
def node() -> Node:
    node = Node()
    node.intake.ready()
    return node


def test_messages_that_wait_too_long_before_a_free_slot_are_a_stall(node: Node) -> None:
    node.queue = 1
    node.pass_time(PATIENCE_SECONDS)
    assert node.stalls == []

    node.pass_time(1)
    assert node.stalls == [PATIENCE_SECONDS]


def test_a_stall_is_over_when_the_consumer_takes_something(node: Node) -> None:
    node.queue = 1
    node.pass_time(PATIENCE_SECONDS + 1)
    node.queue = 0
    node.pass_time(2)
    assert len(node.stalls) == 3  # what comes next would wait as well

    node.intake.took()
    node.pass_time(2 * PATIENCE_SECONDS)
    assert len(node.stalls) == 3


def test_messages_that_wait_for_a_slot_are_no_stall(node: Node) -> None:
    node.queue, node.slots = 5, 0
    node.pass_time(5 * PATIENCE_SECONDS)

    assert node.stalls == []


def test_a_consumer_that_takes_some_is_no_stall(node: Node) -> None:
    node.queue = 100
    for _ in range(10):
        node.pass_time(PATIENCE_SECONDS - 2)
        node.intake.took()

    assert node.stalls == []


def test_an_empty_queue_and_a_server_that_is_away_are_no_stall(node: Node) -> None:
    node.pass_time(2 * PATIENCE_SECONDS)
    node.queue, node.away = 1, True
    node.pass_time(2 * PATIENCE_SECONDS)

    assert node.stalls == []


def test_a_consumer_may_take_its_time_to_connect() -> None:
    node = Node()
    node.queue = 1
    node.pass_time(START_SECONDS)
    assert node.stalls == []

    node.pass_time(1)
    assert len(node.stalls) == 1


def test_the_watch_goes_on_after_a_fault_and_ends(monkeypatch: pytest.MonkeyPatch, node: Node) -> None:
    monkeypatch.setattr("gristmill_storage.intake.LOOK_SECONDS", 0)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            node.intake.close()
        raise ValueError(looks)

    monkeypatch.setattr(node.intake, "look", look)
    node.intake.watch()

    assert looks == 3

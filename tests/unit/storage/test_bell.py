from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from kombu.asynchronous import Hub

from gristmill_storage.bell import Bell


@pytest.fixture
def bell() -> Iterator[Bell]:
    made = Bell()
    yield made
    made.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


def seconds_of_a_turn(hub: Hub) -> float:
    """Return how long a loop sleeps that nothing else wakes; a second, when nobody does."""
    began = time.monotonic()
    hub.run_once()
    return time.monotonic() - began


def test_a_bell_in_another_thread_wakes_a_loop_and_then_lets_it_sleep(bell: Bell, hub: Hub) -> None:
    bell.hang(hub)
    threading.Timer(0.05, bell.ring).start()

    assert seconds_of_a_turn(hub) < 0.9
    assert seconds_of_a_turn(hub) > 0.9


def test_a_bell_that_rang_between_two_connections_wakes_the_loop_that_listens_next(bell: Bell, hub: Hub) -> None:
    bell.ring()
    bell.hang(hub)
    hub.reset()
    bell.ring()
    bell.hang(hub)

    assert seconds_of_a_turn(hub) < 0.9


def test_a_bell_that_nobody_hears_can_be_rung_for_ever(bell: Bell, hub: Hub) -> None:
    bell.hang(hub)

    for _ in range(10_000):
        bell.ring()

    assert seconds_of_a_turn(hub) < 0.9

from __future__ import annotations

import threading

import pytest

from gristmill_workers.watchdog import SLOWEST_BYTES, Watchdog, stacks


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(10, clock)


def test_what_has_not_begun_is_not_stuck(watchdog: Watchdog, clock: Clock) -> None:
    clock.now += 10_000

    assert watchdog.stuck() is None


def test_a_loop_that_comes_round_is_fine_and_one_that_does_not_is_stuck(watchdog: Watchdog, clock: Clock) -> None:
    for _ in range(10):
        watchdog.turn()
        clock.now += 9
        assert watchdog.stuck() is None
    clock.now += 2

    assert watchdog.stuck() == "the loop"


def test_what_is_large_may_take_longer(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.turn(100 * SLOWEST_BYTES)
    clock.now += 109
    assert watchdog.stuck() is None

    clock.now += 2
    assert watchdog.stuck() == "the loop"


def test_a_loop_that_waits_for_a_part_is_not_stuck_but_the_part_may_be(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.turn()
    watchdog.handed(5 * SLOWEST_BYTES)
    clock.now += 14
    assert watchdog.stuck() is None

    clock.now += 2
    assert watchdog.stuck() == "the sealing of a part"


def test_parts_are_sealed_one_after_the_other(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.turn()
    for _ in range(3):
        watchdog.handed(0)
    for _ in range(3):
        clock.now += 9
        assert watchdog.stuck() is None
        watchdog.committed()

    assert watchdog.stuck() is None
    clock.now += 11
    assert watchdog.stuck() == "the loop"


def test_a_loop_gets_its_time_anew_when_what_it_waited_for_is_done(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.turn()
    watchdog.handed(0)
    clock.now += 10
    watchdog.committed()
    clock.now += 5

    assert watchdog.stuck() is None


def test_the_stacks_of_all_threads_are_told() -> None:
    gate = threading.Event()

    def waits_at_the_gate() -> None:
        gate.wait()

    thread = threading.Thread(target=waits_at_the_gate)
    thread.start()
    try:
        text = stacks()
    finally:
        gate.set()
        thread.join()

    assert "waits_at_the_gate" in text
    assert "test_the_stacks_of_all_threads_are_told" in text

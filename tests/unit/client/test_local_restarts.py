from __future__ import annotations

import signal

import pytest

from gristmill.local.restarts import RESTARTS, WINDOW_SECONDS, YOUNG_SECONDS, Restarts, end_in_words


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def restarts(clock: Clock) -> Restarts:
    restarts = Restarts(clock)
    restarts.began("node")
    restarts.began("server")
    return restarts


def test_a_child_that_is_killed_again_and_again_is_given_up(restarts: Restarts) -> None:
    allowed = [restarts.allowed("node", -9) for _ in range(RESTARTS + 2)]

    assert allowed == [True] * RESTARTS + [False] * 2


def test_each_child_is_counted_by_itself(restarts: Restarts) -> None:
    for _ in range(RESTARTS):
        restarts.allowed("node", -9)

    assert restarts.allowed("server", -9)


def test_what_is_long_past_counts_no_more(restarts: Restarts, clock: Clock) -> None:
    for _ in range(RESTARTS):
        restarts.allowed("node", -9)
    clock.now += WINDOW_SECONDS + 1

    assert restarts.allowed("node", -9)


def test_an_error_right_after_the_start_is_the_childs_own(restarts: Restarts, clock: Clock) -> None:
    assert not restarts.allowed("node", 1)

    clock.now += YOUNG_SECONDS
    assert restarts.allowed("node", 1)


def test_one_that_was_told_to_leave_by_somebody_else_is_started_again(restarts: Restarts) -> None:
    assert restarts.allowed("node", 0)


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (3, "exit code 3"), (-signal.SIGKILL, "signal SIGKILL"), (-99, "signal 99")]
)
def test_an_end_is_told_in_words(code: int, words: str) -> None:
    assert end_in_words(code) == words

from __future__ import annotations

import threading
import time

import pytest

from gristmill.errors import EnvironmentFailed
from gristmill_workers import abandoning
from gristmill_workers.abandoning import Abandoned, abandonable, always


def fail() -> None:
    raise EnvironmentFailed("no")


def test_what_is_made_is_returned_and_what_is_raised_is_raised() -> None:
    assert abandonable(lambda: 5, always) == 5
    with pytest.raises(EnvironmentFailed, match="no"):
        abandonable(fail, always)


def test_a_result_that_is_there_in_time_is_returned_though_nobody_wants_more() -> None:
    assert abandonable(lambda: 5, lambda: False) == 5


def test_an_error_of_what_nobody_wants_is_none() -> None:
    with pytest.raises(Abandoned):
        abandonable(fail, lambda: False)


def test_what_does_not_end_by_itself_is_left_to_itself(monkeypatch) -> None:
    monkeypatch.setattr(abandoning, "ENDING_SECONDS", 0.1)
    go_on = threading.Event()
    began = time.monotonic()

    with pytest.raises(Abandoned):
        abandonable(lambda: go_on.wait(60), lambda: False)

    assert time.monotonic() - began < 30
    go_on.set()

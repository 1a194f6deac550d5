"""A child is asked by lines, and ended whatever it does: here it is a few lines of Python, without MLflow."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gristmill.errors import Mistake, StorageFailed
from gristmill_storage.tracking import Tracker

ECHO = """
    import json, os, sys
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("die"):
            os._exit(3)
        if not asked.get("hang"):
            print(json.dumps(asked.get("answer") or {"run_id": str(os.getpid())}), flush=True)
"""


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    command = [sys.executable, "-S", "-c", textwrap.dedent(ECHO)]
    made = Tracker(dict(os.environ), command=command, seconds=20)
    yield made
    made.rest()


def pid(tracker: Tracker) -> int:
    return int(tracker.write({})["run_id"])


def is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_nothing_is_started_before_something_is_asked(tracker: Tracker) -> None:
    assert tracker.pid is None


def test_one_child_answers_until_it_rests(tracker: Tracker) -> None:
    first = pid(tracker)
    assert pid(tracker) == first == tracker.pid

    tracker.rest()

    assert not is_alive(first)
    assert pid(tracker) != first


@pytest.mark.parametrize(("answer", "kind"), [({"refused": "no such"}, Mistake), ({"failed": "away"}, StorageFailed)])
def test_what_the_child_says_is_wrong_is_raised(tracker: Tracker, answer: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"no such|away"):
        tracker.write({"answer": answer})


def test_a_child_that_dies_is_told_and_another_takes_its_place(tracker: Tracker) -> None:
    with pytest.raises(StorageFailed, match="ended without an answer"):
        tracker.write({"die": True})

    assert pid(tracker)


def test_a_child_that_says_nothing_is_killed(tracker: Tracker) -> None:
    first = pid(tracker)
    tracker._seconds = 0.05
    with pytest.raises(StorageFailed, match="no answer within"):
        tracker.write({"hang": True})

    assert not is_alive(first)


def test_closing_ends_a_request_that_waits(tracker: Tracker) -> None:
    first = pid(tracker)
    threading.Timer(0.05, tracker.close).start()
    began = time.monotonic()
    with pytest.raises(StorageFailed):
        tracker.write({"hang": True})

    assert time.monotonic() - began < 10
    assert not is_alive(first)
    with pytest.raises(StorageFailed, match="was closed"):
        tracker.write({})

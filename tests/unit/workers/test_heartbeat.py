from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gristmill.errors import Fenced, LedgerFailed
from gristmill_workers.heartbeat import Heartbeat


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_news_are_told_at_once() -> None:
    told: list[dict[str, Any]] = []
    heartbeat = Heartbeat(lambda info: told.append(dict(info)) or "open", lease_seconds=600)
    heartbeat.start({"slot": 0})
    wait_until(lambda: told)
    heartbeat.say(scorers=2)
    wait_until(lambda: told[-1] == {"slot": 0, "scorers": 2})
    heartbeat.stop()


def test_the_state_of_the_job_is_heard() -> None:
    heartbeat = Heartbeat(lambda _info: "canceled", lease_seconds=2)
    heartbeat.start({})

    wait_until(lambda: heartbeat.state == "canceled")
    heartbeat.stop()


def test_an_instance_that_is_none_any_more_hears_of_it() -> None:
    def renew(_info: Mapping[str, Any]) -> str:
        raise Fenced("taken")

    heartbeat = Heartbeat(renew, lease_seconds=2)
    heartbeat.start({})
    wait_until(lambda: not heartbeat._thread.is_alive())

    with pytest.raises(Fenced):
        heartbeat.check()


def test_a_server_that_is_away_is_waited_for() -> None:
    back = threading.Event()
    beats: list[str] = []

    def renew(_info: Mapping[str, Any]) -> str:
        beats.append("beat")
        if not back.is_set():
            raise LedgerFailed("away")
        return "scored"

    heartbeat = Heartbeat(renew, lease_seconds=0.2)
    heartbeat.start({})
    wait_until(lambda: len(beats) > 2)
    heartbeat.check()
    back.set()
    wait_until(lambda: heartbeat.state == "scored")
    heartbeat.stop()


def test_a_heart_stops_with_its_body_and_says_where_that_is_stuck(caplog) -> None:
    what: list[str | None] = [None]
    beats: list[str] = []

    def renew(_info: Mapping[str, Any]) -> str:
        beats.append("beat")
        return "open"

    heartbeat = Heartbeat(renew, lease_seconds=0.1, stuck=lambda: what[0])
    heartbeat.start({})
    wait_until(lambda: len(beats) > 2)
    heartbeat.check()
    what[0] = "the loop"
    wait_until(lambda: not heartbeat._thread.is_alive())

    with pytest.raises(Fenced, match="the loop has not moved"):
        heartbeat.check()
    assert "test_heartbeat.py" in caplog.text  # where this thread is
    heartbeat.stop()

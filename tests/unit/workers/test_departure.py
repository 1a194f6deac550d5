from __future__ import annotations

import threading

import pytest

from gristmill_workers.departure import Departure
from gristmill_workers.heartbeat import Heartbeat


@pytest.fixture
def heartbeat() -> Heartbeat:
    return Heartbeat(lambda _info: "open", lease_seconds=600)


@pytest.fixture
def drain() -> threading.Event:
    return threading.Event()


def test_nobody_leaves_without_a_reason(heartbeat, drain) -> None:
    departure = Departure(drain, heartbeat, grace_seconds=5)

    assert departure.news() == ""
    assert (departure.begun, departure.hurried, departure.late) == (False, False, False)


def test_who_leaves_for_others_takes_the_time_that_its_work_needs_and_says_so(heartbeat, drain) -> None:
    departure = Departure(drain, heartbeat, grace_seconds=0)
    heartbeat._hear("surplus")

    assert "other jobs wait" in departure.news()
    assert departure.news() == ""
    assert departure.begun
    assert (departure.hurried, departure.late) == (False, False)
    assert heartbeat._info == {"leaving": True}


def test_a_node_that_leaves_gives_no_such_time_whatever_came_before(heartbeat, drain) -> None:
    departure = Departure(drain, heartbeat, grace_seconds=-1)
    heartbeat._hear("surplus")
    departure.news()
    drain.set()

    assert departure.news() == "the node leaves"
    assert departure.news() == ""
    assert (departure.begun, departure.hurried, departure.late) == (True, True, True)


def test_a_node_that_leaves_waits_for_its_grace(heartbeat, drain) -> None:
    departure = Departure(drain, heartbeat, grace_seconds=600)
    drain.set()
    departure.news()
    heartbeat._hear("surplus")

    assert departure.news() == ""
    assert departure.begun
    assert not departure.late


def test_who_was_asked_to_leave_stays_asked(heartbeat) -> None:
    heartbeat._hear("surplus")
    heartbeat._hear("open")

    assert heartbeat.surplus
    assert heartbeat.state == "open"
    assert not heartbeat.needed

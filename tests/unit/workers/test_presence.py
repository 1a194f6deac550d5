"""A node's signs of life."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gristmill import versions
from gristmill.errors import LedgerFailed
from gristmill_storage.ledger import MemoryLedger
from gristmill_workers.presence import Presence


class Moody(MemoryLedger):
    """A ledger that fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.asked = threading.Semaphore(0)

    def see_node(self, node: str, info: Mapping[str, Any], seconds: float) -> None:
        self.asked.release()
        if self.error is not None:
            raise self.error
        super().see_node(node, info, seconds)


def presence(
    ledger: MemoryLedger, jobs: list[str | None] | None = None, *, beat_seconds: float = 60.0, redis_url: str = ""
) -> Presence:
    running = [None] if jobs is None else jobs
    return Presence(
        ledger,
        node="box",
        compute="gpu",
        slots=1,
        running=lambda: list(running),
        redis_url=redis_url,
        beat_seconds=beat_seconds,
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_node_tells_who_it_is_when_it_takes_work_and_is_gone_when_it_leaves() -> None:
    ledger = MemoryLedger()
    here = presence(ledger)
    assert ledger.nodes() == []
    here.begin()
    here.begin()
    until(lambda: bool(ledger.nodes()))
    [node] = ledger.nodes()
    assert node["name"] == f"box@gpu/{os.getpid()}"
    assert (node["compute"], node["slots"], node["host"], node["running"]) == ("gpu", 1, "box", [None])
    assert {"pid", "version", "since", "age_seconds"} < set(node)
    here.leave()
    assert ledger.nodes() == []
    here.begin()
    assert ledger.nodes() == []


def test_a_job_that_begins_is_told_before_the_next_beat() -> None:
    ledger, jobs = MemoryLedger(), [None]
    here = presence(ledger, jobs)
    here.begin()
    until(lambda: bool(ledger.nodes()))
    jobs[0] = "heart-1"
    here.changed()
    until(lambda: ledger.nodes()[0]["running"] == ["heart-1"])
    here.leave()


def test_beats_that_fail_in_any_way_are_followed_by_others() -> None:
    ledger = Moody()
    here = presence(ledger, beat_seconds=0.01)
    for error in (LedgerFailed("away"), ValueError("what nobody thought of")):
        ledger.error = error
        here.begin()
        for _ in range(3):
            assert ledger.asked.acquire(timeout=5)
    assert ledger.nodes() == []
    ledger.error = None
    until(lambda: bool(ledger.nodes()))
    here.leave()


def test_a_node_that_never_took_work_leaves_without_a_word() -> None:
    ledger = Moody()
    ledger.error = LedgerFailed("away")
    presence(ledger).leave()
    assert not ledger.asked.acquire(blocking=False)


def test_a_node_tells_what_it_speaks_and_for_a_while_what_it_refused() -> None:
    ledger = MemoryLedger()
    here = presence(ledger, beat_seconds=0.01)
    here.begin()
    until(lambda: bool(ledger.nodes()))
    assert (ledger.nodes()[0]["protocol"], "refuses" in ledger.nodes()[0]) == (versions.PROTOCOL, False)

    here.refuses("a message of job j: upgrade this node", seconds=0.2)

    until(lambda: ledger.nodes()[0].get("refuses") == "a message of job j: upgrade this node")
    until(lambda: "refuses" not in ledger.nodes()[0])
    assert "refuses_job" not in ledger.nodes()[0]
    here.refuses("a secret is not here", seconds=60, job="j")
    until(lambda: ledger.nodes()[0].get("refuses_job") == "j")
    here.leave()


@pytest.mark.parametrize(
    ("url", "address"),
    [("redis://:secret@127.0.0.1:1/0", "127.0.0.1"), ("unix:///run/s?db=0", ""), ("redis://[", ""), ("", "")],
)
def test_a_node_tells_its_address_on_the_way_to_the_server(url: str, address: str) -> None:
    ledger = MemoryLedger()
    here = presence(ledger, redis_url=url)
    here.begin()
    until(lambda: bool(ledger.nodes()))

    assert ledger.nodes()[0]["address"] == address
    here.leave()

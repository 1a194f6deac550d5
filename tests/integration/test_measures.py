"""What the exporter of metrics reads of the ledger, of a real server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from gristmill.errors import LedgerFailed
from gristmill_storage.ledger import Entry, Lease, Ledger, Measures

JOB = "j"


@pytest.fixture
def ledger(redis_url: str) -> Iterator[Ledger]:
    ledger = Ledger(redis_url, patience=5)
    ledger.open(JOB, epoch="1", lease_seconds=30, error_threshold=7)
    ledger.extend(JOB, first=0, count=10, items=20, size=200, closed=True)
    ledger.register(JOB, instance="a", info={"role": "instance", "node": "n"})
    yield ledger
    ledger.disconnect()


@pytest.fixture
def measures(redis_url: str) -> Iterator[Measures]:
    with contextlib.closing(Closing(redis_url)) as measures:
        yield measures


class Closing(Measures):
    def close(self) -> None:
        self.disconnect()


def lease(ledger: Ledger, limit: int = 4) -> Lease:
    found = ledger.lease(JOB, instance="a", limit=limit)
    assert isinstance(found, Lease)
    return found


def entry(held: Lease, tallies: str, **given: Any) -> Entry:
    count = held.last - held.first + 1
    plain = {"first": held.first, "last": held.last, "items": 2 * count, "succeeded": 2 * count, "failed": 0}
    return Entry(**{"token": held.token, "rows": 2 * count, "size": 9, "tallies": tallies, **plain, **given})


def test_what_is_held_and_since_when(ledger: Ledger, measures: Measures) -> None:
    lease(ledger, 3)
    lease(ledger, 2)
    found = measures.jobs([JOB, "unknown"])
    assert set(found) == {JOB}
    told = found[JOB]
    assert (told.threshold, told.lease_seconds, told.snapshot.leased) == (7, 30.0, 5)
    assert (told.holding["a"].mini_batches, dict(told.tallies)) == (5, {})
    assert 0 <= told.holding["a"].oldest_seconds < 10


def test_tallies_count_once_with_the_commit_that_counts(ledger: Ledger, measures: Measures) -> None:
    held = lease(ledger)
    for _ in range(2):  # the second is the repetition of a call whose reply was lost
        answer = ledger.commit(
            JOB, instance="a", part="p", entries=[entry(held, "run:1=4 run:us=99")], node="n 1", tallies="init:1=2"
        )
        assert answer.accepted == [(0, 3)]
    assert measures.jobs([JOB])[JOB].tallies == {
        "run:1": 4,
        "run:us": 99,
        "init:1": 2,
        "node:items_done:n 1": 8,
        "node:rows:n 1": 8,
        "node:done:n 1": 4,
    }


def test_tallies_of_one_who_was_fenced_out_do_not_count(ledger: Ledger, measures: Measures) -> None:
    held = lease(ledger)
    ledger.leave(JOB, instance="a")
    ledger.register(JOB, instance="a", info={"role": "instance"})
    late = ledger.commit(JOB, instance="a", part="p", entries=[entry(held, "run:1=4")], node="n", tallies="init:1=1")
    assert (late.accepted, late.refused) == ([], [(0, 3)])
    assert measures.jobs([JOB])[JOB].tallies == {}


def test_of_a_part_that_counts_in_places_the_tallies_of_these_count(ledger: Ledger, measures: Measures) -> None:
    held = lease(ledger)
    good = entry(held, "run:1=4")
    ledger.commit(JOB, instance="a", part="p", entries=[entry(held, "run:5=9", token="1-99"), good], node="n")
    assert measures.jobs([JOB])[JOB].tallies["run:1"] == 4
    assert "run:5" not in measures.jobs([JOB])[JOB].tallies


def test_what_is_adopted_counts_where_all_of_it_is_new(ledger: Ledger, measures: Measures) -> None:
    def adopted(first: int, last: int) -> Entry:
        size = last - first + 1
        return Entry(
            token="", first=first, last=last, items=size, succeeded=size, failed=0, rows=size, size=1,
            tallies=f"run:1={size}",
        )  # fmt: skip

    ledger.adopt(JOB, part="p", entries=[adopted(0, 2)])
    ledger.adopt(JOB, part="q", entries=[adopted(1, 3), adopted(4, 4)])
    assert measures.jobs([JOB])[JOB].tallies == {"run:1": 4}


def test_a_new_life_of_a_job_counts_anew(ledger: Ledger, measures: Measures) -> None:
    ledger.commit(JOB, instance="a", part="p", entries=[entry(lease(ledger), "run:1=4")])
    ledger.close(JOB, status="Failed")
    ledger.open(JOB, epoch="2", lease_seconds=30, error_threshold=0)
    assert measures.jobs([JOB])[JOB].tallies == {}


def test_how_the_server_is(ledger: Ledger, measures: Measures) -> None:
    ledger.announce(JOB, folder="f")
    health = measures.health()
    assert 0 < health.latency_seconds < 5
    assert health.numbers["used_memory"] > 100_000
    assert (health.writes, health.jobs) == (True, 1)


def test_a_server_that_is_away_is_told_as_that() -> None:
    measures = Measures("unix:///nowhere/at/all.sock", timeout=1)
    for ask in (measures.health, lambda: measures.jobs([JOB])):
        with pytest.raises(LedgerFailed):
            ask()
    assert measures.jobs([]) == {}

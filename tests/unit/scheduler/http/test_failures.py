"""A bucket of failures for each address."""

from __future__ import annotations

import pytest

from gristmill_scheduler.http import failures
from gristmill_scheduler.http.failures import Failures


def test_an_address_is_refused_when_its_bucket_is_empty_until_it_fills_again() -> None:
    now = [0.0]
    buckets = Failures(burst=2, rate=0.5, clock=lambda: now[0])
    for _ in range(5):
        buckets.count("10.0.0.1")

    assert buckets.wait("10.0.0.1") == pytest.approx(2.0)
    assert buckets.wait("10.0.0.2") == 0.0
    now[0] += 1.9
    assert buckets.wait("10.0.0.1") == pytest.approx(0.1)
    now[0] += 0.2
    assert buckets.wait("10.0.0.1") == 0.0


def test_the_addresses_of_one_ipv6_network_share_a_bucket() -> None:
    buckets = Failures(burst=1, clock=lambda: 0.0)
    buckets.count("2001:db8::1")
    buckets.count("::ffff:10.0.0.1")
    buckets.count("testclient")

    assert buckets.wait("2001:db8::ffff") > 0
    assert buckets.wait("2001:db8:0:1::1") == 0
    assert buckets.wait("10.0.0.1") > 0
    assert buckets.wait("testclient") > 0


def test_what_is_remembered_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_MOST_ADDRESSES", 3)
    buckets = Failures(burst=1, clock=lambda: 0.0)
    for number in range(10):
        buckets.count(f"10.0.0.{number}")

    assert [number for number in range(10) if buckets.wait(f"10.0.0.{number}")] == [7, 8, 9]

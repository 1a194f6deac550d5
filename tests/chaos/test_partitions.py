"""A node that is cut off, or held still, for longer than its lease, and comes back: no row twice, none lost."""

from __future__ import annotations

import socket

import pytest

from chaos.world import REDIS, WATCH, Plan, World

LEASE = Plan().lease_seconds
#: Seconds that work may stand still: what is promised, and what a busy machine adds.
MOST = LEASE + 3 + 4
BEYOND = 2 * LEASE

pytestmark = pytest.mark.usefixtures("partitions")


def test_packets_are_dropped_and_nobody_is_told(world: World) -> None:
    """The fault itself: a connection sees silence, not a reset, in both directions, and goes on when healed."""
    address = (world.network.address(REDIS), 6379)
    with world.network.inside(WATCH), socket.create_connection(address, 2) as connection:
        connection.settimeout(0.5)
        world.network.cut(WATCH, REDIS)
        try:
            connection.sendall(b"PING\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(64)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, 0.5)
        finally:
            world.network.heal(WATCH, REDIS)
        connection.settimeout(10)
        assert connection.recv(64) == b"+PONG\r\n"


def test_a_node_cut_off_from_redis_is_replaced_and_its_late_work_refused(hit) -> None:
    trial = hit("cut redis", BEYOND)

    assert trial.fenced > 0
    assert trial.standstill < MOST


def test_a_node_cut_off_from_storage_costs_no_row(hit) -> None:
    trial = hit("cut storage", BEYOND, on_storage=True)

    assert trial.standstill < MOST


def test_a_node_cut_off_from_both_is_replaced_and_its_late_work_refused(hit) -> None:
    trial = hit("cut both", BEYOND, on_storage=True)

    assert trial.standstill < MOST


def test_a_node_that_comes_back_works_again(hit) -> None:
    trial = hit("cut redis", LEASE + 1)

    (struck,) = trial.struck
    assert struck.recovered is not None

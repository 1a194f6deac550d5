"""A node writes its pulse as it looks for work, and leaves when there is none for long."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gristmill.local import pulse
from gristmill_workers.vitality import Vitality


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_pulse_says_what_the_node_does(tmp_path: Path) -> None:
    path = tmp_path / "pulse"
    vitality = Vitality(path)

    vitality.beat(0)
    assert not pulse.read(path).ready
    vitality.ready()
    vitality.beat(3)
    assert (pulse.read(path).ready, pulse.read(path).running) == (True, 3)
    vitality.leaves(1)
    vitality.beat(1)
    assert (pulse.read(path).leaving, pulse.read(path).running) == (True, 1)


def test_a_pulse_that_cannot_be_written_is_told_of_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vitality = Vitality(tmp_path / "missing" / "pulse")

    with caplog.at_level(logging.WARNING, "gristmill.node"):
        vitality.ready()
        vitality.beat(0)

    assert len(caplog.records) == 1


def test_a_node_leaves_once_when_it_had_nothing_to_do_for_long_enough() -> None:
    clock, left = Clock(), []
    vitality = Vitality(None, leave_after=10, leave=lambda: left.append(clock.now), clock=clock)

    vitality.beat(0)
    clock.now = 100  # it was not ready: that was no idleness
    vitality.ready()
    for clock.now, running in [(105, 0), (106, 1), (120, 1), (121, 0), (130, 0)]:
        vitality.beat(running)
        assert not left
    for clock.now in (131, 132, 150):
        vitality.beat(0)

    assert left == [131]


def test_a_node_that_leaves_is_not_told_to_leave_again() -> None:
    clock, left = Clock(), []
    vitality = Vitality(None, leave_after=1, leave=lambda: left.append(clock.now), clock=clock)
    vitality.ready()
    vitality.leaves(0)
    clock.now = 5

    vitality.beat(0)

    assert not left

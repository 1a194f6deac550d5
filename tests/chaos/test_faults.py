"""One fault at a time, each while a job runs: the job completes and its output is what it always is."""

from __future__ import annotations

import json
from typing import Any

from chaos.trial import Trial
from chaos.world import Plan, World

LEASE = Plan().lease_seconds
#: Seconds that work may stand still: what is promised, and what a busy machine adds.
MOST = LEASE + 3 + 4


def attempts(world: World, trial: Trial) -> dict[str, Any]:
    data = world.read(str(world.output / trial.course.name / "summary.json"))
    found: dict[str, Any] = json.loads(data or b"")["attempts"]
    return found


def test_a_node_held_still_for_twice_its_lease_is_replaced_and_its_late_work_refused(hit, world: World) -> None:
    trial = hit("stop node", 2 * LEASE)

    assert attempts(world, trial)["lost"] > 0, "its leases did not go to the other node"
    assert trial.standstill < MOST


def test_a_clock_that_is_an_hour_off_has_no_effect(hit, world: World) -> None:
    trial = hit("")

    found = attempts(world, trial)
    assert (found["lost"], found["fenced"]) == (0, 0)
    assert trial.standstill < MOST


def test_redis_may_stop_for_ten_seconds(hit) -> None:
    hit("pause redis", 10)


def test_redis_may_be_killed_and_come_back(hit) -> None:
    hit("restart redis")


def test_redis_may_be_emptied(hit) -> None:
    trial = hit("flush redis")

    assert trial.standstill < MOST


def test_redis_may_be_replaced_by_an_empty_one(hit) -> None:
    trial = hit("empty redis")

    assert trial.standstill < MOST


def test_a_node_may_be_killed(hit) -> None:
    trial = hit("kill node")

    assert trial.standstill < MOST


def test_a_scorer_may_be_killed(hit) -> None:
    trial = hit("kill scorer")

    assert trial.standstill < MOST


def test_the_scheduler_may_be_killed(hit) -> None:
    trial = hit("kill scheduler")

    assert trial.standstill < MOST


def test_the_node_that_aggregates_may_be_killed(hit) -> None:
    trial = hit("", aggregator_dies=True)

    assert trial.standstill < MOST

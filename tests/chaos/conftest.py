"""A small world of its own for each file of tests, and a job in it that one fault hits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import count

import pytest

from chaos import network
from chaos.faults import Strike
from chaos.trial import Course, Trial, run_trial
from chaos.workload import Workload
from chaos.world import Plan, World

#: Hits a job that is half a second old, and returns what came of it.
Hit = Callable[..., Trial]

unavailable = cache(network.unavailable)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Two nodes, the second an hour ahead, with addresses of their own where that can be had."""
    with World(Plan(nodes=2, clocks=(0.0, 3600.0)), namespaces=not unavailable()) as world:
        yield world
    world.forget()


@pytest.fixture(scope="module")
def workload(world: World) -> Workload:
    """Ten seconds of work for the two."""
    return Workload(world.folder / "workload", items=2000, seconds=10, scorers=1, nodes=2)


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def hit(world: World, workload: Workload, numbers: Iterator[int]) -> Hit:
    """Run a job that one fault hits, and insist that nothing is wrong with what it leaves."""

    def hit(
        kind: str, seconds: float = 0.0, *, on_storage: bool = False, node: str = "node1", aggregator_dies: bool = False
    ) -> Trial:
        strikes = [(0.5, Strike(kind=kind, node=node, seconds=seconds, pick=0.5))] if kind else []
        course = Course(
            name=f"job-{next(numbers)}",
            on_storage=on_storage,
            limit=80,
            strikes=strikes,
            aggregator_dies=aggregator_dies,
        )
        trial = run_trial(world, workload, course)
        assert trial.verdict.good, trial.verdict
        return trial

    return hit


@pytest.fixture
def partitions() -> None:
    """Skip where packets cannot be dropped."""
    if unavailable():
        pytest.skip(f"no network namespaces: {unavailable()}")

"""300 simulated jobs keep every promise, the same seed gives the same run, and planted bugs are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from simulator import campaign as simulator
from simulator.bugs import BUGS
from simulator.world import Outcome

#: Seeds that `make test` lives, in so many tests, which run side by side.
SEEDS, TESTS = 300, 12

#: Seeds with the real scripts.
REAL_SEEDS = 12

#: Seeds in which each planted bug must be found.
ENOUGH = 240


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Keep the process to one core while its fibers hand each other the turn: that is four times as fast."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[os.getpid() % len(cores)]})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.parametrize("part", range(TESTS))
def test_every_promise_is_kept(part: int) -> None:
    for seed in range(part, SEEDS, TESTS):
        outcome = simulator.live(seed, profile="", bug="")
        assert outcome.violation is None, simulator.report(outcome)


@pytest.mark.parametrize("part", range(3))
def test_the_real_scripts_on_a_real_server_keep_every_promise(part: int, redis_url: str) -> None:
    for seed in range(part, REAL_SEEDS, 3):
        outcome = simulator.live(seed, profile="", bug="", server=redis_url)
        assert outcome.violation is None, simulator.report(outcome)
        double = simulator.live(seed, profile="", bug="")
        assert told(outcome) == told(double), "the ledger in memory does as they do"


def test_instances_that_come_and_go_with_the_shares_of_a_job_cost_it_nothing(redis_url: str) -> None:
    for seed in range(12):
        outcome = simulator.live(seed, profile="shares", bug="")
        assert outcome.violation is None, simulator.report(outcome)
    real = simulator.live(0, profile="shares", bug="", server=redis_url)
    assert real.violation is None, simulator.report(real)


def told(outcome: Outcome) -> list[str]:
    """Return what happened, without where the ledger is."""
    return [re.sub(r"the ledger (at \S+|in memory) knows", "it knows", line) for line in outcome.trace]


def digest(seed: int) -> str:
    outcome = simulator.live(seed, profile="storm", bug="", whole_trace=True)
    return f"{outcome.events} {outcome.seconds!r}\n" + "\n".join(outcome.trace)


def test_a_seed_replays_exactly_in_another_process() -> None:
    code = "import sys, test_simulation; sys.stdout.write(test_simulation.digest(9))"
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path]), "PYTHONHASHSEED": "7"}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)

    assert other.stdout == digest(9)


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_planted_bug_is_found(bug: str) -> None:
    found = (simulator.live(seed, profile=BUGS[bug][1], bug=bug) for seed in range(ENOUGH))

    assert any(outcome.violation is not None for outcome in found)


def test_a_failing_seed_says_how_to_live_it_again() -> None:
    outcome = simulator.live(0, profile="calm", bug="no-delay")

    assert outcome.violation is not None
    text = simulator.report(outcome)
    assert "before its time" in text
    assert "make simulate SEED=0 PROFILE=calm" in text

"""The harness itself: it sees what is wrong, draws the same faults again, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from chaos import network
from chaos.faults import KINDS
from chaos.nemesis import draws
from chaos.processes import Keeper, Kept
from chaos.verdict import Verdict, judge
from chaos.workload import Expected
from chaos.world import wait_until

EXPECTED = Expected(rows=tuple(f"row-{n}" for n in range(20)), failed=frozenset({2}), items=30)
ERRORS = [{"mini_batch": 2, "file": f"item-{n}", "category": "exception"} for n in range(10)]
SUMMARY = {"items": {"total": 30, "succeeded": 20, "failed": 10}, "rows": 20, "status": "Completed"}


class Left:
    """What a job left, in place of a world."""

    def __init__(self, rows=EXPECTED.rows, errors=ERRORS, summary=SUMMARY) -> None:
        self._files = {
            "out/predictions.csv": "".join(f"{row}\n" for row in rows),
            "out/errors.jsonl": "".join(f"{json.dumps(error)}\n" for error in errors),
            "out/summary.json": json.dumps(summary),
        }

    def read(self, url: str) -> bytes:
        return self._files[url].encode()

    def prove(self, folder: str) -> list[str]:
        return []


def verdict(left: Left, status: str = "Completed") -> Verdict:
    return judge(left, {"status": status, "error": None}, "out", "out/.gristmill/job", EXPECTED)


def test_what_is_as_it_should_be_is_good() -> None:
    assert verdict(Left()).good


def test_a_row_that_is_lost_doubled_or_foreign_is_counted() -> None:
    found = verdict(Left(rows=[*EXPECTED.rows[2:], "row-7", "torn"]))

    assert (found.lost, found.twice, found.foreign) == (2, 1, 1)
    assert not found.good


@pytest.mark.parametrize(
    "left",
    [
        Left(rows=EXPECTED.rows[::-1]),
        Left(errors=ERRORS[1:]),
        Left(errors=[*ERRORS, {"mini_batch": 1, "file": "x", "category": "lost"}]),
        Left(errors=[ERRORS[0]] * 10),
        Left(summary={**SUMMARY, "rows": 19}),
    ],
)
def test_wrong_order_errors_or_summary_are_seen(left: Left) -> None:
    assert not verdict(left).good


def test_a_job_that_failed_or_never_ended_is_not_good() -> None:
    assert not verdict(Left(), status="Failed").good
    assert not judge(Left(), None, "out", "out/.gristmill/job", EXPECTED).good


def test_a_seed_draws_the_same_faults_again() -> None:
    def first(seed: str) -> list[object]:
        drawn = draws(seed, nodes=["a", "b"], kinds=list(KINDS), lease_seconds=3, longest=10)
        return list(islice(drawn, 200))

    assert first("one") == first("one")
    assert first("one") != first("other")
    assert {strike.kind for _, strike in first("one")} == {name for name, kind in KINDS.items() if kind.weight}


def test_what_dies_is_started_again_and_ended_with_its_family(tmp_path: Path) -> None:
    keeper = Keeper()
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    kept = keeper.keep(Kept("sleeper", [sys.executable, "-c", script], environment=dict(os.environ), folder=tmp_path))
    kept.kill()
    wait_until(lambda: kept.starts == 2 and len(kept.family()) == 2, 20, "the second start")
    family = kept.family()

    keeper.close()

    wait_until(lambda: not any(one.alive for one in family), 5, "the family's end")


def test_namespaces_of_a_world_that_was_killed_are_removed() -> None:
    if network.unavailable():
        pytest.skip(network.unavailable())
    script = "import os, signal; from chaos.network import Namespaces; Namespaces(['one']); os.kill(os.getpid(), 9)"
    folder = str(Path(network.__file__).parents[1])
    killed = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": folder})
    assert killed.wait(30) == -9

    def left() -> bool:
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        return f"{network.PREFIX}-{killed.pid}-" in listed

    assert left()
    network.sweep()
    assert not left()

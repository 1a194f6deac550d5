"""What many instances at once ask of the ledger: counts that grow with the work and the instances, never with both.

The cluster is that of `python -m benchmarks simulated-cluster`: real nodes, server and scheduler, scorers that sleep.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gristmill_storage.ledger import Ledger
from gristmill_storage.ledger.wire import Client

ROOT = Path(__file__).parents[2]
INSTANCES = 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not Path("/proc/self/stat").exists():
        pytest.skip("nothing here tells what a process uses")
    found = tmp_path_factory.mktemp("cluster") / "found.json"
    size = ["--instances", str(INSTANCES), "--scorers", "4", "--seconds", "1", "--run-seconds", "0.02"]
    command = [sys.executable, "-m", "benchmarks", "simulated-cluster", *size, "--json", str(found)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr  # it compares the output with the plan, row by row
    return json.loads(found.read_text())["simulated-cluster"]


def test_twenty_instances_score_each_mini_batch_once_and_lose_none(cluster: dict[str, Any]) -> None:
    ledger, planned = cluster["ledger"], cluster["mini_batches"]

    assert planned == 4000
    assert ledger["done"] == planned
    assert {name: ledger[name] for name in ("losses", "expiries", "fenced")} == dict.fromkeys(
        ("losses", "expiries", "fenced"), 0
    )
    assert cluster["answers"]["mini_batches"] >= planned


def test_a_thousand_mini_batches_take_no_more_leases_and_commits_than_this(cluster: dict[str, Any]) -> None:
    thousands = cluster["mini_batches"] / 1000

    # A quiet machine: 33 leases, 13 commits. A busy one seals more parts, and hands less to each instance at once.
    assert cluster["answers"]["lease"] / thousands <= 120
    assert cluster["calls"]["commit"]["calls"] / thousands <= 60


def test_what_every_instance_asks_once_is_not_asked_again(cluster: dict[str, Any]) -> None:
    calls = cluster["calls"]

    # The aggregator is one more; it looks at the job a few times.
    assert calls["register"]["calls"] == INSTANCES + 1
    assert INSTANCES <= calls["snapshot"]["calls"] <= INSTANCES + 10
    assert calls["renew"]["calls"] <= INSTANCES * (10 + 2 * cluster["seconds"]["finished"])


def test_signs_of_life_under_a_share_do_not_read_what_all_instances_say(redis_url: str) -> None:
    ledger = Ledger(redis_url)
    ledger.open("j", epoch="1", lease_seconds=60, error_threshold=-1)
    names = [f"i{number}" for number in range(50)]
    ledger.share("j", instances=len(names))
    join = lambda: [ledger.register("j", instance=name, info={"role": "instance"}) for name in names]  # noqa: E731
    beat = lambda: [ledger.renew("j", instance=name, info={"role": "instance"}) for name in names]  # noqa: E731

    assert _whole_hashes(redis_url, join) == 0
    assert _whole_hashes(redis_url, beat) == 0
    assert ledger.register("j", instance="late", info={"role": "instance"}).state == "full"

    ledger.share("j", instances=len(names) - 1)
    assert [ledger.renew("j", instance=name, info={}) for name in names].count("surplus") == 1


def _whole_hashes(url: str, act: Callable[[], object]) -> int:
    """Return how many hashes the server read as a whole for an act."""
    client = Client(url, 10)

    def count() -> int:
        found = re.search(r"cmdstat_hgetall:calls=(\d+)", client.ask("INFO", "commandstats"))
        return int(found[1]) if found else 0

    before = count()
    act()
    return count() - before

"""What /metrics tells of a job while nodes are killed: totals that are right, at the end and never too high before."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from serving import Serving

SCRIPT = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        time.sleep(0.03)
        names = [os.path.basename(path) for path in mini_batch]
        if "007.txt" in names:
            raise ValueError("this one never works")
        return names
"""

ITEMS = 120
MINI_BATCHES = ITEMS // 2
FAILED = 2

#: Counters of the job, and what each comes to.
TOTALS = {
    "rows_total": ITEMS - FAILED,
    "failed_items_total": FAILED,
    "retries_total": 1,
    "node_mini_batches_total": MINI_BATCHES,
    "node_items_total": ITEMS,
    "node_rows_total": ITEMS - FAILED,
    "run_seconds_count": MINI_BATCHES,
    "expired_instances_total": 1,
}


#: What there is to see of a cluster, by what it is about; labels where it is split by them.
TOLD = {
    "items and mini-batches by state": ("job_items{state}", "job_mini_batches{state}"),
    "rows": ("job_rows_total",),
    "failures by category, retries by reason": ("job_failed_items_total{category}", "job_retries_total{category}"),
    "the last commit, the age of leases": ("job_since_commit_seconds", "job_oldest_lease_seconds{node}"),
    "instances wanted and alive": ("job_wanted_instances", "job_alive_instances"),
    "scorers busy": ("job_scorers", "job_busy_scorers"),
    "when it is done": ("job_eta_seconds",),
    "nodes": ("node_up{compute,node}", "node_slots{compute,node}", "node_busy_slots{compute,node}"),
    "their machines": ("node_cpus", "node_cpu_seconds_total", "node_memory_bytes", "node_memory_available_bytes"),
    "computes": ("compute_wanted_instances{compute}", "compute_waiting_messages{compute}"),
    "histograms": tuple(f"job_{phase}_seconds_bucket{{le}}" for phase in ("run", "fetch", "commit", "init", "queue")),
    "ledger and Redis": ("ledger_up", "ledger_latency_seconds", "ledger_memory_bytes", "ledger_append_only_bytes"),
    "reconciler": ("job_coordinator_last_look_timestamp_seconds", "server_dispatcher_last_look_timestamp_seconds"),
    "aggregator": ("job_aggregators",),
    "storage": ("job_storage_waiters", "job_storage_faults_total"),
}


@pytest.fixture
def serving(redis_server: str, tmp_path: Path) -> Iterator[Serving]:
    (tmp_path / "in").mkdir()
    for number in range(ITEMS):
        (tmp_path / "in" / f"{number:03d}.txt").touch()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(textwrap.dedent(SCRIPT))
    url = redis_server.replace("db=0", "db=11")
    with Serving(url, tmp_path, nodes=2, slots=1, arguments=["--allow-root", tmp_path]) as serving:
        yield serving


def told(serving: Serving, seen: set[tuple[str, str]]) -> dict[str, float]:
    """Scrape; return the sums of the job's series, and add each series of all with each of its labels to `seen`."""
    sums: dict[str, float] = {}
    for family in parsed(serving.request("GET", "/metrics").raise_for_status().text):
        for sample in family.samples:
            seen |= {(sample.name, label) for label in ("", *sample.labels)}
            if sample.labels.get("batch_job") == "watched":
                name = sample.name.removeprefix("gristmill_job_")
                sums[name] = sums.get(name, 0) + sample.value
    return sums


def lacks(seen: set[tuple[str, str]]) -> dict[str, list[str]]:
    """Return what was never told, by what it is about."""
    found: dict[str, list[str]] = {}
    for what, names in TOLD.items():
        for name, _, labels in (each.rstrip("}").partition("{") for each in names):
            if not {(f"gristmill_{name}", label) for label in labels.split(",")} <= seen:
                found.setdefault(what, []).append(name)
    return found


def ask(serving: Serving, method: str, path: str, document: Any) -> None:
    answer = serving.request(method, path, json=document)
    assert answer.is_success, answer.text


def invoke(serving: Serving) -> None:
    deployment = {
        "name": "blue",
        "endpoint_name": "watched",
        "type": "model",
        "code_configuration": {"code": str(serving.folder / "code"), "scoring_script": "score.py"},
        "compute": "local",
        "resources": {"instance_count": 2},
        "settings": {"mini_batch_size": 2, "error_threshold": 10, "retry_settings": {"max_retries": 2}},
    }
    ask(serving, "PUT", "/batchEndpoints/watched", {"name": "watched"})
    ask(serving, "PUT", "/batchEndpoints/watched/deployments/blue?set_default=true", deployment)
    source = {"type": "uri_folder", "path": str(serving.folder / "in")}
    ask(serving, "POST", "/batchEndpoints/watched/jobs", {"job_name": "watched", "input": source})


def test_totals_are_exact_though_a_node_is_killed_in_the_middle(serving: Serving) -> None:
    invoke(serving)
    series: set[tuple[str, str]] = set()
    seen, deadline = [told(serving, series)], time.monotonic() + 90
    while seen[-1].get("alive_instances") != 2 or not seen[-1].get("rows_total"):
        assert time.monotonic() < deadline, f"two instances never scored: {seen[-1]}\n{serving.log[-3000:]}"
        seen.append(told(serving, series))
    serving.nodes[0].kill()
    while seen[-1].get("items", 0) == 0 or seen[-1].get("rows_total", 0) < TOTALS["rows_total"]:
        assert time.monotonic() < deadline, f"the job does not end: {seen[-1]}\n{serving.log[-3000:]}"
        seen.append(told(serving, series))
    job = serving.until("/jobs/watched", lambda job: job["ended"])
    seen.append(told(serving, series))

    assert job["status"] == "Completed"
    assert {name: seen[-1].get(name) for name in TOTALS} == TOTALS
    assert seen[-1]["lost_mini_batches_total"] > 0
    for name, total in TOTALS.items():
        values = [each.get(name, 0) for each in seen]
        assert values == sorted(values), f"{name} went down"
        assert max(values) <= total
    assert lacks(series) == {}

"""A job's samples: what the ledger has counted of it, and what its coordinator knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from gristmill_scheduler.jobs.observed import JobSeen
from gristmill_scheduler.metrics.samples import Samples
from gristmill_storage.ledger import InstanceInfo, JobMeasures, Snapshot
from gristmill_storage.tallies import FAILED, PHASES, STORAGE_FAULTS

#: The sums that the ledger keeps by node, and the metric of each.
_BY_NODE: Final = (("done", "mini_batches"), ("items_done", "items"), ("rows", "rows"))

#: What goes wrong by mini-batch or instance: the field of a snapshot, and the metric.
_TROUBLES: Final = (
    ("losses", "job_lost_mini_batches"),
    ("expiries", "job_expired_instances"),
    ("fenced", "job_fenced_mini_batches"),
    ("copies", "job_copied_mini_batches"),
    ("outrun", "job_outrun_mini_batches"),
)

#: What a node is called that did not say its name.
_UNNAMED: Final = "unknown"

#: Nodes that a job's series name, and what all others are summed up as: nodes that come and go with the work have new
#: names each time.
MOST_NODES: Final = 200
OTHERS: Final = "others"


def tell_job(samples: Samples, job: JobSeen, measured: JobMeasures | None) -> None:
    """Add what is told of a job; None: the ledger is away, or does not know it (any more)."""
    _tell_seen(samples, job)
    if measured is not None:
        own = {"batch_job": job.row.name}
        _tell_progress(samples, measured.snapshot, own)
        _tell_troubles(samples, measured, own)
        _tell_instances(samples, measured, own)
        _tell_tallies(samples, measured, own)


def _tell_seen(samples: Samples, job: JobSeen) -> None:
    row = job.row
    samples.describe("job", batch_job=row.name, endpoint=row.endpoint, deployment=row.deployment, compute=row.compute)
    samples.add("job_status", 1, batch_job=row.name, status=job.status)
    samples.add("job_submitted_timestamp_seconds", row.submitted, batch_job=row.name)
    samples.add("job_started_timestamp_seconds", job.started, batch_job=row.name)
    samples.add("job_eta_seconds", job.eta, batch_job=row.name)
    samples.add("job_wanted_instances", row.instances, batch_job=row.name)
    samples.add("job_coordinator_last_look_timestamp_seconds", job.looked or None, batch_job=row.name)


def _tell_progress(samples: Samples, found: Snapshot, own: dict[str, str]) -> None:
    pending = found.items_planned - found.succeeded - found.failed
    for state, items in (("succeeded", found.succeeded), ("failed", found.failed), ("pending", pending)):
        samples.add("job_items", items, state=state, **own)
    unleased = found.planned - found.done - found.leased - found.returned
    states = {"pending": unleased, "leased": found.leased, "returned": found.returned, "done": found.done}
    for state, count in states.items():
        samples.add("job_mini_batches", max(0, count), state=state, **own)
    samples.add("job_plan_complete", int(found.plan_closed), **own)
    samples.add("job_rows", found.rows, **own)
    samples.add("job_output_bytes", found.size, **own)
    samples.add("job_since_commit_seconds", found.seconds_since_commit, **own)


def _tell_troubles(samples: Samples, measured: JobMeasures, own: dict[str, str]) -> None:
    samples.add("job_error_threshold_items", measured.threshold if measured.threshold >= 0 else None, **own)
    samples.add("job_lease_seconds", measured.lease_seconds, **own)
    for field, metric in _TROUBLES:
        samples.add(metric, getattr(measured.snapshot, field), **own)
    for category, count in measured.snapshot.failures.items():
        samples.add("job_retries", count, category=category, **own)
    for name, count in measured.tallies.items():
        kind, _, category = name.partition(":")
        if kind == FAILED:
            samples.add("job_failed_items", count, category=category, **own)


def _tell_instances(samples: Samples, measured: JobMeasures, own: dict[str, str]) -> None:
    everybody = measured.snapshot.instances
    instances = [instance for instance in everybody if instance.info.get("role") == "instance"]
    aggregators = [instance for instance in everybody if instance.info.get("role") == "aggregator"]
    samples.add("job_alive_instances", len(instances), **own)
    samples.add("job_storage_waiters", sum(bool(each.info.get("waiting")) for each in everybody), **own)
    samples.add("job_scorers", _sum(instances, "scorers"), **own)
    samples.add("job_busy_scorers", _sum(instances, "busy"), **own)
    samples.add("job_aggregators", len(aggregators), **own)
    if aggregators:
        samples.add("job_merged_mini_batches", _sum(aggregators, "merged"), **own)
    held, oldest = Counter[str](), dict[str, float]()
    for instance in instances:
        holding = measured.holding.get(instance.name)
        node = str(instance.info.get("node") or _UNNAMED)
        held[node] += holding.mini_batches if holding else 0
        oldest[node] = max(oldest.get(node, 0.0), holding.oldest_seconds if holding else 0.0)
    for node, seconds in oldest.items():
        samples.add("job_held_mini_batches", held[node], node=node, **own)
        samples.add("job_oldest_lease_seconds", seconds, node=node, **own)


def _tell_tallies(samples: Samples, measured: JobMeasures, own: dict[str, str]) -> None:
    samples.add("job_storage_faults", measured.tallies.get(STORAGE_FAULTS, 0), **own)
    for phase in PHASES:
        samples.histogram(f"job_{phase}_seconds", phase, measured.tallies, **own)
    by_node = {metric: _by_node(measured, sum_name) for sum_name, metric in _BY_NODE}
    named = {node for node, _ in Counter(by_node["mini_batches"]).most_common(MOST_NODES)}
    for metric, amounts in by_node.items():
        told = Counter[str]()
        for node, amount in amounts.items():
            told[node if node in named else OTHERS] += amount
        for node, amount in told.items():
            samples.add(f"job_node_{metric}", amount, node=node, **own)


def _by_node(measured: JobMeasures, sum_name: str) -> dict[str, int]:
    prefix = f"node:{sum_name}:"
    tallies = measured.tallies.items()
    return {name[len(prefix) :] or _UNNAMED: amount for name, amount in tallies if name.startswith(prefix)}


def _sum(instances: Iterable[InstanceInfo], key: str) -> int:
    """Return the sum of what instances say; what is no number, of whatever version, counts for nothing."""
    found: list[Any] = [instance.info.get(key) for instance in instances]
    return sum(value for value in found if isinstance(value, int))

"""The samples of nodes, computes and the Redis server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gristmill_scheduler.jobs.observed import Demand
from gristmill_scheduler.metrics.samples import Samples
from gristmill_storage.ledger import Health

#: A node's metrics by what it says of its machine.
_MACHINE: Final = (
    ("cpus", "node_cpus"),
    ("cpu_seconds", "node_cpu_seconds"),
    ("memory", "node_memory_bytes"),
    ("memory_available", "node_memory_available_bytes"),
)

_GPU: Final = (
    ("utilization", "node_gpu_utilization_ratio"),
    ("memory", "node_gpu_memory_bytes"),
    ("memory_used", "node_gpu_memory_used_bytes"),
)

#: Metrics by the names that the Redis server's INFO has.
_SERVER: Final = (
    ("used_memory", "ledger_memory_bytes"),
    ("used_memory_peak", "ledger_memory_peak_bytes"),
    ("maxmemory", "ledger_memory_limit_bytes"),
    ("connected_clients", "ledger_clients"),
    ("total_commands_processed", "ledger_commands"),
    ("evicted_keys", "ledger_evicted_keys"),
    ("uptime_in_seconds", "ledger_uptime_seconds"),
    ("aof_enabled", "ledger_append_only"),
    ("aof_current_size", "ledger_append_only_bytes"),
    ("aof_delayed_fsync", "ledger_append_only_delayed_syncs"),
)


def tell_nodes(samples: Samples, nodes: Iterable[Mapping[str, Any]]) -> None:
    """Add what nodes say of themselves; a node of another version may say less."""
    for node in nodes:
        own = {"node": str(node.get("host", "")), "compute": str(node.get("compute", "")), "pid": str(node.get("pid"))}
        running = node.get("running") or []
        samples.add("node_up", 1, **own)
        samples.add("node_slots", _number(node.get("slots")), **own)
        samples.add("node_busy_slots", sum(job is not None for job in running), **own)
        samples.add("node_silence_seconds", _number(node.get("age_seconds")), **own)
        machine = node.get("machine") or {}
        for key, metric in _MACHINE:
            samples.add(metric, _number(machine.get(key)), **own)
        for number, gpu in enumerate(machine.get("gpus") or []):
            for key, metric in _GPU:
                samples.add(metric, _number(gpu.get(key)), gpu=str(number), **own)


def tell_demand(samples: Samples, demand: Mapping[str, Demand]) -> None:
    """Add what is asked of each compute."""
    for compute, asked in demand.items():
        samples.add("compute_wanted_instances", asked.instances, compute=compute)
        samples.add("compute_queued_jobs", asked.queued, compute=compute)
        samples.add("compute_oldest_queued_job_seconds", asked.oldest_seconds, compute=compute)


def tell_health(samples: Samples, health: Health | None) -> None:
    """Add how the Redis server is; None: it does not answer."""
    samples.add("ledger_up", int(health is not None))
    if health is None:
        return
    samples.add("ledger_latency_seconds", health.latency_seconds)
    samples.add("ledger_jobs", health.jobs)
    samples.add("ledger_append_only_writes", None if health.writes is None else int(health.writes))
    for name, metric in _SERVER:
        samples.add(metric, health.numbers.get(name))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None

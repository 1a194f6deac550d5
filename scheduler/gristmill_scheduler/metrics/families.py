"""Every metric there is, in one table: the exporter emits these and no others, and their reference is made of it.

A job's label is `batch_job`, because `job` and `instance` are Prometheus' own. All labels are bounded: by the jobs that
have series, the nodes that live, the computes, and the words of this house.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["gauge", "counter", "histogram", "info"]

#: Who tells it: the server that leads the job; the one that dispatches, for all; each server of itself.
Scope: TypeAlias = Literal["job", "cluster", "server"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One family of series."""

    #: Without `_total` or `_info`, which its kind adds.
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    scope: Scope

    @property
    def shown(self) -> str:
        """The name as Prometheus has it; of a histogram, that of the family."""
        return self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its series."""
        if self.kind == "histogram":
            return tuple(self.name + suffix for suffix in ("_bucket", "_count", "_sum"))
        return (self.shown,)


def _of(scope: Scope, kind: Kind, name: str, labels: str, text: str) -> Metric:
    own = ("batch_job",) if scope == "job" else ()
    return Metric(
        name=f"gristmill_{name}", kind=kind, help=text, labels=(*own, *filter(None, labels.split(","))), scope=scope
    )


_TABLE: Final = (
    _of("job", "info", "job", "endpoint,deployment,compute", "What the job is."),
    _of("job", "gauge", "job_status", "status", "1 for the job's present status."),
    _of("job", "gauge", "job_submitted_timestamp_seconds", "", "When the job was submitted."),
    _of("job", "gauge", "job_started_timestamp_seconds", "", "When its first instance had begun."),
    _of("job", "gauge", "job_eta_seconds", "", "Seconds until all is scored, at the pace of the last ten seconds."),
    _of("job", "gauge", "job_plan_complete", "", "1 when the whole input is listed."),
    _of("job", "gauge", "job_items", "state", "Items of the plan so far: succeeded, failed, pending."),
    _of("job", "gauge", "job_mini_batches", "state", "Mini-batches of the plan: pending, leased, returned, done."),
    _of("job", "counter", "job_rows", "", "Rows of output that count."),
    _of("job", "counter", "job_output_bytes", "", "Bytes of output that count."),
    _of("job", "gauge", "job_error_threshold_items", "", "Failed items that are allowed; absent: any number."),
    _of("job", "counter", "job_failed_items", "category", "Items that failed for good."),
    _of("job", "counter", "job_retries", "category", "Attempts at a mini-batch that failed and were tried again."),
    _of("job", "counter", "job_lost_mini_batches", "", "Mini-batches lost with an instance that fell silent."),
    _of("job", "counter", "job_expired_instances", "", "Instances that fell silent."),
    _of("job", "counter", "job_fenced_mini_batches", "", "Mini-batches refused in commits: their lease was gone."),
    _of("job", "counter", "job_copied_mini_batches", "", "Second leases of a mini-batch (settings.speculate)."),
    _of("job", "counter", "job_outrun_mini_batches", "", "Mini-batches refused in commits: the copy had won."),
    _of("job", "gauge", "job_since_commit_seconds", "", "Seconds since a part was accepted, or since the opening."),
    _of("job", "gauge", "job_lease_seconds", "", "Seconds of silence after which an instance's leases expire."),
    _of("job", "gauge", "job_oldest_lease_seconds", "node", "Age of the oldest lease that a node holds."),
    _of("job", "gauge", "job_held_mini_batches", "node", "Mini-batches that a node holds leased."),
    _of("job", "gauge", "job_wanted_instances", "", "Instances that the job asks for."),
    _of("job", "gauge", "job_alive_instances", "", "Instances that give signs of life."),
    _of("job", "gauge", "job_storage_waiters", "", "Instances and aggregators that wait for storage that fails."),
    _of("job", "counter", "job_storage_faults", "", "Faults of storage that instances waited out, each try of it."),
    _of("job", "gauge", "job_scorers", "", "Scorers that have run init()."),
    _of("job", "gauge", "job_busy_scorers", "", "Scorers that have something to do."),
    _of("job", "counter", "job_node_mini_batches", "node", "Mini-batches that count, by the node that scored them."),
    _of("job", "counter", "job_node_items", "node", "Items of mini-batches that count, by node."),
    _of("job", "counter", "job_node_rows", "node", "Rows of output that count, by node."),
    _of("job", "histogram", "job_run_seconds", "", "run() of the attempts that count, one a mini-batch."),
    _of("job", "histogram", "job_fetch_seconds", "", "From a mini-batch's lease until its items were on the machine."),
    _of("job", "histogram", "job_queue_seconds", "", "From a mini-batch's lease until a scorer was given it."),
    _of("job", "histogram", "job_commit_seconds", "", "Until a part was durable, before the ledger was told."),
    _of("job", "histogram", "job_init_seconds", "", "init() of a scorer."),
    _of("job", "gauge", "job_aggregators", "", "Aggregators that are at work: 0 or 1."),
    _of("job", "gauge", "job_merged_mini_batches", "", "Mini-batches that the aggregator has merged."),
    _of("job", "gauge", "job_coordinator_last_look_timestamp_seconds", "", "When its reconciler last looked."),
    _of("cluster", "gauge", "jobs", "status", "Jobs of the workspace."),
    _of("cluster", "gauge", "compute_wanted_instances", "compute", "Instances that jobs which have not ended ask for."),
    _of("cluster", "gauge", "compute_queued_jobs", "compute", "Jobs that have not begun."),
    _of("cluster", "gauge", "compute_oldest_queued_job_seconds", "compute", "Age of the job that waits the longest."),
    _of("cluster", "gauge", "compute_waiting_messages", "compute", "Instances in the queue that no node has taken."),
    _of("cluster", "gauge", "node_up", "node,compute,pid", "1 for each node that gives signs of life."),
    _of("cluster", "gauge", "node_slots", "node,compute,pid", "Instances that the node runs at once."),
    _of("cluster", "gauge", "node_busy_slots", "node,compute,pid", "Instances that the node runs."),
    _of("cluster", "gauge", "node_silence_seconds", "node,compute,pid", "Seconds since its last sign of life."),
    _of("cluster", "gauge", "node_cpus", "node,compute,pid", "Cores that the node may use."),
    _of("cluster", "counter", "node_cpu_seconds", "node,compute,pid", "Seconds that the machine's cores were busy."),
    _of("cluster", "gauge", "node_memory_bytes", "node,compute,pid", "Memory that the node may use."),
    _of("cluster", "gauge", "node_memory_available_bytes", "node,compute,pid", "Memory that is free or can be freed."),
    _of("cluster", "gauge", "node_gpu_utilization_ratio", "node,compute,pid,gpu", "How busy a GPU is, 0 to 1."),
    _of("cluster", "gauge", "node_gpu_memory_bytes", "node,compute,pid,gpu", "Memory of a GPU."),
    _of("cluster", "gauge", "node_gpu_memory_used_bytes", "node,compute,pid,gpu", "Memory of a GPU that is in use."),
    _of("server", "info", "build", "version", "Version of the server."),
    _of("server", "gauge", "server_dispatches", "", "1 where the server begins the jobs of the workspace."),
    _of("server", "gauge", "server_led_jobs", "", "Jobs that the server leads."),
    _of("server", "gauge", "server_left_out_jobs", "", "Jobs without series, because there are too many."),
    _of("server", "gauge", "server_dispatcher_last_look_timestamp_seconds", "", "When it last looked for jobs."),
    _of("server", "gauge", "server_collect_seconds", "", "Seconds that it took to gather all this."),
    _of("server", "gauge", "ledger_up", "", "1 when the Redis server answers."),
    _of("server", "gauge", "ledger_latency_seconds", "", "Time to the Redis server and back."),
    _of("server", "gauge", "ledger_jobs", "", "Jobs that run, of every workspace of the Redis server."),
    _of("server", "gauge", "ledger_memory_bytes", "", "Memory that the Redis server's data takes."),
    _of("server", "gauge", "ledger_memory_peak_bytes", "", "The most that it took."),
    _of("server", "gauge", "ledger_memory_limit_bytes", "", "The most that it may take; 0: no limit."),
    _of("server", "gauge", "ledger_clients", "", "Connections to the Redis server."),
    _of("server", "counter", "ledger_commands", "", "Commands that the Redis server took."),
    _of("server", "counter", "ledger_evicted_keys", "", "Keys that it dropped for want of memory: none may be."),
    _of("server", "gauge", "ledger_uptime_seconds", "", "Since the Redis server started."),
    _of("server", "gauge", "ledger_append_only", "", "1 when the Redis server keeps an append-only file."),
    _of("server", "gauge", "ledger_append_only_writes", "", "1 when it could be written the last time."),
    _of("server", "gauge", "ledger_append_only_bytes", "", "Size of the append-only file."),
    _of("server", "counter", "ledger_append_only_delayed_syncs", "", "Times that the disk kept it waiting."),
)

#: All of them by name, in the order in which they are told.
METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _TABLE}

#: Every name that a query may have.
SERIES: Final[Mapping[str, Metric]] = {name: metric for metric in _TABLE for name in metric.series}

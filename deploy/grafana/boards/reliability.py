"""The dashboard of what fails and is made good."""

from __future__ import annotations

from typing import Final

from boards.panels import RATE, Dashboard, Row, graph, stat


def _all(name: str, by: str = "batch_job") -> tuple[str, str]:
    return f"sum by ({by}) (gristmill_job_{name})", " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))


_COMMITS: Final = f"rate(gristmill_job_commit_seconds_bucket{RATE})"

RELIABILITY: Final = Dashboard(
    uid="gristmill-reliability",
    title="Gristmill / Reliability",
    text="What fails and is made good, and whether those who make it good are at work.",
    rows=(
        Row(
            title="Now",
            panels=(
                stat(
                    "Longest without a look",
                    "time() - min(gristmill_job_coordinator_last_look_timestamp_seconds)",
                    "s",
                    thresholds=(10, 60),
                    text="Since the reconciler of a job last looked at it.",
                ),
                stat(
                    "Dispatcher's last look",
                    "time() - max(gristmill_server_dispatcher_last_look_timestamp_seconds)",
                    "s",
                    thresholds=(10, 60),
                ),
                stat("Servers that dispatch", "sum(gristmill_server_dispatches)"),
                stat("Append-only file written", "min(gristmill_ledger_append_only_writes)"),
                stat("Keys that Redis dropped", "max(gristmill_ledger_evicted_keys_total)", thresholds=(1, 1)),
                stat("Jobs without series", "sum(gristmill_server_left_out_jobs)"),
            ),
        ),
        Row(
            title="Attempts",
            panels=(
                graph("Retries by reason", _all("retries_total", "category")),
                graph("Failed items by reason", _all("failed_items_total", "category")),
                graph(
                    "Copies of stragglers",
                    ("sum(gristmill_job_copied_mini_batches_total)", "made"),
                    ("sum(gristmill_job_outrun_mini_batches_total)", "outrun"),
                ),
            ),
        ),
        Row(
            title="Losses",
            panels=(
                graph("Instances that fell silent", _all("expired_instances_total")),
                graph("Mini-batches lost with them", _all("lost_mini_batches_total")),
                graph(
                    "Commits that came too late",
                    _all("fenced_mini_batches_total"),
                    text="Refused, because the lease had gone to another: counted once, all the same.",
                ),
            ),
        ),
        Row(
            title="Storage and Redis",
            panels=(
                graph(
                    "Storage that fails",
                    ("sum by (batch_job) (gristmill_job_storage_waiters)", "{{batch_job}} waiting"),
                    ("sum by (batch_job) (gristmill_job_storage_faults_total)", "{{batch_job}} faults"),
                    text="Processes that wait for it now, and faults so far: each time that something was tried.",
                ),
                graph(
                    "P95 of making a part durable",
                    (
                        f"histogram_quantile(0.95, sum by (batch_job, le) ({_COMMITS}))",
                        "{{batch_job}}",
                    ),
                    unit="s",
                ),
                graph(
                    "Append-only file",
                    ("max(gristmill_ledger_append_only_bytes)", "size"),
                    ("max(gristmill_ledger_append_only_delayed_syncs_total)", "times kept waiting by the disk"),
                    unit="bytes",
                ),
            ),
        ),
        Row(
            title="Servers",
            panels=(
                graph("Jobs that are led", ("gristmill_server_led_jobs", "{{instance}}")),
                graph(
                    "Time since each job was looked at",
                    ("time() - gristmill_job_coordinator_last_look_timestamp_seconds", "{{batch_job}}"),
                    unit="s",
                ),
                graph("Time to gather these metrics", ("gristmill_server_collect_seconds", "{{instance}}"), unit="s"),
            ),
        ),
    ),
)

"""The dashboard of what fails and is made good."""

from __future__ import annotations

from typing import Final

from boards.panels import RATE, Dashboard, Panel, Row, stat


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
                Panel(title="Retries by reason", queries=(_all("retries_total", "category"),)),
                Panel(title="Failed items by reason", queries=(_all("failed_items_total", "category"),)),
                Panel(
                    title="Copies of stragglers",
                    queries=(
                        ("sum(gristmill_job_copied_mini_batches_total)", "made"),
                        ("sum(gristmill_job_outrun_mini_batches_total)", "outrun"),
                    ),
                ),
            ),
        ),
        Row(
            title="Losses",
            panels=(
                Panel(title="Instances that fell silent", queries=(_all("expired_instances_total"),)),
                Panel(title="Mini-batches lost with them", queries=(_all("lost_mini_batches_total"),)),
                Panel(
                    title="Commits that came too late",
                    text="Refused, because the lease had gone to another: counted once, all the same.",
                    queries=(_all("fenced_mini_batches_total"),),
                ),
            ),
        ),
        Row(
            title="Storage and Redis",
            panels=(
                Panel(
                    title="Storage that fails",
                    text="Processes that wait for it now, and faults so far: each time that something was tried.",
                    queries=(
                        ("sum by (batch_job) (gristmill_job_storage_waiters)", "{{batch_job}} waiting"),
                        ("sum by (batch_job) (gristmill_job_storage_faults_total)", "{{batch_job}} faults"),
                    ),
                ),
                Panel(
                    title="P95 of making a part durable",
                    unit="s",
                    queries=(
                        (
                            f"histogram_quantile(0.95, sum by (batch_job, le) ({_COMMITS}))",
                            "{{batch_job}}",
                        ),
                    ),
                ),
                Panel(
                    title="Append-only file",
                    unit="bytes",
                    queries=(
                        ("max(gristmill_ledger_append_only_bytes)", "size"),
                        ("max(gristmill_ledger_append_only_delayed_syncs_total)", "times kept waiting by the disk"),
                    ),
                ),
            ),
        ),
        Row(
            title="Servers",
            panels=(
                Panel(title="Jobs that are led", queries=(("gristmill_server_led_jobs", "{{instance}}"),)),
                Panel(
                    title="Time since each job was looked at",
                    unit="s",
                    queries=(("time() - gristmill_job_coordinator_last_look_timestamp_seconds", "{{batch_job}}"),),
                ),
                Panel(
                    title="Time to gather these metrics",
                    unit="s",
                    queries=(("gristmill_server_collect_seconds", "{{instance}}"),),
                ),
            ),
        ),
    ),
)

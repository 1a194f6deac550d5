"""The dashboard of nodes, computes and Redis."""

from __future__ import annotations

from typing import Final

from boards.panels import RATE, Dashboard, Row, graph, stat

_NODE: Final = "{{node}} ({{compute}}, {{pid}})"

CLUSTER: Final = Dashboard(
    uid="gristmill-cluster",
    title="Gristmill / Cluster",
    text="Nodes, what they have to do, and what waits.",
    rows=(
        Row(
            title="Now",
            panels=(
                stat("Nodes", "sum(gristmill_node_up)"),
                stat("Places", "sum(gristmill_node_slots)"),
                stat("Places in use", "sum(gristmill_node_busy_slots) / sum(gristmill_node_slots)", "percentunit"),
                stat("Jobs that wait", "sum(gristmill_compute_queued_jobs)"),
                stat("The first one waits", "max(gristmill_compute_oldest_queued_job_seconds)", "s"),
                stat("Redis answers", "min(gristmill_ledger_up)"),
            ),
        ),
        Row(
            title="Work",
            panels=(
                graph(
                    "Jobs by status",
                    ('sum by (status) (gristmill_jobs{status!~"Completed|Failed|Canceled"})', "{{status}}"),
                    stacked=True,
                ),
                graph(
                    "Jobs that ended",
                    ('sum by (status) (gristmill_jobs{status=~"Completed|Failed|Canceled"})', "{{status}}"),
                ),
                graph(
                    "Instances by compute",
                    ("sum by (compute) (gristmill_compute_wanted_instances)", "{{compute}} wanted"),
                    ("sum by (compute) (gristmill_compute_waiting_messages)", "{{compute}} in the queue"),
                    ("sum by (compute) (gristmill_node_slots)", "{{compute}} places"),
                    ("sum by (compute) (gristmill_node_busy_slots)", "{{compute}} in use"),
                    text="Wanted by jobs; asked for, and taken by no node yet; places of the nodes.",
                ),
            ),
        ),
        Row(
            title="Machines",
            panels=(
                graph(
                    "Cores in use",
                    (f"rate(gristmill_node_cpu_seconds_total{RATE}) / gristmill_node_cpus", _NODE),
                    unit="percentunit",
                ),
                graph(
                    "Memory in use",
                    ("1 - gristmill_node_memory_available_bytes / gristmill_node_memory_bytes", _NODE),
                    unit="percentunit",
                ),
                graph("Since the last sign of life", ("gristmill_node_silence_seconds", _NODE), unit="s"),
            ),
        ),
        Row(
            title="GPUs",
            panels=(
                graph(
                    "GPUs in use",
                    ("gristmill_node_gpu_utilization_ratio", f"{_NODE} {{{{gpu}}}}"),
                    unit="percentunit",
                    width=12,
                ),
                graph(
                    "GPU memory in use",
                    (
                        "gristmill_node_gpu_memory_used_bytes / gristmill_node_gpu_memory_bytes",
                        f"{_NODE} {{{{gpu}}}}",
                    ),
                    unit="percentunit",
                    width=12,
                ),
            ),
        ),
        Row(
            title="Redis",
            panels=(
                graph(
                    "Memory",
                    ("max(gristmill_ledger_memory_bytes)", "used"),
                    ("max(gristmill_ledger_memory_peak_bytes)", "most so far"),
                    ("max(gristmill_ledger_memory_limit_bytes)", "limit"),
                    unit="bytes",
                ),
                graph("There and back", ("gristmill_ledger_latency_seconds", "{{instance}}"), unit="s"),
                graph(
                    "Commands and connections",
                    (f"max(rate(gristmill_ledger_commands_total{RATE}))", "commands a second"),
                    ("max(gristmill_ledger_clients)", "connections"),
                ),
            ),
        ),
    ),
)

"""The dashboard of nodes, computes and Redis."""

from __future__ import annotations

from typing import Final

from boards.panels import RATE, Dashboard, Panel, Row, stat

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
                Panel(
                    title="Jobs by status",
                    stacked=True,
                    queries=(('sum by (status) (gristmill_jobs{status!~"Completed|Failed|Canceled"})', "{{status}}"),),
                ),
                Panel(
                    title="Jobs that ended",
                    queries=(('sum by (status) (gristmill_jobs{status=~"Completed|Failed|Canceled"})', "{{status}}"),),
                ),
                Panel(
                    title="Instances by compute",
                    text="Wanted by jobs; asked for, and taken by no node yet; places of the nodes.",
                    queries=(
                        ("sum by (compute) (gristmill_compute_wanted_instances)", "{{compute}} wanted"),
                        ("sum by (compute) (gristmill_compute_waiting_messages)", "{{compute}} in the queue"),
                        ("sum by (compute) (gristmill_node_slots)", "{{compute}} places"),
                        ("sum by (compute) (gristmill_node_busy_slots)", "{{compute}} in use"),
                    ),
                ),
            ),
        ),
        Row(
            title="Machines",
            panels=(
                Panel(
                    title="Cores in use",
                    unit="percentunit",
                    queries=((f"rate(gristmill_node_cpu_seconds_total{RATE}) / gristmill_node_cpus", _NODE),),
                ),
                Panel(
                    title="Memory in use",
                    unit="percentunit",
                    queries=(("1 - gristmill_node_memory_available_bytes / gristmill_node_memory_bytes", _NODE),),
                ),
                Panel(
                    title="Since the last sign of life",
                    unit="s",
                    queries=(("gristmill_node_silence_seconds", _NODE),),
                ),
            ),
        ),
        Row(
            title="GPUs",
            panels=(
                Panel(
                    title="GPUs in use",
                    unit="percentunit",
                    width=12,
                    queries=(("gristmill_node_gpu_utilization_ratio", f"{_NODE} {{{{gpu}}}}"),),
                ),
                Panel(
                    title="GPU memory in use",
                    unit="percentunit",
                    width=12,
                    queries=(
                        (
                            "gristmill_node_gpu_memory_used_bytes / gristmill_node_gpu_memory_bytes",
                            f"{_NODE} {{{{gpu}}}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            title="Redis",
            panels=(
                Panel(
                    title="Memory",
                    unit="bytes",
                    queries=(
                        ("max(gristmill_ledger_memory_bytes)", "used"),
                        ("max(gristmill_ledger_memory_peak_bytes)", "most so far"),
                        ("max(gristmill_ledger_memory_limit_bytes)", "limit"),
                    ),
                ),
                Panel(
                    title="There and back",
                    unit="s",
                    queries=(("gristmill_ledger_latency_seconds", "{{instance}}"),),
                ),
                Panel(
                    title="Commands and connections",
                    queries=(
                        (f"max(rate(gristmill_ledger_commands_total{RATE}))", "commands a second"),
                        ("max(gristmill_ledger_clients)", "connections"),
                    ),
                ),
            ),
        ),
    ),
)

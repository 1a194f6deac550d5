"""Makes the dashboards in `dashboards/`: `python deploy/grafana/build.py` writes them, a test compares them.

Each panel is a line or two here; what Grafana wants around it is added below. `$job` and `$__rate_interval` are
Grafana's to fill in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "dashboards"

#: Grafana's own width.
_COLUMNS: Final = 24
_SCHEMA: Final = 39
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

_JOB: Final = 'batch_job="$job"'
_RATE: Final = "[$__rate_interval]"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel."""

    title: str
    #: Expression and legend of each query.
    queries: Sequence[tuple[str, str]] = ()
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    #: What it shows that its title does not say.
    text: str = ""
    #: Whether its series are piled up.
    stacked: bool = False
    #: From where on a value is yellow and red.
    thresholds: Sequence[float] = ()
    #: Markdown, of a panel of text.
    content: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One dashboard."""

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    #: Whether it shows one job, which is chosen at its head.
    of_a_job: bool = False


def _stat(title: str, expression: str, unit: str = "short", *, legend: str = "", **more: Any) -> Panel:
    queries = ((expression, legend or title),)
    return Panel(title=title, queries=queries, kind="stat", unit=unit, **{"width": 4, "height": 4, **more})


def _quantiles(phase: str) -> list[tuple[str, str]]:
    buckets = f"sum by (le) (rate(gristmill_job_{phase}_seconds_bucket{{{_JOB}}}{_RATE}))"
    return [(f"histogram_quantile({share}, {buckets})", f"P{share * 100:g}") for share in (0.5, 0.95, 0.99)]


def _p95(phase: str) -> tuple[str, str]:
    return _quantiles(phase)[1][0], phase


#: Scorers begin together, and no rate is left of that a minute later.
_P95_INIT: Final = (
    f"histogram_quantile(0.95, sum by (le) (gristmill_job_init_seconds_bucket{{{_JOB}}}))",
    "init",
)


def _own(name: str, **labels: str) -> str:
    """Return a series of the chosen job, whichever server tells it."""
    matchers = ",".join([_JOB, *(f'{label}="{value}"' for label, value in labels.items())])
    return f"gristmill_job_{name}{{{matchers}}}"


def _per_second(name: str, by: str = "") -> str:
    return f"sum by ({by}) (rate({_own(name)}{_RATE}))" if by else f"sum(rate({_own(name)}{_RATE}))"


JOB: Final = Dashboard(
    uid="gristmill-job",
    title="Gristmill / Job progress",
    text="One job: how far it is, how fast it goes, what holds it up.",
    of_a_job=True,
    rows=(
        Row(
            title="Now",
            panels=(
                _stat("State", f"{_own('status')} == 1", legend="{{status}}"),
                _stat(
                    "Done",
                    f'sum(gristmill_job_items{{{_JOB},state!="pending"}}) / sum({_own("items")})',
                    "percentunit",
                ),
                _stat("Time left", f"max({_own('eta_seconds')})", "s"),
                _stat("Rows a second", _per_second("rows_total"), "rowsps"),
                _stat("Failed items", f"sum({_own('items', state='failed')})", thresholds=(1, 100)),
                _stat("Since the last commit", f"max({_own('since_commit_seconds')})", "s", thresholds=(30, 120)),
            ),
        ),
        Row(
            title="Progress",
            panels=(
                Panel(
                    title="Pace",
                    unit="rowsps",
                    queries=(
                        (_per_second("rows_total"), "now"),
                        (
                            f"max({_own('rows_total')}) / (time() - max({_own('started_timestamp_seconds')}))",
                            "since the start",
                        ),
                    ),
                ),
                Panel(
                    title="Mini-batches by state",
                    stacked=True,
                    queries=((f"sum by (state) ({_own('mini_batches')})", "{{state}}"),),
                ),
                Panel(
                    title="Failures against the threshold",
                    text="The job is stopped when more items have failed than error_threshold allows.",
                    queries=(
                        (f"sum({_own('items', state='failed')})", "failed"),
                        (f"max({_own('error_threshold_items')})", "allowed"),
                    ),
                ),
            ),
        ),
        Row(
            title="Time",
            panels=(
                Panel(title="run() of a mini-batch", unit="s", queries=_quantiles("run")),
                Panel(
                    title="P95 of each phase",
                    unit="s",
                    text="fetch: until items are here; queue: until a scorer has them; commit: a part; init: so far.",
                    queries=[*(_p95(phase) for phase in ("fetch", "queue", "run", "commit")), _P95_INIT],
                ),
                Panel(
                    title="Time between leases and results",
                    unit="s",
                    text="The oldest lease of each node. A straggler stands out; leases expire after the limit.",
                    queries=(
                        (f"topk(10, max by (node) ({_own('oldest_lease_seconds')}))", "{{node}}"),
                        (f"max({_own('lease_seconds')})", "limit without a sign of life"),
                    ),
                ),
            ),
        ),
        Row(
            title="Nodes",
            panels=(
                Panel(
                    title="Items a second by node",
                    unit="ops",
                    stacked=True,
                    queries=((_per_second("node_items_total", "node"), "{{node}}"),),
                ),
                Panel(
                    title="Instances and scorers",
                    queries=(
                        (f"max({_own('wanted_instances')})", "instances wanted"),
                        (f"max({_own('alive_instances')})", "instances alive"),
                        (f"max({_own('scorers')})", "scorers"),
                        (f"max({_own('busy_scorers')})", "scorers busy"),
                    ),
                ),
                Panel(
                    title="Held by node",
                    queries=((f"sum by (node) ({_own('held_mini_batches')})", "{{node}}"),),
                ),
            ),
        ),
        Row(
            title="Trouble and end",
            panels=(
                Panel(
                    title="Retries by reason",
                    queries=((f"sum by (category) ({_own('retries_total')})", "{{category}}"),),
                ),
                Panel(
                    title="Failed items by reason",
                    queries=((f"sum by (category) ({_own('failed_items_total')})", "{{category}}"),),
                ),
                Panel(
                    title="Merged mini-batches",
                    text="Of the aggregator, while it is at work.",
                    queries=((f"{_own('merged_mini_batches')} or 0 * {_own('aggregators')}", "merged"),),
                    width=4,
                ),
                Panel(
                    title="Logs",
                    kind="text",
                    width=4,
                    content=(
                        "`gristmill job logs -n $job` prints what the scripts wrote, `gristmill job stream -n $job` "
                        "follows it, `gristmill job download -n $job` fetches all logs. "
                        "[The same by HTTP]($server/jobs/$job/files?output=default), with a token."
                    ),
                ),
            ),
        ),
    ),
)

_NODE: Final = "{{node}} ({{compute}}, {{pid}})"

CLUSTER: Final = Dashboard(
    uid="gristmill-cluster",
    title="Gristmill / Cluster",
    text="Nodes, what they have to do, and what waits.",
    rows=(
        Row(
            title="Now",
            panels=(
                _stat("Nodes", "sum(gristmill_node_up)"),
                _stat("Places", "sum(gristmill_node_slots)"),
                _stat("Places in use", "sum(gristmill_node_busy_slots) / sum(gristmill_node_slots)", "percentunit"),
                _stat("Jobs that wait", "sum(gristmill_compute_queued_jobs)"),
                _stat("The first one waits", "max(gristmill_compute_oldest_queued_job_seconds)", "s"),
                _stat("Redis answers", "min(gristmill_ledger_up)"),
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
                    queries=((f"rate(gristmill_node_cpu_seconds_total{_RATE}) / gristmill_node_cpus", _NODE),),
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
                        (f"max(rate(gristmill_ledger_commands_total{_RATE}))", "commands a second"),
                        ("max(gristmill_ledger_clients)", "connections"),
                    ),
                ),
            ),
        ),
    ),
)


def _all(name: str, by: str = "batch_job") -> tuple[str, str]:
    return f"sum by ({by}) (gristmill_job_{name})", " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))


_COMMITS: Final = f"rate(gristmill_job_commit_seconds_bucket{_RATE})"

RELIABILITY: Final = Dashboard(
    uid="gristmill-reliability",
    title="Gristmill / Reliability",
    text="What fails and is made good, and whether those who make it good are at work.",
    rows=(
        Row(
            title="Now",
            panels=(
                _stat(
                    "Longest without a look",
                    "time() - min(gristmill_job_coordinator_last_look_timestamp_seconds)",
                    "s",
                    thresholds=(10, 60),
                    text="Since the reconciler of a job last looked at it.",
                ),
                _stat(
                    "Dispatcher's last look",
                    "time() - max(gristmill_server_dispatcher_last_look_timestamp_seconds)",
                    "s",
                    thresholds=(10, 60),
                ),
                _stat("Servers that dispatch", "sum(gristmill_server_dispatches)"),
                _stat("Append-only file written", "min(gristmill_ledger_append_only_writes)"),
                _stat("Keys that Redis dropped", "max(gristmill_ledger_evicted_keys_total)", thresholds=(1, 1)),
                _stat("Jobs without series", "sum(gristmill_server_left_out_jobs)"),
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
                    title="Waiting for storage that fails",
                    queries=(_all("storage_waiters"),),
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

DASHBOARDS: Final = (JOB, CLUSTER, RELIABILITY)


def document(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["gristmill"],
        "timezone": "",
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "links": [
            {"type": "dashboards", "tags": ["gristmill"], "title": "Gristmill", "asDropdown": True, "includeVars": True}
        ],
        "templating": {"list": list(_variables(dashboard))},
        "panels": list(_panels(dashboard.rows)),
    }


def _variables(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    if dashboard.of_a_job:
        query = "label_values(gristmill_job_info, batch_job)"
        yield {
            "name": "job", "type": "query", "label": "Job", "datasource": _SOURCE,
            "query": {"query": query, "refId": "job"}, "refresh": 2, "sort": 2,
        }  # fmt: skip
        yield {
            "name": "server", "type": "textbox", "label": "Server", "query": "http://localhost:8890",
            "current": {"text": "http://localhost:8890", "value": "http://localhost:8890"},
        }  # fmt: skip


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1}}  # fmt: skip
        left, top = 0, top + 1
        for panel in row.panels:
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left += panel.width
        assert left <= _COLUMNS, row.title
        top += max(panel.height for panel in row.panels)


def _panel(panel: Panel) -> dict[str, Any]:
    plain = {"type": panel.kind, "title": panel.title, "description": panel.text}
    if panel.kind == "text":
        return {**plain, "options": {"mode": "markdown", "content": panel.content}}
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.thresholds:
        warning, bad = panel.thresholds
        steps = [
            {"color": "green", "value": None},
            {"color": "yellow", "value": warning},
            {"color": "red", "value": bad},
        ]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.stacked:
        defaults["custom"] = {"stacking": {"mode": "normal"}, "fillOpacity": 20}
    return {
        **plain,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _stat_options(panel) if panel.kind == "stat" else {"legend": {"displayMode": "list"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _stat_options(panel: Panel) -> dict[str, Any]:
    named = panel.queries[0][1].startswith("{{")
    return {"textMode": "name" if named else "value", "reduceOptions": {"calcs": ["lastNotNull"]}}


def texts() -> dict[str, str]:
    """Return the files by their names."""
    return {f"{each.uid}.json": json.dumps(document(each), indent=2) + "\n" for each in DASHBOARDS}


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

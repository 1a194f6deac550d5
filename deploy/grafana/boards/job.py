"""The dashboard of one job, which is chosen at its head as `$job`."""

from __future__ import annotations

from typing import Final

from boards.panels import RATE, Dashboard, Panel, Row, graph, stat

_JOB: Final = 'batch_job="$job"'


def _quantiles(phase: str) -> list[tuple[str, str]]:
    buckets = f"sum by (le) (rate(gristmill_job_{phase}_seconds_bucket{{{_JOB}}}{RATE}))"
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
    return f"sum by ({by}) (rate({_own(name)}{RATE}))" if by else f"sum(rate({_own(name)}{RATE}))"


JOB: Final = Dashboard(
    uid="gristmill-job",
    title="Gristmill / Job progress",
    text="One job: how far it is, how fast it goes, what holds it up.",
    of_a_job=True,
    rows=(
        Row(
            title="Now",
            panels=(
                stat("State", f"{_own('status')} == 1", legend="{{status}}"),
                stat(
                    "Done",
                    f'sum(gristmill_job_items{{{_JOB},state!="pending"}}) / sum({_own("items")})',
                    "percentunit",
                ),
                stat("Time left", f"max({_own('eta_seconds')})", "s"),
                stat("Rows a second", _per_second("rows_total"), "rowsps"),
                stat("Failed items", f"sum({_own('items', state='failed')})", thresholds=(1, 100)),
                stat("Since the last commit", f"max({_own('since_commit_seconds')})", "s", thresholds=(30, 120)),
            ),
        ),
        Row(
            title="Progress",
            panels=(
                graph(
                    "Pace",
                    (_per_second("rows_total"), "now"),
                    (
                        f"max({_own('rows_total')}) / (time() - max({_own('started_timestamp_seconds')}))",
                        "since the start",
                    ),
                    unit="rowsps",
                ),
                graph("Mini-batches by state", (f"sum by (state) ({_own('mini_batches')})", "{{state}}"), stacked=True),
                graph(
                    "Failures against the threshold",
                    (f"sum({_own('items', state='failed')})", "failed"),
                    (f"max({_own('error_threshold_items')})", "allowed"),
                    text="The job is stopped when more items have failed than error_threshold allows.",
                ),
            ),
        ),
        Row(
            title="Time",
            panels=(
                graph("run() of a mini-batch", *_quantiles("run"), unit="s"),
                graph(
                    "P95 of each phase",
                    *(_p95(phase) for phase in ("fetch", "queue", "run", "commit")),
                    _P95_INIT,
                    unit="s",
                    text="fetch: until items are here; queue: until a scorer has them; commit: a part; init: so far.",
                ),
                graph(
                    "Time between leases and results",
                    (f"topk(10, max by (node) ({_own('oldest_lease_seconds')}))", "{{node}}"),
                    (f"max({_own('lease_seconds')})", "limit without a sign of life"),
                    unit="s",
                    text="The oldest lease of each node. A straggler stands out; leases expire after the limit.",
                ),
            ),
        ),
        Row(
            title="Nodes",
            panels=(
                graph(
                    "Items a second by node",
                    (_per_second("node_items_total", "node"), "{{node}}"),
                    unit="ops",
                    stacked=True,
                ),
                graph(
                    "Instances and scorers",
                    (f"max({_own('wanted_instances')})", "instances wanted"),
                    (f"max({_own('alive_instances')})", "instances alive"),
                    (f"max({_own('scorers')})", "scorers"),
                    (f"max({_own('busy_scorers')})", "scorers busy"),
                ),
                graph("Held by node", (f"sum by (node) ({_own('held_mini_batches')})", "{{node}}")),
            ),
        ),
        Row(
            title="Trouble and end",
            panels=(
                graph("Retries by reason", (f"sum by (category) ({_own('retries_total')})", "{{category}}")),
                graph("Failed items by reason", (f"sum by (category) ({_own('failed_items_total')})", "{{category}}")),
                graph(
                    "Merged mini-batches",
                    (f"{_own('merged_mini_batches')} or 0 * {_own('aggregators')}", "merged"),
                    text="Of the aggregator, while it is at work.",
                    width=4,
                ),
                Panel(
                    title="Logs",
                    kind="text",
                    text="The links need a token that Grafana keeps: docs/how-to/monitoring.md. The commands do not.",
                    width=4,
                    content=(
                        "[List of files]($server/jobs/$job/files?output=default), "
                        "[items that failed]($server/jobs/$job/errors)\n\n"
                        "`gristmill job logs -n $job`\n\n`gristmill job stream -n $job`\n\n"
                        "`gristmill job download -n $job`"
                    ),
                ),
            ),
        ),
    ),
)

"""What is told when Prometheus asks."""

from __future__ import annotations

import math
import subprocess
import time
from dataclasses import replace
from typing import Any

import prometheus
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from gristmill_scheduler.metrics.families import METRICS, SERIES
from gristmill_scheduler.metrics.of_jobs import MOST_NODES

OPEN = "application/openmetrics-text;version=1.0.0"


def told(world: Any, **bounds: Any) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels, in the table's order, without the job's."""
    text, _ = world.exporter(**bounds).write(OPEN)
    return {
        (sample.name, *values(sample)): sample.value
        for family in open_metrics(text.decode())
        for sample in family.samples
    }


def values(sample: Any) -> list[str]:
    order = [label for label in (*SERIES[sample.name].labels, "le") if label != "batch_job"]
    return [sample.labels[label] for label in order if label in sample.labels]


def names(world: Any, **bounds: Any) -> set[str]:
    return {key[0] for key in told(world, **bounds)}


def test_every_metric_of_the_table_is_told_where_there_is_something_to_tell(world: Any) -> None:
    bare = {"ledger_append_only", "ledger_append_only_bytes", "ledger_append_only_delayed_syncs", "ledger_clients"}
    bare |= {"ledger_commands", "ledger_memory_limit_bytes", "ledger_memory_peak_bytes", "ledger_uptime_seconds"}
    silent = {name.removeprefix("gristmill_").removesuffix("_total") for name in SERIES.keys() - names(world)}
    assert silent == bare
    assert names(world) <= SERIES.keys()


def test_both_formats_are_what_their_own_parsers_read(world: Any) -> None:
    text, kind = world.exporter().write(OPEN)
    assert kind.startswith("application/openmetrics-text")
    order = list(METRICS)
    found = [order.index(family.name) for family in open_metrics(text.decode())]
    assert found == sorted(set(found))
    text, kind = world.exporter().write("")
    assert kind.startswith("text/plain")
    assert {sample.name for family in plain_text(text.decode()) for sample in family.samples} <= SERIES.keys()


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=new", "text/plain;version=.", ";;=,", "\x00"])
def test_who_asks_for_nonsense_gets_the_older_text(world: Any, accept: str) -> None:
    text, kind = world.exporter().write(accept)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert list(plain_text(text.decode()))


@pytest.mark.skipif(prometheus.find() is None, reason="promtool is not here: make prometheus")
def test_promtool_finds_nothing_to_complain_of(world: Any) -> None:
    text, _ = world.exporter().write("")
    checked = subprocess.run(
        [prometheus.get() / "promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_items_and_mini_batches_by_state_add_up_to_the_plan(world: Any) -> None:
    found = told(world)
    items = {key[1]: value for key, value in found.items() if key[0] == "gristmill_job_items"}
    assert items == {"succeeded": 9, "failed": 3, "pending": 28}
    batches = {key[1]: value for key, value in found.items() if key[0] == "gristmill_job_mini_batches"}
    assert batches == {"done": 6, "leased": 5, "returned": 2, "pending": 7}


def test_failures_and_retries_have_their_reasons(world: Any) -> None:
    found = told(world)
    assert found["gristmill_job_failed_items_total", "timeout"] == 2
    assert found["gristmill_job_failed_items_total", "unknown"] == 1
    assert found["gristmill_job_retries_total", "exception"] == 4


def test_a_histogram_has_all_bounds_and_those_of_other_versions(world: Any) -> None:
    found = told(world)
    buckets = {key[1]: value for key, value in found.items() if key[0] == "gristmill_job_run_seconds_bucket"}
    assert (buckets["0.005"], buckets["0.01"], buckets["0.5"], buckets["7.0"], buckets["+Inf"]) == (0, 3, 4, 6, 6)
    assert found["gristmill_job_run_seconds_count",] == 6
    assert math.isclose(found["gristmill_job_run_seconds_sum",], 15.53)
    assert found["gristmill_job_fetch_seconds_count",] == 0


def test_what_a_node_holds_is_summed_and_the_oldest_counts(world: Any) -> None:
    found = told(world)
    assert found["gristmill_job_held_mini_batches", "n 1"] == 5
    assert found["gristmill_job_oldest_lease_seconds", "n 1"] == 5
    assert found["gristmill_job_oldest_lease_seconds", "unknown"] == 0
    assert found["gristmill_job_node_items_total", "n 1"] == 10
    assert found["gristmill_job_node_mini_batches_total", "unknown"] == 1


def test_of_many_nodes_those_that_did_the_most_are_named_and_all_count(world: Any) -> None:
    tallies = {f"node:{what}:pod-{n}": n for n in range(1, MOST_NODES + 6) for what in ("done", "items_done", "rows")}
    world.found["j"] = replace(world.found["j"], tallies=tallies)
    found = {key[1]: value for key, value in told(world).items() if key[0] == "gristmill_job_node_items_total"}
    assert len(found) == MOST_NODES + 1
    assert found["others"] == 1 + 2 + 3 + 4 + 5
    assert sum(found.values()) == sum(range(1, MOST_NODES + 6))


def test_scorers_and_waiters(world: Any) -> None:
    found = told(world)
    assert found["gristmill_job_alive_instances",] == 3
    assert (found["gristmill_job_scorers",], found["gristmill_job_busy_scorers",]) == (4, 3)
    assert found["gristmill_job_storage_faults_total",] == 3
    assert (found["gristmill_job_storage_waiters",], found["gristmill_job_merged_mini_batches",]) == (1, 4)


def test_any_number_of_failures_is_told_as_no_threshold(world: Any) -> None:
    world.found["j"] = replace(world.found["j"], threshold=-1)
    assert "gristmill_job_error_threshold_items" not in names(world)


def test_a_server_that_does_not_dispatch_tells_nothing_of_nodes_and_the_workspace(world: Any) -> None:
    world.dispatches = False
    shown = {metric.scope for name in names(world) for metric in [SERIES[name]]}
    assert shown == {"job", "server"}


def test_while_the_redis_server_is_away_it_says_so_and_what_it_knows_itself(world: Any) -> None:
    world.away = True
    found = told(world)
    assert found["gristmill_ledger_up",] == 0
    assert found["gristmill_job_status", "Running"] == 1
    assert found["gristmill_jobs", "Completed"] == 7
    assert found["gristmill_compute_wanted_instances", "gpu"] == 3
    assert "gristmill_job_items" not in {key[0] for key in found}


def test_a_job_that_the_ledger_does_not_know_is_told_without_counts(world: Any) -> None:
    world.found.clear()
    shown = names(world)
    assert "gristmill_job_info" in shown
    assert "gristmill_job_items" not in shown


def test_jobs_beyond_the_bound_are_counted_and_have_no_series(world: Any) -> None:
    job = world.led[0]
    world.led = [job, replace(job, row=replace(job.row, name="k")), replace(job, row=replace(job.row, name="l"))]
    text = world.exporter(most_jobs=2).write("")[0].decode()
    assert 'batch_job="j"' in text
    assert 'batch_job="k"' in text
    assert 'batch_job="l"' not in text
    assert "gristmill_server_left_out_jobs 1.0" in text
    assert "gristmill_server_led_jobs 3.0" in text


def test_it_asks_for_jobs_that_ended_as_long_ago_as_it_is_told(world: Any) -> None:
    told(world, linger_seconds=33.0)
    assert world.lingers == [33.0]


def test_labels_are_written_whatever_stands_in_them(world: Any) -> None:
    world.said[0]["host"] = 'a"b\\c\nd'
    assert told(world)["gristmill_node_up", 'a"b\\c\nd', "gpu", "7"] == 1


def test_two_who_ask_at_once_cost_one_look(world: Any) -> None:
    exporter = world.exporter(shared_seconds=60)
    assert exporter.write("")[0] == exporter.write("")[0]
    assert world.scrapes == 1
    exporter.write(OPEN)
    assert world.scrapes == 2


def test_answers_that_nobody_shares_any_more_are_not_kept(world: Any) -> None:
    exporter = world.exporter(shared_seconds=0.0)
    for version in range(1, 5):
        exporter.write(f"application/openmetrics-text;version={version}.0.0")
    assert len(exporter._written) == 1


def test_an_answer_is_not_shared_for_ever(world: Any) -> None:
    exporter = world.exporter(shared_seconds=0.001)
    exporter.write("")
    time.sleep(0.002)
    exporter.write("")
    assert world.scrapes == 2


def test_the_table_keeps_to_the_conventions() -> None:
    for name, metric in METRICS.items():
        assert name.startswith("gristmill_")
        assert not name.endswith(("_total", "_info", "_count", "_sum", "_bucket")), name
        assert metric.help.endswith("."), name
        assert not {"job", "instance"} & set(metric.labels), "these are Prometheus' own"
        if metric.kind == "histogram":
            assert name.endswith("_seconds")
    assert len(METRICS) == len(SERIES) - 2 * sum(metric.kind == "histogram" for metric in METRICS.values())

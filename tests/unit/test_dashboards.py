"""Dashboards and alerts name only what is told; `make dashboards-test` asks a real Prometheus for all of it."""

from __future__ import annotations

import dataclasses
import subprocess
from types import SimpleNamespace

import boards
import prometheus
import pytest
import yaml

import panels
from gristmill_scheduler.metrics.families import SERIES

DEPLOY = panels.ROOT / "deploy"
VARIABLES = {"job": "j", "__rate_interval": "5s"}

#: Prometheus' own.
KNOWN = {**SERIES, "up": SimpleNamespace(labels=())}

needs_promtool = pytest.mark.skipif(prometheus.find() is None, reason="promtool is not here: make prometheus")


def rules() -> list[dict[str, str]]:
    document = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_the_dashboards_are_what_the_generator_makes() -> None:
    committed = {path.name: path.read_text() for path in panels.FOLDER.glob("*.json")}
    assert committed == boards.texts(), "python deploy/grafana/build.py writes them"


def test_every_query_names_series_and_labels_that_are_told() -> None:
    every = panels.every_query()
    assert len(every) > 50
    assert {query.panel: found for query in every if (found := panels.unknown(query.resolved(VARIABLES), KNOWN))} == {}


def test_every_alert_names_series_and_labels_that_are_told() -> None:
    assert {rule["alert"]: found for rule in rules() if (found := panels.unknown(rule["expr"], KNOWN))} == {}


def test_a_mistyped_series_label_or_query_is_noticed() -> None:
    query = panels.every_query()[0]
    assert panels.unknown("rate(gristmill_job_row_total[5s])", KNOWN) == ["gristmill_job_row_total"]
    assert panels.unknown('gristmill_job_items{stat="done"}', KNOWN) == ["gristmill_job_items{stat}"]
    with pytest.raises(ValueError, match=r".+"):
        panels.unknown("rate(gristmill_job_rows_total[5s]", KNOWN)
    with pytest.raises(KeyError):
        dataclasses.replace(query, expression='x{a="$jab"}').resolved(VARIABLES)


def test_every_metric_of_a_job_is_shown_somewhere() -> None:
    """What nobody looks at need not be told; what has another use is listed here."""
    elsewhere = {"gristmill_job_submitted_timestamp_seconds", "gristmill_job_plan_complete"}
    elsewhere |= {"gristmill_job_output_bytes_total", "gristmill_job_node_rows_total"}
    elsewhere |= {"gristmill_job_node_mini_batches_total", "gristmill_job_info"}
    named = {each.name for query in panels.every_query() for each in panels.selectors(query.resolved(VARIABLES))}
    shown = {SERIES[name].name for name in named}
    told = {name for name, metric in SERIES.items() if metric.scope == "job" and metric.name not in shown}
    assert told == elsewhere


#: What somebody looks for on a dashboard, and the panel that has it.
SHOWN = {
    "Job progress": {
        "state": "State",
        "% done": "Done",
        "ETA": "Time left",
        "rows/s": "Rows a second",
        "failures against the threshold": "Failures against the threshold",
        "mini-batch time quantiles": "run() of a mini-batch",
        "split by phase": "P95 of each phase",
        "throughput by node": "Items a second by node",
        "stragglers": "Time between leases and results",
        "log link": "Logs",
    },
    "Cluster": {
        "nodes": "Nodes",
        "slots": "Places",
        "queue of instances": "Instances by compute",
        "jobs by state": "Jobs by status",
        "saturation": "Places in use",
    },
    "Reliability": {
        "retries": "Retries by reason",
        "expiries": "Instances that fell silent",
        "fenced commits": "Commits that came too late",
        "store errors": "Storage that fails",
        "reconciler": "Longest without a look",
    },
}


@pytest.mark.parametrize("title", SHOWN)
def test_what_is_looked_for_has_a_panel_with_something_in_it(title: str) -> None:
    document = panels.dashboards()[f"Gristmill / {title}"]
    filled = {panel["title"] for panel in document["panels"] if panel.get("targets") or panel["type"] == "text"}
    assert set(SHOWN[title].values()) - filled == set()


def test_panels_stand_beside_each_other_and_have_names_of_their_own() -> None:
    for document in panels.dashboards().values():
        assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
        titles = [panel["title"] for panel in document["panels"]]
        assert len(set(titles)) == len(titles)
        places = [panel["gridPos"] for panel in document["panels"]]
        cells = [
            (x, y)
            for at in places
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]
        assert len(set(cells)) == len(cells)
        assert max(x for x, _ in cells) < 24


def test_what_is_provisioned_fits_together() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    provider = yaml.safe_load((provisioning / "dashboards" / "gristmill.yml").read_text())
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    interval = source["datasources"][0]["jsonData"]["timeInterval"]
    assert interval == scraped["global"]["scrape_interval"]
    assert provider["providers"][0]["options"]["path"].endswith("/dashboards")
    assert [config["job_name"] for config in scraped["scrape_configs"]] == ["gristmill"]


def test_links_to_a_jobs_files_lead_through_the_source_that_keeps_a_token_and_to_routes_that_there_are() -> None:
    source = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "datasources" / "files.yml").read_text())
    (files,) = source["datasources"]
    document = panels.dashboards()["Gristmill / Job progress"]
    (server,) = [each for each in document["templating"]["list"] if each["name"] == "server"]
    served = (panels.ROOT / "docs" / "reference" / "http.md").read_text()

    assert server["current"]["value"] == f"/api/datasources/proxy/uid/{files['uid']}"
    assert files["type"] != "prometheus", "it could be chosen for the dashboards"
    assert files["secureJsonData"]["httpHeaderValue1"] == "Bearer ${GRAFANA_READER_TOKEN}"
    services = yaml.safe_load((panels.ROOT / "compose.yaml").read_text())["services"]
    host, port = files["url"].removeprefix("http://").split(":")
    assert f"--port={port}" in services[host]["command"]
    assert services["grafana"]["environment"]["GRAFANA_READER_TOKEN"] == "${GRAFANA_READER_TOKEN:-}"
    assert "\n# GRAFANA_READER_TOKEN=\n" in (DEPLOY / ".env.example").read_text()
    links = panels.links(document)
    assert len(links) == 2
    for link in links:
        path = link.partition("?")[0].removeprefix("$server").replace("$job", "{job}")
        assert f"`GET {path}`" in served


@needs_promtool
def test_prometheus_takes_its_files_and_the_alerts_do_what_their_tests_say() -> None:
    folder, promtool = DEPLOY / "prometheus", prometheus.get() / "promtool"
    for command in (
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run([promtool, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    tested = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text())
    fires = {it["alertname"] for test in tested["tests"] for it in test["alert_rule_test"] if it["exp_alerts"]}
    assert fires == {rule["alert"] for rule in rules()}

"""A real Prometheus scrapes a real job, and every query of every panel has an answer. `make dashboards-test`.

The job has what panels show: retries, an item that fails for good, two nodes. A node with a GPU is one that says so of
itself in the ledger, since no machine that runs tests need have one.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import prometheus
import pytest

import panel_job
import panels
from gristmill_storage.ledger import Ledger
from object_stores import ObjectStore, object_store, open_driver
from serving import Serving

pytestmark = pytest.mark.skipif(prometheus.find() is None, reason="Prometheus is not here: make prometheus")

FILES = 160

#: Seconds between two scrapes, and what stands for `$__rate_interval`.
SCRAPE = 0.5
RATE = "4s"


class Own(panels.Prometheus):
    """A Prometheus that scrapes one server."""

    def __init__(self, serving: Serving, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        super().__init__(f"http://127.0.0.1:{port}")
        config = {
            "global": {"scrape_interval": f"{SCRAPE * 1000:.0f}ms", "scrape_timeout": f"{SCRAPE * 1000:.0f}ms"},
            "scrape_configs": [
                {
                    "job_name": "gristmill",
                    "authorization": {"credentials_file": str(serving.token_file)},
                    "static_configs": [{"targets": [serving.url.partition("//")[2]]}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        program = prometheus.find()
        assert program is not None
        self.log = (folder / "prometheus.log").open("w")
        self.process = subprocess.Popen(
            [
                program / "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=self.log,
            stdin=subprocess.DEVNULL,
        )

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def until(self, expression: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.ask("query", query=expression)["result"]:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"waited in vain for {expression}"
            time.sleep(0.2)


@dataclasses.dataclass(frozen=True)
class Watched:
    """A job that ended, and what was seen of it."""

    prometheus: Own
    job: str
    began: float
    ended: float
    #: What the server told last, in the older of the two formats.
    told: str
    #: What the server answers where the dashboards' links lead, as Grafana asks for it.
    linked: dict[str, int]

    def answer(self, query: panels.Query) -> panels.Answer:
        variables = {"job": self.job, "__rate_interval": RATE}
        return self.prometheus.answer(query, variables, start=self.began, end=self.ended, step=SCRAPE)


@pytest.fixture(scope="module")
def watched(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    url, folder = redis_server.replace("db=0", "db=6"), tmp_path_factory.mktemp("watched")
    with (
        object_store("s3", folder) as store,
        Serving(
            url, folder, nodes=2, slots=1, arguments=["--allow-root", folder], environment=store.environment
        ) as serving,
    ):
        watcher = Own(serving, folder)
        try:
            watcher.until('up{job="gristmill"} == 1')
            _say_there_is_a_gpu(url)
            began = time.time()
            name = _invoke(serving, store)
            job = serving.until(f"/jobs/{name}", lambda job: job["ended"], 90)
            assert job["status"] == "Completed", job
            watcher.until(f'count_over_time(gristmill_job_status{{batch_job="{name}",status="Completed"}}[9m]) > 2')
            told = serving.request("GET", "/metrics").text
            yield Watched(watcher, name, began, time.time(), told, _follow_links(serving, name))
        finally:
            watcher.close()


def _invoke(serving: Serving, store: ObjectStore) -> str:
    deployment, texts = panel_job.prepare(serving.folder, files=FILES, seconds=0.15)
    # What lies on the nodes' own disk is not fetched.
    with open_driver(store) as driver:
        driver.put(str(texts), f"{store.url}/in", recursive=True)
    body = {"input": {"type": "uri_folder", "path": f"{store.url}/in"}}
    for method, path, document in (
        ("PUT", "/batchEndpoints/panels", {"name": "panels"}),
        ("PUT", "/batchEndpoints/panels/deployments/blue?set_default=true", deployment),
        ("POST", "/batchEndpoints/panels/jobs", body),
    ):
        answer = serving.request(method, path, json=document)
        assert answer.is_success, answer.text
    return str(answer.json()["name"])


def _follow_links(serving: Serving, job: str) -> dict[str, int]:
    found = [link for document in panels.dashboards().values() for link in panels.links(document)]
    paths = [link.replace("$server", "").replace("$job", job) for link in found]
    return {path: serving.request("GET", path).status_code for path in paths}


def _say_there_is_a_gpu(url: str) -> None:
    ledger = Ledger(url)
    machine = {"cpus": 8, "gpus": [{"utilization": 0.5, "memory": 100, "memory_used": 40}]}
    info = {"compute": "gpu", "host": "box", "pid": 1, "slots": 1, "running": [None], "machine": machine}
    ledger.see_node("box@gpu/1", info, 600)
    ledger.disconnect()


def empty(watched: Watched, document: Mapping[str, Any]) -> list[str]:
    """Return the queries of a dashboard that nothing answers, and print what the others have."""
    found = []
    for query in panels.queries(document):
        answer = watched.answer(query)
        sys.stdout.write(f"{answer}\n")
        if not answer.numbers:
            found.append(f"{query.panel}: {query.legend}")
    return found


@pytest.mark.parametrize("title", panels.dashboards())
def test_every_query_of_every_panel_has_an_answer(watched: Watched, title: str) -> None:
    assert empty(watched, panels.dashboards()[title]) == []


def test_every_link_of_a_dashboard_leads_somewhere(watched: Watched) -> None:
    assert set(watched.linked.values()) == {200}


def test_promtool_finds_nothing_to_complain_of(watched: Watched) -> None:
    checked = subprocess.run(
        [prometheus.get() / "promtool", "check", "metrics"],
        input=watched.told,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_panel_whose_series_is_mistyped_is_found(watched: Watched) -> None:
    document = panels.dashboards()["Gristmill / Job progress"]
    panel = next(panel for panel in document["panels"] if panel.get("targets"))
    (target,) = panel["targets"]
    (series, *_) = [each.name for each in panels.selectors(target["expr"].replace("$", ""))]
    target["expr"] = target["expr"].replace(series, series.replace("gristmill_", "gristmil_"))
    assert empty(watched, document) == [f"{panel['title']}: {target['legendFormat']}"]


def test_no_query_has_an_answer_once_its_series_are_mistyped(watched: Watched) -> None:
    for query in panels.every_query():
        mistyped = dataclasses.replace(query, expression=query.expression.replace("gristmill_", "gristmil_"))
        assert watched.answer(mistyped).series == 0


def test_what_was_told_last_is_what_the_job_did(watched: Watched) -> None:
    """Two scorers of two nodes, retries and all: each mini-batch counts once, where it counts."""
    own = f'batch_job="{watched.job}"'

    def last(series: str) -> float:
        ((number,),) = watched.prometheus.range(f"sum({series})", start=watched.ended, end=watched.ended, step=SCRAPE)
        return number

    assert last(f"gristmill_job_rows_total{{{own}}}") == FILES - 2
    assert last(f"gristmill_job_node_mini_batches_total{{{own}}}") == FILES / 2
    assert last(f"gristmill_job_node_items_total{{{own}}}") == FILES
    assert last(f"gristmill_job_run_seconds_count{{{own}}}") == FILES / 2
    assert last(f"gristmill_job_failed_items_total{{{own}}}") == 2
    assert last(f'gristmill_job_retries_total{{{own},category="exception"}}') == 1

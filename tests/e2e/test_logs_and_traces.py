"""What real processes log of a job, and the trace that they make of it together."""

from __future__ import annotations

import json
import socket
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collecting import Collected, Collector
from serving import Serving

#: The caller's own span, whose child the job is.
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

SCRIPT = """
    import logging, os, sys

    def init():
        print("the user says hello")
        print("the user complains", file=sys.stderr)
        logging.getLogger().warning("the user warns")

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        if "00013.txt" in names:
            raise ValueError("the user's fault")
        return names
"""

FILES, SIZE = 40, 5
ALL = {"submit", "plan", "send", "instance", "prepare", "lease", "run", "commit", "aggregate"}


def whole(spans: list[Collected], *, aggregated: int = 1) -> bool:
    """Whether all kinds of spans of a job are there; those of one process arrive one after the other."""
    names = [span.name for span in spans]
    enough = {"gristmill.aggregate": aggregated, "gristmill.send": 2 * aggregated}
    return {f"gristmill.{name}" for name in ALL} <= set(names) and all(
        names.count(name) >= least for name, least in enough.items()
    )


class Watched:
    """A service with a node that log JSON lines and send traces, and one job that they did."""

    def __init__(self, serving: Serving, collector: Collector) -> None:
        self.serving = serving
        folder = serving.folder
        for name in ("in", "code", "model"):
            (folder / name).mkdir()
        for number in range(FILES):
            (folder / "in" / f"{number:05d}.txt").write_text(str(number))
        (folder / "code" / "score.py").write_text(textwrap.dedent(SCRIPT))
        deployment = {
            "type": "model",
            "model": {"path": str(folder / "model")},
            "code_configuration": {"code": str(folder / "code"), "scoring_script": "score.py"},
            "settings": {"mini_batch_size": SIZE, "retry_settings": {"max_retries": 2}},
        }
        self.ask("PUT", "/batchEndpoints/names", json={"name": "names"})
        self.ask("PUT", "/batchEndpoints/names/deployments/blue", json=deployment)
        header = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        body = {"input": {"path": str(folder / "in")}}
        self.job = self.ask("POST", "/batchEndpoints/names/jobs", json=body, headers=header)["name"]
        self.ended = serving.until(f"/jobs/{self.job}", lambda job: job["ended"])
        self.spans = collector.until(whole)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.serving.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def lines(self, process: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.serving.folder / f"{process}.log").read_text().splitlines()]

    def named(self, name: str) -> list[Collected]:
        return sorted((span for span in self.spans if span.name == f"gristmill.{name}"), key=lambda span: span.began)


@pytest.fixture(scope="module")
def watched(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    # On a database of its own: other tests of this process empty theirs.
    url, folder = redis_server.replace("db=0", "db=6"), tmp_path_factory.mktemp("watched")
    with Collector() as collector:
        asked = {"GRISTMILL_LOG_FORMAT": "json", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with Serving(url, folder, nodes=1, arguments=["--allow-root", folder], environment=asked) as serving:
            yield Watched(serving, collector)


def test_every_line_of_every_process_is_json_and_says_when_and_who(watched: Watched) -> None:
    for process in ("service", "node0"):
        lines = watched.lines(process)
        assert lines
        for line in lines:
            assert {"time", "level", "service", "logger", "message", "host", "pid", "thread"} <= set(line)
    assert {line["service"] for line in watched.lines("node0")} == {"node"}


def test_so_are_the_last_lines_of_a_node_that_leaves(watched: Watched) -> None:
    node = watched.serving.node("node1", compute="another")
    log = watched.serving.folder / "node1.log"
    deadline = time.monotonic() + 60
    while "takes work" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    node.terminate()

    assert node.wait(60) == 0
    assert all(line["host"] == "node1" for line in watched.lines("node1"))


def test_a_line_about_a_job_bears_its_ids(watched: Watched) -> None:
    every = [*watched.lines("service"), *watched.lines("node0")]
    failed = [line for line in every if line["message"].startswith("mini-batch ")]

    assert [line for line in every if watched.job in line["message"] and line.get("job") != watched.job] == []
    assert [(line["mini_batch"], line["attempt"]) for line in failed] == [(13 // SIZE, 1), (13 // SIZE, 2)]
    assert {(line["job"], line["logger"]) for line in failed} == {(watched.job, "gristmill.node")}
    assert all(line["instance"].startswith("node0-0-") for line in failed)
    # Its span is found by it.
    (instance,) = watched.named("instance")
    assert {(line["trace_id"], line["span_id"]) for line in failed} == {(TRACE, instance.id)}


def test_what_the_users_code_says_is_in_the_jobs_logs_alone(watched: Watched) -> None:
    folder = Path(watched.ended["folder"])
    out, err = (folder / f"logs/user/{name}/node0/process000.{name}.txt" for name in ("stdout", "stderr"))

    assert out.read_text() == "the user says hello\n"
    assert "the user complains" in err.read_text()
    assert "the user warns" in err.read_text()
    for process in ("service", "node0"):
        text = (watched.serving.folder / f"{process}.log").read_text()
        assert "the user says" not in text
        assert "the user complains" not in text
        assert "the user warns" not in text


def test_one_trace_goes_from_the_caller_through_every_process(watched: Watched) -> None:
    (submit,) = watched.named("submit")
    (instance,), (aggregate,) = watched.named("instance"), watched.named("aggregate")
    first, second = watched.named("send")

    assert {span.trace for span in watched.spans} == {TRACE}
    assert submit.parent == CALLER
    assert {span.parent for span in (*watched.named("plan"), first, second)} == {submit.id}
    assert (instance.parent, aggregate.parent) == (first.id, second.id)
    assert {span.parent for name in ("prepare", "lease", "commit") for span in watched.named(name)} == {instance.id}
    assert {span.parent for span in watched.named("run")} == {span.id for span in watched.named("lease")}
    assert {span.resource["service.name"] for span in watched.spans} == {"gristmill-service", "gristmill-node"}
    assert aggregate.resource["host.name"] == "node0"
    assert all(span.attributes["gristmill.job"] == watched.job for span in watched.spans)
    assert {span.kind for span in watched.named("send")} == {4}  # a producer, as the standard numbers them
    assert (instance.kind, submit.kind) == (5, 2)
    assert instance.attributes["messaging.destination.name"] == "gristmill.local"


def test_each_mini_batch_is_in_the_span_of_its_lease_and_what_failed_is_an_event_there(watched: Watched) -> None:
    runs, commits = watched.named("run"), watched.named("commit")
    events = [event for span in runs for event in span.events]

    assert sum(span.attributes["gristmill.mini_batch.count"] for span in commits) == FILES // SIZE
    leased = sum(span.attributes["gristmill.mini_batch.count"] for span in runs)
    returned = sum(span.attributes["gristmill.mini_batch.returned"] for span in runs)
    assert leased - returned == FILES // SIZE
    assert sum(span.attributes["gristmill.items"] for span in runs) == FILES
    assert sum(span.attributes["gristmill.items.failed"] for span in runs) == SIZE
    assert [event["gristmill.mini_batch"] for event in events] == [13 // SIZE] * 2
    assert [event["gristmill.attempt"] for event in events] == [1, 2]
    assert all("the user's fault" in event["exception.message"] for event in events)
    assert frozenset[str]().union(*(span.links for span in commits)) <= {span.id for span in runs}
    assert all(span.links for span in commits)


def test_the_processes_of_one_machine_send_their_last_spans_before_they_end(
    project: Any, succeed: Callable[..., Any]
) -> None:
    project.files(20)
    project.script()
    project.deployment(mini_batch_size=2)
    asked = {"OTEL_SERVICE_NAME": "mine", "GRISTMILL_LOG_FORMAT": "json"}
    with Collector() as collector:
        ran = succeed(env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **asked})

    for name in ("scheduler", "node"):
        lines = [json.loads(line) for line in (ran.job / f"logs/sys/{name}.log").read_text().splitlines()]
        assert {line["job"] for line in lines if ran.job.name in line["message"]} <= {ran.job.name}
        assert {line["service"] for line in lines} == {name}
    assert whole(collector.spans), sorted(span.name for span in collector.spans)
    assert len({span.trace for span in collector.spans}) == 1
    assert [span.name for span in collector.spans if not span.parent] == ["gristmill.submit"]
    assert {span.resource["service.name"] for span in collector.spans} == {"mine"}


def test_nobody_waits_for_a_collector_that_does_not_answer(project: Any, succeed: Callable[..., Any]) -> None:
    project.files(20)
    project.script()
    project.deployment()
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        place = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        ran = succeed(env={"OTEL_EXPORTER_OTLP_ENDPOINT": place})

    assert len(ran.rows.splitlines()) == 20

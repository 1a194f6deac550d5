"""Scheduler and nodes as processes of their own, on a server that they share: what a cluster does, on one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import clusters
import pytest

from gristmill.deployment import load_deployment
from gristmill.spec import Input, Job, Output

SLOW = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        time.sleep(0.05)
        return [os.path.basename(path) for path in mini_batch]
"""


class Cluster(clusters.Cluster):
    """A scheduler, and nodes that come and go, each started by the command that a user types."""

    NODE = (str(Path(sys.executable).with_name("gristmill")), "node")


@pytest.fixture
def cluster(redis_url: str, tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        cluster = Cluster(redis_url, tmp_path, stack, lease_seconds=2)
        assert cluster.scheduler.poll() is None
        yield cluster


@pytest.fixture
def job(project) -> Job:
    project.files(300)
    project.script(SLOW)
    deployment = load_deployment(
        project.deployment(mini_batch_size=2, instance_count=2, retry_settings={"max_retries": 3}),
        overrides=["compute=azureml:shared"],
    )
    return Job(
        name="shared-job",
        deployment=deployment,
        input=Input(uri=str(project.input)),
        output=Output(folder=str(project.folder / "out")),
        submitted=time.time(),
    )


def rows(job: Job) -> list[str]:
    return (Path(job.output.folder) / "predictions.csv").read_text().splitlines()


EXPECTED = [f"{n:05d}.txt" for n in range(300)]


def test_two_nodes_share_a_job(cluster, job, project) -> None:
    cluster.node("one")
    cluster.node("two")
    cluster.submit(job)

    finished = cluster.finished()

    assert finished["status"] == "Completed", finished
    assert rows(job) == EXPECTED
    summary = json.loads(Path(finished["summary"]).read_text())
    assert {instance["node"] for instance in summary["instances"]} == {"one", "two"}
    assert "node one takes work" in (project.folder / "one.log").read_text()


def test_a_job_waits_for_the_first_node_and_starts_with_it(cluster, job) -> None:
    cluster.submit(job)
    waiting = cluster.until(lambda event: event["event"] == "status")
    assert (waiting["status"], waiting["detail"]) == ("Queued", "waiting for an instance")

    cluster.node("late", slots=2)

    assert cluster.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_a_node_that_is_killed_is_replaced_and_its_work_goes_to_others(cluster, job) -> None:
    nodes = [cluster.node("one"), cluster.node("two")]
    cluster.submit(job)
    cluster.until(lambda event: event["event"] == "progress" and event["mini_batches"]["done"] > 10)

    nodes[0].kill()

    assert cluster.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_a_node_that_is_told_to_leave_hands_its_work_on(cluster, job) -> None:
    nodes = [cluster.node("one"), cluster.node("two")]
    cluster.submit(job)
    cluster.until(lambda event: event["event"] == "progress" and event["mini_batches"]["done"] > 10)

    nodes[0].send_signal(signal.SIGTERM)
    assert nodes[0].wait(20) == 0

    assert cluster.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_a_message_that_is_lost_is_sent_again(cluster, job, redis_url) -> None:
    import redis

    cluster.submit(job)
    # The first look comes before the first message.
    cluster.until(lambda event: event["event"] == "progress")
    cluster.until(lambda event: event["event"] == "progress")
    client = redis.Redis.from_url(redis_url, protocol=2)
    try:
        queues = [key for key in client.scan_iter("*gristmill.shared") if client.type(key) == b"list"]
        assert queues, "nothing was sent"
        client.delete(*queues)
    finally:
        client.close()
    cluster.node("one", slots=2)

    assert cluster.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_the_server_losing_its_memory_costs_no_result(cluster, job, redis_url) -> None:
    import redis

    cluster.node("one", slots=2)
    cluster.submit(job)
    cluster.until(lambda event: event["event"] == "progress" and event["mini_batches"]["done"] > 10)
    client = redis.Redis.from_url(redis_url, protocol=2)
    try:
        client.flushall()
    finally:
        client.close()

    assert cluster.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_nonsense_on_the_queue_stops_no_node(cluster, job, redis_url) -> None:
    from gristmill_storage.queue import Queue

    cluster.node("one", slots=2)
    queue = Queue(redis_url)
    for document in ({}, {"version": 99, "job": "x", "folder": "/y"}, {"version": 1, "job": "x", "folder": "/nowhere"}):
        queue._application.send_task("gristmill.run_instance", kwargs=document, queue="gristmill.shared")
    queue.close()
    cluster.submit(job)

    assert cluster.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_one_machine_can_use_a_server_of_the_users_and_leaves_nothing_on_it(project, succeed, redis_url) -> None:
    import redis

    project.files(20)
    project.script()
    project.deployment(mini_batch_size=3)

    ran = succeed(env={"GRISTMILL_REDIS_URL": redis_url})

    assert ran.rows.count(b"\n") == 20
    assert not (ran.job / "redis").exists()
    client = redis.Redis.from_url(redis_url, protocol=2, decode_responses=True)
    try:
        lasting = [key for key in client.scan_iter("*") if client.ttl(key) == -1]
    finally:
        client.close()
    assert [key for key in lasting if "local-" in key] == []


def test_a_run_says_at_once_that_its_server_is_away_and_goes_on_when_it_comes(project, redis_url, tmp_path) -> None:
    project.files(20)
    project.script()
    project.deployment(mini_batch_size=3)
    server, place = Path(urlsplit(redis_url).path), tmp_path / "s"
    command = project.command("run", "deployment.yml", "--input", project.input, "--output", tmp_path / "out")
    environment = {**os.environ, "GRISTMILL_REDIS_URL": f"unix://{place}"}
    with subprocess.Popen(command, cwd=project.folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            first = process.stderr.readline()
            place.symlink_to(server)
            rest = process.stderr.read()
        finally:
            process.kill()

    assert f"NotStarted: waiting for the Redis server at unix://{place}: " in first
    assert "correct GRISTMILL_REDIS_URL" in first
    assert rest.count("NotStarted") == 0
    assert (tmp_path / "out" / "predictions.csv").read_bytes().count(b"\n") == 20, rest


SLOW_ON_ONE_NODE = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        for name in names:
            open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], name + ".out"), "w").write(name)
        time.sleep(float(os.environ["SECONDS_A_RUN"]))
        return names
"""


def test_a_quick_node_overtakes_one_that_is_slow(cluster, job, project) -> None:
    project.script(SLOW_ON_ONE_NODE)
    deployment = load_deployment(
        project.deployment(mini_batch_size=2, instance_count=2, speculate=True), overrides=["compute=azureml:shared"]
    )
    cluster.node("slow", SECONDS_A_RUN="600")
    cluster.submit(replace(job, deployment=deployment))
    cluster.until(lambda event: event["event"] == "progress" and event["mini_batches"]["running"] > 0)

    cluster.node("quick", SECONDS_A_RUN="0.01")
    finished = cluster.finished()

    assert finished["status"] == "Completed", finished
    assert rows(job) == EXPECTED
    files = {path.name: path.read_text() for path in Path(job.output.folder).glob("*.out")}
    assert files == {f"{name}.out": name for name in EXPECTED}
    summary = json.loads(Path(finished["summary"]).read_text())
    assert (summary["items"]["total"], summary["items"]["failed"]) == (300, 0)
    assert (summary["attempts"]["retried"], summary["attempts"]["lost"]) == ({}, 0)

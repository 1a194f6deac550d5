"""Schedulers that die, leave, or fall asleep, and others that go on with their jobs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import clusters
import pytest
from clusters import wait_until

from gristmill.deployment import load_deployment
from gristmill.spec import Input, Job, Output, to_json

SLOW = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        while names[0] >= "00020.txt" and os.path.exists(os.environ["HOLD"]):
            time.sleep(0.02)
        time.sleep(0.05)
        return names
"""

FILES = 60
EXPECTED = [f"{n:05d}.txt" for n in range(FILES)]

#: What takes long, and says little more than the rest.
LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

#: A lead lasts 3 s with leases this short; somebody looks every second for what nobody leads.
LEASE_SECONDS = 2
NOTICED_SECONDS = 3 + 3


class Scheduler:
    """A scheduler's process whose events go to a file."""

    def __init__(self, process: subprocess.Popen[str], events: Path) -> None:
        self.process = process
        self._events = events
        began = time.monotonic()
        wait_until(lambda: self.events("ready"))
        #: What is added to a promise in seconds: a machine on which a process takes long to start is busy.
        self.slack = 3 * (time.monotonic() - began)

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = self._events.read_text().split("\n")[:-1]
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def tell(self, **command: Any) -> None:
        clusters.tell(self.process, **command)

    def done(self) -> int:
        return max((event["mini_batches"]["done"] for event in self.events("progress")), default=0)

    def finished(self) -> dict[str, Any]:
        wait_until(lambda: self.events("finished"))
        return self.events("finished")[0]


class Cluster(clusters.Cluster):
    """Schedulers and nodes on one server."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        super().__init__(url, folder, stack, lease_seconds=LEASE_SECONDS, HOLD=str(folder / "hold"))
        (folder / "hold").touch()
        self._count = 0

    def go_on(self) -> None:
        """Let the job come to its end; before that it does not."""
        (self.folder / "hold").unlink()

    def lead(self, *, stdin: int = subprocess.PIPE, take_over: bool = True) -> Scheduler:
        """Start one more scheduler."""
        self._count += 1
        events = self.folder / f"events{self._count}.jsonl"
        command = [sys.executable, "-m", "gristmill_scheduler", *(["--take-over"] if take_over else [])]
        with events.open("wb") as out:
            process = self.start(f"scheduler{self._count}", *command, stdin=stdin, stdout=out)
        return Scheduler(process, events)


@pytest.fixture
def cluster(redis_url: str, tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(redis_url, tmp_path, stack)


@pytest.fixture
def job(project) -> Job:
    project.files(FILES)
    project.script(SLOW)
    deployment = load_deployment(
        project.deployment(mini_batch_size=2, retry_settings={"max_retries": 3}),
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


def summary(job: Job) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(job.output.folder) / "summary.json").read_text())
    return document


@pytest.fixture
def led(cluster: Cluster, job: Job) -> Scheduler:
    """A scheduler that leads a job in the middle of its scoring."""
    cluster.node(slots=2)
    scheduler = cluster.lead()
    scheduler.tell(command="submit", job=to_json(job))
    wait_until(lambda: scheduler.done() > 5)
    return scheduler


def test_a_killed_schedulers_job_is_led_by_another_soon(cluster: Cluster, led: Scheduler, job: Job) -> None:
    other = cluster.lead()
    time.sleep(1.5)  # as long as a scheduler looks twice at a job that is led
    assert other.events("submitted") == []

    led.process.kill()
    killed = time.monotonic()
    wait_until(lambda: other.events("progress"))

    assert time.monotonic() - killed < NOTICED_SECONDS + other.slack
    cluster.go_on()
    assert other.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED
    found = summary(job)
    assert found["items"] == {"total": FILES, "succeeded": FILES, "failed": 0}
    assert len(found["instances"]) == 1
    # What the first one saw is not forgotten: the scoring began before the second came.
    assert found["seconds"]["score"] > 0.05 * FILES / 2 * 0.8
    assert found["seconds"]["queue"] < found["seconds"]["total"]


@LONG
def test_a_scheduler_that_was_killed_and_started_again_goes_on(cluster: Cluster, led: Scheduler, job: Job) -> None:
    led.process.kill()
    led.process.wait()
    cluster.go_on()

    again = cluster.lead()

    assert again.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_a_scheduler_that_is_told_to_leave_hands_its_jobs_over(cluster: Cluster, led: Scheduler, job: Job) -> None:
    other = cluster.lead(stdin=subprocess.DEVNULL)

    led.process.send_signal(signal.SIGTERM)
    assert led.process.wait(5) == 0
    left = time.monotonic()
    wait_until(lambda: other.events("progress"))

    assert time.monotonic() - left < 2.5 + other.slack
    cluster.go_on()
    assert [event["job"] for event in led.events("handed_over")] == [job.name]
    assert led.events("finished") == []
    assert other.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED
    other.process.send_signal(signal.SIGTERM)
    assert other.process.wait(5) == 0


@LONG
def test_the_end_of_stdin_hands_jobs_over_as_well(cluster: Cluster, led: Scheduler, job: Job) -> None:
    assert led.process.stdin is not None
    led.process.stdin.close()
    assert led.process.wait(5) == 0
    cluster.go_on()

    assert cluster.lead().finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_without_take_over_the_end_of_stdin_cancels(cluster: Cluster, job: Job) -> None:
    cluster.node(slots=2)
    scheduler = cluster.lead(take_over=False)
    scheduler.tell(command="submit", job=to_json(job))
    wait_until(lambda: scheduler.done() > 5)

    assert scheduler.process.stdin is not None
    scheduler.process.stdin.close()

    assert scheduler.finished()["status"] == "Canceled"


def test_a_scheduler_that_slept_through_its_lead_does_no_harm(cluster: Cluster, led: Scheduler, job: Job) -> None:
    other = cluster.lead()
    led.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: other.events("progress"))
    finally:
        led.process.send_signal(signal.SIGCONT)

    wait_until(lambda: led.events("taken_over"), 10)
    cluster.go_on()
    assert other.finished()["status"] == "Completed"
    assert led.events("finished") == []
    assert rows(job) == EXPECTED


def test_a_job_is_led_again_after_the_server_forgot_everything(
    cluster: Cluster, led: Scheduler, job: Job, redis_url: str
) -> None:
    import redis

    other = cluster.lead()
    client = redis.Redis.from_url(redis_url, protocol=2)
    try:
        client.flushall()
        wait_until(lambda: client.hexists("gristmill:jobs", job.name))
    finally:
        client.close()
    # A node may have announced the job before its scheduler led it again: then the other one leads it already.
    led.process.kill()
    cluster.go_on()

    assert other.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_a_job_that_scheduler_and_server_forgot_together_is_led_again(
    cluster: Cluster, led: Scheduler, job: Job, redis_url: str
) -> None:
    import redis

    led.process.kill()
    led.process.wait()
    client = redis.Redis.from_url(redis_url, protocol=2)
    client.flushall()
    client.close()

    other = cluster.lead()
    wait_until(lambda: other.events("submitted"))
    cluster.go_on()

    assert other.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_a_wish_is_done_by_whoever_leads(cluster: Cluster, led: Scheduler, job: Job) -> None:
    led.process.kill()
    led.process.wait()
    wishes = Path(job.output.folder, ".gristmill", job.name, "wishes")
    wishes.mkdir()
    (wishes / "cancel.json").write_text('{"keep_partial": false}')

    finished = cluster.lead().finished()

    assert finished["status"] == "Canceled"
    assert not Path(job.output.folder, "predictions.csv").exists()


@LONG
def test_a_job_can_be_taken_by_name_where_its_server_is_the_same(cluster: Cluster, led: Scheduler, job: Job) -> None:
    led.process.kill()
    led.process.wait()
    other = cluster.lead(take_over=False)

    other.tell(command="take", folder=f"{job.output.folder}/.gristmill/{job.name}", compute="shared")
    cluster.go_on()

    assert other.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED


def test_a_job_that_another_leads_is_not_resumed(cluster: Cluster, led: Scheduler, job: Job) -> None:
    other = cluster.lead()

    other.tell(command="resume", folder=f"{job.output.folder}/.gristmill/{job.name}")
    wait_until(lambda: other.events("refused"), 20)
    cluster.go_on()

    assert "another scheduler leads it" in other.events("refused")[0]["error"]["message"]
    assert led.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED

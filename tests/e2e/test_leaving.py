"""A node that is told to leave: what it has not begun goes to others at once, what runs may end, within its grace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import clusters
import pytest

from gristmill.spec import Environment, Input, Job, Output, from_json, to_json

#: Long: whatever waits for a lease to expire fails its test.
LEASE_SECONDS = 300

SCRIPT = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        node = os.environ["TEST_NODE"]
        with open(os.path.join(os.environ["CALLS"], node), "a") as calls:
            calls.write(f"{names[0]}\\n")
        time.sleep(SECONDS if node == "one" else 0)
        return names
"""


class Cluster(clusters.Cluster):
    """A scheduler, and nodes that are told to leave."""

    def leaving(self, name: str, grace: float, **more: str) -> subprocess.Popen[str]:
        return self.node(name, TEST_NODE=name, GRISTMILL_GRACE_SECONDS=str(grace), **more)


@pytest.fixture
def cluster(redis_url: str, tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(redis_url, tmp_path, stack, lease_seconds=LEASE_SECONDS)


@pytest.fixture
def make_job(project, tmp_path: Path) -> Callable[..., Job]:
    def make(seconds: float, **settings: object) -> Job:
        from gristmill.deployment import load_deployment

        (tmp_path / "calls").mkdir()
        project.files(30)
        project.script(SCRIPT.replace("SECONDS", str(seconds)))
        path = project.deployment(
            mini_batch_size=3,
            retry_settings={"max_retries": 2, "timeout": 600},
            root=f'"environment_variables": {{"CALLS": {json.dumps(str(tmp_path / "calls"))}}}',
            **settings,
        )
        job = Job(
            name="leaving-job",
            deployment=load_deployment(path, overrides=["compute=azureml:shared"]),
            input=Input(uri=str(project.input)),
            output=Output(folder=str(project.folder / "out")),
            submitted=time.time(),
        )
        return from_json(Job, to_json(job))

    return make


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def rows(job: Job) -> list[str]:
    return (Path(job.output.folder) / "predictions.csv").read_text().splitlines()


EXPECTED = [f"{n:05d}.txt" for n in range(30)]


def test_what_runs_longer_than_the_grace_is_scored_by_another_at_once(cluster, make_job, tmp_path) -> None:
    job = make_job(600)
    node = cluster.leaving("one", grace=0.5)
    cluster.submit(job)
    wait_for(tmp_path / "calls" / "one")
    began = time.monotonic()

    node.send_signal(signal.SIGTERM)
    assert node.wait(30) == 0
    cluster.leaving("two", grace=0.5)
    finished = cluster.finished()

    assert finished["status"] == "Completed", finished
    assert time.monotonic() - began < 60
    assert rows(job) == EXPECTED
    assert json.loads(Path(str(finished["summary"])).read_text())["attempts"]["lost"] == 0


def test_what_runs_is_finished_within_the_grace_and_nothing_else_is_begun(cluster, make_job, tmp_path) -> None:
    job = make_job(3)
    node = cluster.leaving("one", grace=60)
    cluster.submit(job)
    wait_for(tmp_path / "calls" / "one")

    node.send_signal(signal.SIGTERM)
    cluster.leaving("two", grace=60)
    assert node.wait(30) == 0

    assert cluster.finished()["status"] == "Completed"
    assert rows(job) == EXPECTED
    first = (tmp_path / "calls" / "one").read_text().splitlines()
    others = (tmp_path / "calls" / "two").read_text().splitlines()
    assert len(first) == 1
    assert sorted(first + others) == EXPECTED[::3]


def test_a_mini_batch_that_is_being_isolated_goes_to_another_whole(cluster, make_job, project, tmp_path) -> None:
    job = make_job(0, isolate_failures=True)
    project.script(
        """
        import os, time

        def init():
            pass

        def run(mini_batch):
            names = [os.path.basename(path) for path in mini_batch]
            if "00004.txt" in names:
                if len(names) == 1 and os.environ["TEST_NODE"] == "one":
                    open(os.path.join(os.environ["CALLS"], "alone"), "w").close()
                    time.sleep(600)
                raise ValueError("bad")
            return names
        """
    )
    node = cluster.leaving("one", grace=30)
    cluster.submit(job)
    wait_for(tmp_path / "calls" / "alone")

    node.send_signal(signal.SIGTERM)
    assert node.wait(20) == 0
    cluster.leaving("two", grace=30)

    assert cluster.finished()["status"] == "Completed"
    assert rows(job) == [name for name in EXPECTED if name != "00004.txt"]


def stand_in(folder: Path, script: str) -> dict[str, str]:
    """What brings conda's packages: a script; returns the variables that lead to it."""
    folder.mkdir()
    program = folder / "micromamba"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "GRISTMILL_CACHE": str(folder.parent / "cache")}


def test_a_node_that_is_still_building_an_environment_ends_that_and_another_builds_it(
    cluster, make_job, tmp_path
) -> None:
    job = make_job(0)
    environment = Environment(conda={"channels": ["x"], "dependencies": ["python=3.11", "gmconda=1.1"]})
    began = tmp_path / "began"
    slow = stand_in(tmp_path / "slow", f"echo $$ > {began}.new; mv {began}.new {began}; sleep 600; exit 1")
    quick = stand_in(tmp_path / "quick", f'exec {sys.executable} -m venv --without-pip "$4"')
    node = cluster.leaving("one", 10, **slow)
    cluster.submit(replace(job, deployment=replace(job.deployment, environment=environment)))
    wait_for(began)
    told = time.monotonic()

    node.send_signal(signal.SIGTERM)
    assert node.wait(30) == 0

    assert time.monotonic() - told < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int(began.read_text()), 0)
    cluster.leaving("two", 10, **quick)
    finished = cluster.finished()
    assert finished["status"] == "Completed", finished
    assert rows(job) == EXPECTED

"""Nodes and scheduler on a server over TCP that dies, stops, forgets and comes back: no node stalls, no job is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import clusters
import pytest
from clusters import wait_until

from gristmill.deployment import load_deployment
from gristmill.spec import Input, Job, Output
from gristmill_storage import server

SLOW = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        time.sleep(0.05)
        return [os.path.basename(path) for path in mini_batch]
"""

ITEMS = 24
EXPECTED = [f"{n:05d}.txt" for n in range(ITEMS)]


class Server:
    """A server on a port of its own, with its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, empty: bool = False) -> None:
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder), "save": "", "logfile": "log"}
        options |= {"appendonly": "no" if empty else "yes", "maxmemory-policy": "noeviction"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([str(server.find_binary()), *words], cwd=self._folder)
        server.wait_until_ready(self.url, 20)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def tell(self, *words: str) -> Any:
        import redis

        client = redis.Redis.from_url(self.url, protocol=2, decode_responses=True)
        try:
            return client.execute_command(*words)
        finally:
            client.close()


class Cluster(clusters.Cluster):
    """A scheduler that is started by the first job, and one node."""

    def __init__(self, project: Any, url: str, stack: ExitStack) -> None:
        super().__init__(url, project.folder, stack, lease_seconds=2)
        self._project = project
        self._jobs = 0

    def begin(self) -> str:
        """Submit a job; return its name."""
        self._jobs += 1
        path = self._project.deployment(mini_batch_size=2, retry_settings={"max_retries": 5})
        job = Job(
            name=f"job-{self._jobs}",
            deployment=load_deployment(path, overrides=["compute=azureml:shared"]),
            input=Input(uri=str(self._project.input)),
            output=Output(folder=str(self._project.folder / f"out-{self._jobs}")),
            submitted=time.time(),
        )
        self.submit(job)
        return job.name

    def of(self, job: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Read events until one of the job holds."""
        return self.until(lambda event: event.get("job") == job and holds(event))

    def busy(self, job: str) -> None:
        self.of(job, lambda event: event["event"] == "progress" and event["mini_batches"]["done"] > 2)

    def finish(self, job: str) -> None:
        event = self.of(job, lambda event: event["event"] == "finished")
        assert event["status"] == "Completed", event
        rows = (self._project.folder / job.replace("job", "out") / "predictions.csv").read_text().splitlines()
        assert rows == EXPECTED


ANEW = "messages wait and are not taken: the node begins anew"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "redis"
    folder.mkdir()
    broker = Server(folder)
    yield broker
    broker.kill()


@pytest.fixture
def cluster(project, broker: Server) -> Iterator[Cluster]:
    project.files(ITEMS)
    project.script(SLOW)
    with ExitStack() as stack:
        yield Cluster(project, broker.url, stack)


def killed(broker: Server) -> None:
    broker.kill()
    time.sleep(1)
    broker.start()


def stopped(broker: Server) -> None:
    broker.signal(signal.SIGSTOP)
    time.sleep(10)
    broker.signal(signal.SIGCONT)


def cut(broker: Server) -> None:
    for kind in ("normal", "pubsub"):
        broker.tell("CLIENT", "KILL", "TYPE", kind)


def emptied(broker: Server) -> None:
    broker.kill()
    broker.start(empty=True)


#: What takes long, and says little more than the rest.
LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")


@pytest.mark.parametrize(
    "happens",
    [killed, pytest.param(emptied, marks=LONG), pytest.param(stopped, marks=LONG), pytest.param(cut, marks=LONG)],
)
def test_a_node_takes_work_after_something_happened_to_its_server(cluster, broker, happens) -> None:
    broker.start()
    node = cluster.node()
    first = cluster.begin()
    cluster.busy(first)
    happens(broker)

    cluster.finish(first)
    cluster.finish(cluster.begin())
    assert node.poll() is None


def test_a_node_waits_for_a_server_that_is_not_there_yet(cluster, broker) -> None:
    node = cluster.node()
    wait_until(lambda: "Trying again" in cluster.said("one"))
    broker.start()
    cluster.finish(cluster.begin())
    assert node.poll() is None


def control(url: str) -> Any:
    from gristmill_storage.queue import _application

    return _application(url).control


def test_a_node_whose_consumer_is_deaf_takes_work_all_the_same(cluster, broker, project) -> None:
    broker.start()
    node = cluster.node(slots=2)
    hold = project.folder / "hold"
    hold.touch()
    held = f'"00010.txt" <= os.path.basename(mini_batch[0]) and os.path.exists({str(hold)!r})'
    project.script(SLOW.replace("time.sleep(0.05)", f"while {held}: time.sleep(0.02)"))
    first = cluster.begin()
    cluster.busy(first)
    control(broker.url).cancel_consumer("gristmill.shared", reply=True)
    project.script(SLOW)
    second = cluster.begin()

    cluster.busy(second)
    assert ANEW not in cluster.said("one")  # the first job's scorers would have gone with it
    cluster.finish(second)
    hold.unlink()
    cluster.finish(first)
    wait_until(lambda: ANEW in cluster.said("one"))
    cluster.finish(cluster.begin())
    assert node.poll() is None


@pytest.mark.parametrize(
    "signals",
    [pytest.param([signal.SIGTERM], marks=LONG), [signal.SIGTERM] * 2, pytest.param([signal.SIGINT], marks=LONG)],
)
def test_a_node_that_is_told_to_leave_once_or_twice_loses_nothing(cluster, broker, signals) -> None:
    broker.start()
    node = cluster.node()
    job = cluster.begin()
    cluster.busy(job)
    for number in signals:
        node.send_signal(number)
        time.sleep(0.05)

    assert node.wait(30) == 0
    cluster.node()
    cluster.finish(job)

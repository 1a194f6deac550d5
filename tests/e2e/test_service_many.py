"""Many clients at once, on the real server with a real node, and the server dies while they ask: each job runs once."""

from __future__ import annotations

import os
import signal
import socket
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from gristmill.service.client import Client
from gristmill.service.http import Retries
from serving import Serving

LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

#: Notes each file that is scored, also where the part that it stands in is never used; some take their time.
SCRIPT = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        with open(os.environ["RUNS"], "a") as runs:
            runs.write("".join(f"{name}\\n" for name in names))
        time.sleep(0.15 if names[0].startswith("slow") else 0)
        return names
"""

CLIENTS = 20

#: Files of a job, each a mini-batch of its own; and of the first job, which is under way when the server is killed.
FILES = 2
SLOW_FILES = 8


class Crowd:
    """A server that can be killed and comes back under its address, and clients that ask for jobs all at once."""

    def __init__(self, serving: Serving, token: str) -> None:
        self.serving = serving
        self.token = token
        self.folder = serving.folder
        self._made: dict[int, str] = {}
        self._noting = threading.Lock()
        (self.folder / "runs").touch()
        (self.folder / "code").mkdir()
        (self.folder / "code" / "score.py").write_text(textwrap.dedent(SCRIPT))
        (self.folder / "model").mkdir()
        (self.folder / "model" / "weights").write_text("7")
        with self.client() as client:
            client.batch_endpoints.begin_create_or_update({"name": "names"}).result()
            client.batch_deployments.begin_create_or_update(self._deployment()).result()

    def _deployment(self) -> dict[str, Any]:
        return {
            "name": "blue",
            "endpoint_name": "names",
            "type": "model",
            "model": {"path": str(self.folder / "model")},
            "code_configuration": {"code": str(self.folder / "code"), "scoring_script": "score.py"},
            "environment_variables": {"RUNS": str(self.folder / "runs")},
            "compute": "local",
            "settings": {"mini_batch_size": 1, "retry_settings": {"max_retries": 1}},
        }

    def client(self) -> Client:
        """Return a client that waits for a server to come back."""
        return Client(self.serving.url, self.token, retries=Retries(attempts=60, longest=1.0))

    def input(self, number: int) -> Path:
        """Return a folder whose files no other job has."""
        folder = self.folder / "in" / f"{number:05d}"
        folder.mkdir(parents=True)
        for name in names_of(number):
            (folder / name).write_text("")
        return folder

    def ask(self, numbers: range) -> None:
        """Ask for a job of each number; for every third one twice, under the same id."""
        with self.client() as client:
            for number in numbers:
                path = str(self.input(number))
                if number % 3:
                    name = client.batch_endpoints.invoke("names", input=path).name
                else:
                    (name,) = {self._post(client, number, path) for _ in range(2)}
                with self._noting:
                    self._made[number] = str(name)

    def _post(self, client: Client, number: int, path: str) -> str:
        answer = client._http.send(
            "POST",
            "/batchEndpoints/names/jobs",
            document={"input": {"type": "uri_folder", "path": path}},
            headers={"repeatability_request-id": f"{self.folder.name}-{number}"},
            again=True,
        )
        return str(answer.document["name"])

    def ask_together(self, first: int, each: int, *, deaths: int) -> dict[int, str]:
        """Have all clients ask at once, and kill the server in the midst of its first job, then half way, if wished.

        Returns the jobs' names by number.
        """
        ranges = [range(first + each * number, first + each * (number + 1)) for number in range(CLIENTS)]
        slow = names_of(first)
        files = [name for numbers in ranges for number in numbers for name in names_of(number)]
        with ThreadPoolExecutor(CLIENTS) as clients:
            asking = [clients.submit(self.ask, numbers) for numbers in ranges]
            for some, count in ((slow, 3), (files, len(files) // 2))[:deaths]:
                self._until_scored(some, count)
                self.serving.stop(signal.SIGKILL)
                self.serving.start()
            for client in asking:
                client.result()
        return {number: self._made[number] for numbers in ranges for number in numbers}

    @property
    def runs(self) -> list[str]:
        return (self.folder / "runs").read_text().splitlines()

    def _until_scored(self, names: list[str], count: int) -> None:
        wanted, deadline = set(names), time.monotonic() + 90
        while sum(name in wanted for name in self.runs) < count:
            assert time.monotonic() < deadline, self.serving.log[-4000:]
            time.sleep(0.01)

    def jobs(self) -> dict[str, Any]:
        return {job["name"]: job for job in self.serving.request("GET", "/jobs?limit=1000").json()["value"]}

    def rows(self, name: str) -> list[str]:
        answer = self.serving.request("GET", f"/jobs/{name}/files/score/predictions.csv")
        assert answer.is_success, answer.text
        return answer.text.splitlines()


def names_of(number: int) -> list[str]:
    if number % 1000:
        return [f"{number:05d}-{file:02d}.txt" for file in range(FILES)]
    return [f"slow-{number:05d}-{file:02d}.txt" for file in range(SLOW_FILES)]


@pytest.fixture(scope="module")
def crowd(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    # On a database of its own: other tests of this process empty theirs.
    url, folder = redis_server.replace("db=0", "db=7"), tmp_path_factory.mktemp("many")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--allow-root", folder, "--port", port]
    with Serving(url, folder, nodes=1, slots=4, arguments=arguments) as serving:
        yield Crowd(serving, serving.token)


def check(crowd: Crowd, made: dict[int, str], before: set[str]) -> None:
    """Each job Completed, with its own rows, by one attempt at each file; and there is no job more."""
    wanted = set(made.values())
    page = crowd.serving.until(
        "/jobs?limit=1000", lambda page: all(job["ended"] for job in page["value"] if job["name"] in wanted), 240
    )
    ended = {job["name"]: (job["status"], job["summary"]["attempts"]["lost"]) for job in page["value"]}
    assert {ended[name] for name in wanted} == {("Completed", 0)}
    jobs = crowd.jobs()
    assert set(jobs) - before == set(made.values())
    assert len(set(made.values())) == len(made)
    for number, name in made.items():
        assert crowd.rows(name) == names_of(number)
    names = {name for number in made for name in names_of(number)}
    assert sorted(name for name in crowd.runs if name in names) == sorted(names)
    assert "Traceback" not in (crowd.folder / "node0.log").read_text() + crowd.serving.log


def test_each_job_of_twenty_clients_runs_once_though_the_server_is_killed_meanwhile(crowd: Crowd) -> None:
    before = set(crowd.jobs())

    made = crowd.ask_together(0, 2, deaths=1)

    check(crowd, made, before)
    assert "nobody leads it" in crowd.serving.log


@LONG
def test_each_of_two_hundred_jobs_runs_once_though_the_server_is_killed_twice(crowd: Crowd) -> None:
    before = set(crowd.jobs())

    made = crowd.ask_together(1000, 10, deaths=2)

    check(crowd, made, before)
    assert len(made) == 200


def test_records_of_jobs_outlive_the_redis_server_and_jobs_go_on_after_it(redis_server: str, crowd: Crowd) -> None:
    serving = crowd.serving
    crowd.ask(range(90_001, 90_002))
    done = serving.until(f"/jobs/{crowd._made[90_001]}", lambda job: job["ended"])
    before = {name: job["status"] for name, job in crowd.jobs().items()}

    serving.stop()
    with redis.Redis.from_url(redis_server.replace("db=0", "db=7")) as client:
        client.flushdb()
    serving.start()

    assert {name: job["status"] for name, job in crowd.jobs().items()} == before
    again = serving.request("GET", f"/jobs/{done['name']}").json()
    assert again == {**done, "services": again["services"]}
    crowd.ask(range(90_002, 90_003))
    assert serving.until(f"/jobs/{crowd._made[90_002]}", lambda job: job["ended"])["status"] == "Completed"

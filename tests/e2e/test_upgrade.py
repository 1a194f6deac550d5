"""A cluster that is upgraded: neighbours work together, others are refused in words, and restarts lose nothing."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from clusters import wait_until
from fleets import Fleet
from other_version import python

from gristmill_storage import server
from serving import PYTHON, Serving

LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

#: More than are scored before the file goes, however slow the machine is; and than in many restarts.
FILES = 4000
MANY_FILES = 15_000

#: Nobody dies here: a lease that ran out on a busy machine would count as lost.
CALM = {"GRISTMILL_LEASE_SECONDS": "30"}


class Broker:
    """A Redis server over TCP, as clusters have it, which can be started anew."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        options = {"port": port, "bind": "127.0.0.1", "dir": folder, "logfile": folder / "redis.log", "save": ""}
        options |= {"appendonly": "yes", "maxmemory-policy": "noeviction"}
        self._command = [
            str(server.find_binary()),
            *(str(word) for name, value in options.items() for word in (f"--{name}", value)),
        ]
        self._start()
        stack.callback(self._end)

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        server.wait_until_ready(self.url, 30, alive=lambda: self._process.poll() is None)

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def restart(self) -> None:
        """End it in order and start it again with its file."""
        self._end()
        self._start()


# Versions side by side


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with ExitStack() as stack:
        yield Broker(tmp_path_factory.mktemp("redis"), stack)


@pytest.fixture(scope="module")
def fleet(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A server that speaks protocol 5."""
    folder = tmp_path_factory.mktemp("versions")
    arguments = ["--allow-root", folder]
    with Serving(broker.url, folder, arguments=arguments, environment=CALM, python=python(5)) as serving:
        fleet = Fleet(serving, folder)
        fleet.deploy()
        yield fleet


def test_nodes_of_both_neighbouring_versions_share_a_job_and_the_status_says_who_is_which(fleet: Fleet) -> None:
    nodes = {name: fleet.node(name, python=python(number)) for name, number in (("older", 4), ("newer", 6))}
    fleet.hold.touch()
    fleet.invoke("mixed", 3000, instances=2)
    wait_until(lambda: min(fleet.scored("mixed").get(name, 0) for name in nodes) > 0)
    status = fleet.ask("GET", "/status")
    fleet.hold.unlink()

    fleet.check_calm("mixed", 3000)

    assert (status["version"], status["protocol"]) == ("5.0.0", 5)
    told = {each["host"]: (each["version"], each["protocol"], each.get("problem")) for each in status["nodes"]}
    assert told == {"older": ("4.0.0", 4, None), "newer": ("6.0.0", 6, None)}
    for node in nodes.values():
        node.terminate()
    for node in nodes.values():
        assert node.wait(20) == 0


def test_a_node_of_another_version_refuses_work_in_words_and_the_job_waits_for_one_that_can(fleet: Fleet) -> None:
    ahead = fleet.node("ahead", python=python(7))
    fleet.serving.until("/status", lambda it: "ahead" in {each["host"] for each in it["nodes"]})
    fleet.invoke("patient", 20)
    wait_until(lambda: "refused: " in fleet.log("ahead"))
    waits = fleet.serving.until("/jobs/patient", lambda it: "is of protocol" in it["detail"])
    status = fleet.ask("GET", "/status")

    fleet.node("fitting", python=python(5))
    fleet.check_calm("patient", 20)

    words = "node ahead (Gristmill 7.0.0) is of protocol 7, and this server (Gristmill 5.0.0) speaks protocol 5"
    assert waits["status"] == "Queued"
    assert waits["detail"] == f"waiting for 1 of 1 instance of local: {words}: upgrade this server"
    problems = {each["host"]: each.get("problem") for each in status["nodes"]}
    assert problems == {"ahead": f"{words}: upgrade this server"}
    assert [name for name, count in fleet.scored("patient").items() if count] == ["fitting"]
    [refusal, *_] = [line for line in fleet.log("ahead").splitlines() if "refused: " in line]
    assert "refused: a message of job patient is of protocol 5, and this node (Gristmill 7.0.0)" in refusal
    assert refusal.endswith("speaks protocol 7: upgrade the scheduler that sent it")
    assert ahead.poll() is None


def model_of_tables(folder: Path) -> Path:
    """Write a model that gives back what it is given; MLflow itself would take longer to save one than to use it."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "given_back.py").write_text(
        "class Model:\n    def predict(self, table):\n        return table\n\n\n"
        "def _load_pyfunc(path):\n    return Model()\n"
    )
    columns = """'[{"name": "x", "type": "long", "required": true}]'"""
    (folder / "MLmodel").write_text(
        "flavors: {python_function: {loader_module: given_back, code: code, data: .}}\n"
        f"signature: {{inputs: {columns}, outputs: {columns}}}\n"
    )
    return folder


def invoke_slices(fleet: Fleet, job: str) -> str:
    """Ask for a job whose items are slices, where a node from before there were any is alone; return why it waits."""
    folder = fleet.folder / job
    deployment = {
        "name": "blue",
        "endpoint_name": job,
        "type": "model",
        "model": {"path": str(model_of_tables(folder / "model")), "type": "mlflow_model"},
        "compute": job,
        "settings": {"split_files": True, "split_bytes": 100},
    }
    fleet.ask("PUT", f"/computes/{job}", json={"name": job})
    fleet.ask("PUT", f"/batchEndpoints/{job}", json={"name": job})
    fleet.ask("PUT", f"/batchEndpoints/{job}/deployments/blue", json=deployment)
    (folder / "in").mkdir()
    (folder / "in" / "t.csv").write_text("x\n" + "".join(f"{number}\n" for number in range(100)))
    fleet.node(f"before-{job}", compute=job, python=python(5, form=1))
    body = {"job_name": job, "input": {"type": "uri_folder", "path": str(folder / "in")}}
    fleet.ask("POST", f"/batchEndpoints/{job}/jobs", json=body)
    return str(fleet.serving.until(f"/jobs/{job}", lambda it: "is of version" in it["detail"])["detail"])


def test_a_node_leaves_a_job_of_slices_alone_if_it_does_not_know_them(fleet: Fleet) -> None:
    reason = invoke_slices(fleet, "refused")
    fleet.ask("POST", "/jobs/refused/cancel", json={})

    assert reason.endswith("job.json: is of version 2, and Gristmill 5.0.0 here reads up to 1: upgrade it")
    assert "; node before-refused cannot open the job's folder: " in reason


@LONG
def test_a_job_of_slices_waits_for_a_node_that_knows_them(fleet: Fleet) -> None:
    invoke_slices(fleet, "sliced")
    fleet.node("since", compute="sliced", python=python(5))
    ended = fleet.serving.until("/jobs/sliced", lambda it: it["ended"], 90)

    assert (ended["status"], ended["items"]["failed"]) == ("Completed", 0)
    assert ended["items"]["total"] > 2
    assert ended["summary"]["attempts"]["retried"] == {}


@LONG
@pytest.mark.timeout(300)
def test_a_job_that_a_far_newer_server_took_over_is_let_alone_by_the_others_and_not_ended(
    fleet: Fleet, broker: Broker
) -> None:
    fleet.node("overtaken", python=python(5))
    fleet.hold.touch()
    fleet.invoke("taken", 3000)
    wait_until(lambda: any(fleet.scored("taken").values()))

    with redis.Redis.from_url(broker.url, protocol=2) as client:
        client.hset("gristmill:{taken}:job", "protocol", 7)
        words = "job taken in the ledger is of protocol 7, and this process (Gristmill 5.0.0) speaks protocol 5"
        seen = fleet.serving.until("/jobs/taken", lambda it: "is of protocol 7" in it["detail"])
        wait_until(lambda: f"refused: {words}: upgrade this process" in fleet.log("overtaken"))
        client.hset("gristmill:{taken}:job", "protocol", 5)
    fleet.hold.unlink()

    assert (seen["status"], seen["detail"]) == ("Running", f"{words}: upgrade this process")
    assert f"job taken: left to a scheduler that can lead it: {words}" in fleet.serving.log
    fleet.check("taken", 3000)


# Restarts


class Rolling(Fleet):
    """Servers, nodes, and a Redis server, each of which can be started anew while a job runs."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        (folder / "redis").mkdir()
        self.broker = Broker(folder / "redis", stack)
        arguments = ["--allow-root", folder]
        self.first = stack.enter_context(Serving(self.broker.url, folder, arguments=arguments, environment=CALM))
        super().__init__(self.first, folder)
        self.nodes: dict[str, subprocess.Popen[str]] = {}
        self.deploy()

    def add_server(self) -> Serving:
        """Start a second server of the same workspace, which stands in for the first."""
        folder = self.folder / "second"
        folder.mkdir()
        more = ["--allow-root", self.folder, "--workspace", self.first.workspace]
        return self._stack.enter_context(Serving(self.broker.url, folder, arguments=more, environment=CALM))

    def restart_server(self, which: Serving, version: tuple[str, ...] = PYTHON) -> None:
        """End a server and start it again; the jobs that it led are led by the other meanwhile."""
        assert which.stop() == 0
        which.python = version
        which.start()

    def restart_node(self, name: str, version: tuple[str, ...] = PYTHON) -> None:
        old = self.nodes[name]
        old.terminate()
        assert old.wait(30) == 0
        self.nodes[name] = self.node(name, python=version)

    def until_it_goes_on(self, job: str, name: str = "") -> None:
        """Wait until more of a job is scored, by a node if one is named."""

        def count() -> int:
            scored = self.scored(job)
            return scored.get(name, 0) if name else sum(scored.values())

        before = count()
        wait_until(lambda: count() > before)


@pytest.fixture
def rolling(tmp_path: Path) -> Iterator[Rolling]:
    with ExitStack() as stack:
        yield Rolling(tmp_path, stack)


def begin(rolling: Rolling, nodes: int, files: int = FILES) -> None:
    """Let a job begin on so many nodes, which goes on until the file `hold` goes."""
    for number in range(nodes):
        rolling.nodes[f"n{number}"] = rolling.node(f"n{number}")
    rolling.hold.touch()
    rolling.invoke("rolled", files, instances=nodes)
    for name in rolling.nodes:
        rolling.until_it_goes_on("rolled", name)


def finish(rolling: Rolling, files: int = FILES) -> None:
    assert sum(rolling.scored("rolled").values()) < files, "the job was done before the last restart"
    rolling.hold.unlink()
    ended = rolling.check_calm("rolled", files)
    assert ended["summary"]["mini_batches"] == {"total": files, "failed": 0, "retried": 0}
    names = [line for path in rolling.calls.iterdir() for line in path.read_text().splitlines()]
    assert sorted(names) == sorted(set(names)), "nothing that was begun was thrown away"
    assert set(rolling.scored("rolled")) == set(rolling.nodes)


def test_a_restart_of_server_node_and_redis_costs_a_running_job_nothing(rolling: Rolling) -> None:
    begin(rolling, 2)

    rolling.restart_node("n0")
    rolling.restart_server(rolling.first)
    rolling.broker.restart()

    rolling.until_it_goes_on("rolled", "n0")
    rolling.until_it_goes_on("rolled", "n1")
    finish(rolling)


@LONG
@pytest.mark.timeout(600)
def test_everything_is_upgraded_one_after_the_other_while_a_job_runs(rolling: Rolling) -> None:
    second = rolling.add_server()
    begin(rolling, 3, MANY_FILES)

    for number in (2, 3):  # twice: the second time every process meets only the version before it
        for which in (rolling.first, second):
            rolling.restart_server(which, python(number))
            rolling.until_it_goes_on("rolled")
        for name in rolling.nodes:
            rolling.restart_node(name, python(number))
            rolling.until_it_goes_on("rolled", name)
        rolling.broker.restart()
        for name in rolling.nodes:
            rolling.until_it_goes_on("rolled", name)

    status = rolling.ask("GET", "/status")
    assert {status["protocol"], *(each["protocol"] for each in status["nodes"])} == {3}
    finish(rolling, MANY_FILES)

"""Scorers that a server's node keeps from one job to the next: the real server, a real node, one place."""

from __future__ import annotations

import signal
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import Serving

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="scorers are kept where /proc shows them")

SCRIPT = """
    import os

    def init():
        with open(os.environ["INITS"], "a") as file:
            file.write(f"{os.getpid()}\\n")

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        print(*names)
        for name in names:
            with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], name + ".out"), "w") as file:
                file.write(name)
        return names
"""


class Warm:
    """A server and its node; deployments of one script, each with the list of those that ran its init()."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.folder = serving.folder
        for name in ("code", "model"):
            (self.folder / name).mkdir()
        (self.folder / "code" / "score.py").write_text(textwrap.dedent(SCRIPT))
        (self.folder / "model" / "weights").write_text("7")
        self.ask("PUT", "/batchEndpoints/words", json={"name": "words"})

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.serving.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def deploy(self, name: str, **changes: Any) -> None:
        inits = self.folder / f"{name}.inits"
        inits.touch()
        document = {
            "name": name,
            "endpoint_name": "words",
            "type": "model",
            "model": {"path": str(self.folder / "model")},
            "code_configuration": {"code": str(self.folder / "code"), "scoring_script": "score.py"},
            "environment_variables": {"INITS": str(inits)},
            "compute": "local",
            "settings": {"mini_batch_size": 1, "output_action": "summary_only"},
            **changes,
        }
        self.ask("PUT", f"/batchEndpoints/words/deployments/{name}", json=document)

    def pids(self, name: str) -> list[int]:
        return [int(line) for line in (self.folder / f"{name}.inits").read_text().split()]

    def job(self, deployment: str, item: str, *, token: str | None = None, **more: Any) -> str:
        """Score one file; return the job's name."""
        given = self.folder / f"in-{item}"
        given.mkdir(exist_ok=True)
        (given / item).write_text("x")
        body = {"input": {"type": "uri_folder", "path": str(given)}, "deployment": deployment, **more}
        answer = self.serving.request("POST", "/batchEndpoints/words/jobs", json=body, token=token)
        assert answer.is_success, answer.text
        name: str = answer.json()["name"]
        ended = self.serving.until(f"/jobs/{name}", lambda job: job["ended"])
        assert ended["status"] == "Completed", ended
        return name

    def file(self, job: str, path: str) -> str:
        answer = self.serving.request("GET", f"/jobs/{job}/files/{path}")
        assert answer.is_success, answer.text
        return answer.text

    def resting(self) -> list[dict[str, Any]]:
        """What the node tells of those that it keeps."""
        return [each for node in self.ask("GET", "/status")["nodes"] for each in node.get("resting", [])]


@pytest.fixture(scope="module")
def warm(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    url, folder = redis_server.replace("db=0", "db=7"), tmp_path_factory.mktemp("warm")
    (folder / "scratch").mkdir()
    places = {"GRISTMILL_SCRATCH": str(folder / "scratch")}
    with Serving(url, folder, nodes=1, slots=1, arguments=["--allow-root", folder], environment=places) as serving:
        yield Warm(serving)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_second_job_needs_no_init_and_has_its_own_logs_and_files(warm: Warm) -> None:
    warm.deploy("dep")
    jobs = {item: warm.job("dep", item) for item in ("a", "b")}

    assert len(warm.pids("dep")) == 1
    for item, job in jobs.items():
        assert warm.file(job, "default/logs/user/stdout/node0/process000.stdout.txt") == f"{item}\n"
        listed = warm.ask("GET", f"/jobs/{job}/files?output=score")["value"]
        assert [each["path"] for each in listed] == [f"{item}.out", "summary.json"]
    assert "kept 1 scorer of words/dep for 300 s" in warm.file(jobs["a"], "default/logs/sys/node/node0/_main.txt")
    assert "took 1 kept scorer of words/dep" in warm.file(jobs["b"], "default/logs/sys/node/node0/_main.txt")
    warm.serving.until("/status", lambda _: warm.resting() == [{"deployment": "words/dep", "scorers": 1}])


def test_another_variable_version_or_user_has_scorers_of_its_own(warm: Warm) -> None:
    warm.deploy("own")
    warm.job("own", "a")
    warm.job("own", "b", overrides={"environment_variables": {"MORE": "1"}})
    assert len(warm.pids("own")) == 2
    warm.job("own", "c")
    assert len(warm.pids("own")) == 3
    warm.deploy("own", description="another version")
    warm.job("own", "d")
    assert len(warm.pids("own")) == 4
    other = warm.ask("POST", "/tokens", json={"name": "other", "roles": ["owner"]})["token"]
    warm.job("own", "e", token=other)
    warm.job("own", "f", token=other)

    assert len(warm.pids("own")) == 5
    assert not any(map(alive, warm.pids("own")[:-1]))


def test_the_place_is_another_deployments_at_once(warm: Warm) -> None:
    warm.deploy("one")
    warm.deploy("two", settings={"keep_scorers_seconds": 0})
    warm.job("one", "a")
    warm.job("two", "b")

    assert not alive(warm.pids("one")[0])
    until(lambda: not alive(warm.pids("two")[0]))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_when_the_node_goes(warm: Warm, number: signal.Signals) -> None:
    name = f"left{number}"
    warm.deploy(name)
    warm.job(name, "a")
    until(lambda: warm.pids(name))
    node = warm.serving.nodes.pop()
    assert alive(warm.pids(name)[0])
    node.send_signal(number)
    node.wait(30)

    until(lambda: not alive(warm.pids(name)[0]))
    if number is signal.SIGTERM:
        assert not any((warm.folder / "scratch").iterdir())
    warm.serving.node("node0", slots=1)

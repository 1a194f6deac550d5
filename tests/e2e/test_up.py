"""The whole service on this machine, by the commands that a user types."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from certified import self_signed
from gristmill.service import Client
from gristmill.settings import ProcessSettings

pytest.importorskip("fastapi")

SCRIPT = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        while os.path.exists(HOLD):
            time.sleep(0.02)
        return [os.path.basename(path) for path in mini_batch]
"""

MODEL = """
    import os

    def init():
        global found
        folder = os.environ["AZUREML_MODEL_DIR"]
        [name] = os.listdir(folder)
        found = f"{name}/weights=" + open(os.path.join(folder, name, "weights")).read()

    def run(mini_batch):
        return [found for _ in mini_batch]
"""

#: MLflow is imported, and makes its database, in two processes.
LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")


class Here:
    """A user with a home and a workspace of its own."""

    def __init__(self, project: Any) -> None:
        self.project = project
        self.workspace = project.folder / "workspace"
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("GRISTMILL_", "MLFLOW_"))},
            "HOME": str(project.folder),
            "XDG_CONFIG_HOME": str(project.folder / "config"),
            "XDG_CACHE_HOME": str(project.folder / "cache"),
            "GRISTMILL_WORKSPACE": str(self.workspace),
            # What is scored when a node is to leave does not end by itself here.
            "GRISTMILL_GRACE_SECONDS": "1",
            # Runs are looked at in test_tracking.py; to write them takes seconds of a core.
            "GRISTMILL_TRACKING": "off",
        }

    def command(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.project.command(*arguments),
            cwd=self.project.folder,
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def do(self, *arguments: object, **environment: str) -> str:
        """Run a command that must succeed; return what it prints."""
        ran = self.command(*arguments, **environment)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def ask(self, *arguments: object) -> Any:
        return json.loads(self.do(*arguments, "-o", "json"))

    def up(self, *arguments: object) -> Any:
        return self.ask("up", "--port", "0", "--slots", "2", *arguments)

    def client(self) -> Client:
        """Return a client of the server that runs."""
        return Client(settings=ProcessSettings.read(self._environment))

    def processes(self) -> list[str]:
        """Return the command lines of all processes that have to do with the workspace."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes()
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(self.workspace).encode() in environment or str(self.workspace) in words:
                found.append(words)
        return found


@pytest.fixture
def here(project: Any) -> Iterator[Here]:
    here = Here(project)
    yield here
    here.do("down")
    until(lambda: not here.processes())


def until(holds: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_up_status_and_down(here: Here) -> None:
    first = here.up()
    assert Path(first["token_file"]).stat().st_mode & 0o777 == 0o600
    token = Path(first["token_file"]).read_text().strip()
    again = here.do("up")
    assert again.startswith(f"already up: {first['url']}\n")
    assert first["token_file"] in again
    assert token not in again
    status = here.ask("status")
    assert [(node["compute"], node["slots"]) for node in status["nodes"]] == [("local", 2)]
    assert (status["redis"], status["jobs"]) == (True, {})
    assert "0 of 2" in here.do("status")

    made = here.ask("token", "create", "-n", "watcher", "--role", "reader", "--expires-in", "1h")
    refused = here.command("login", first["url"], GRISTMILL_TOKEN="gm_0000000000000000_" + "x" * 43)
    assert refused.returncode == 2
    assert not (here.project.folder / "config" / "gristmill").exists()
    assert "as watcher (reader)" in here.do("login", first["url"], GRISTMILL_TOKEN=made["token"])
    assert here.command("token", "list").returncode == 2, "a reader may not"
    assert here.do("logout") == "logged out\n"
    assert {each["name"] for each in here.ask("token", "list")} == {"owner", "watcher"}
    assert here.do("down") == "down\n"
    assert here.processes() == []
    assert here.do("down") == "nothing was up\n"
    assert "gristmill up" in here.command("status").stderr


def test_when_the_daemon_is_killed_nothing_is_left_and_up_works_again(here: Here) -> None:
    first = here.up()
    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: not here.processes(), 10)
    second = here.up()
    assert second["pid"] != first["pid"]
    assert here.ask("status")["redis"]


def test_over_tls_commands_here_know_the_server_by_its_certificate_also_when_it_was_started_again(here: Here) -> None:
    certificate, key = self_signed(here.project.folder / "tls", "ml.example")
    first = here.up("--tls-cert", certificate, "--tls-key", key)
    assert first["url"].startswith("https://127.0.0.1:")
    assert here.do("up").startswith(f"already up: {first['url']}\n")
    assert here.do("batch-endpoint", "create", "-n", "eee", "--query", "scoring_uri", "-o", "tsv").startswith(
        "https://"
    )
    [pid] = [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if b"gristmill_scheduler.service" in words(process) and str(here.workspace).encode() in words(process)
    ]
    os.kill(pid, signal.SIGKILL)
    until(lambda: here.command("status").returncode == 0)
    assert here.ask("status")["url"] == first["url"]


def words(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_job_goes_on_after_down_and_up(here: Here) -> None:
    hold = here.project.folder / "hold"
    hold.touch()
    here.project.files(20)
    here.project.script(SCRIPT.replace("HOLD", repr(str(hold))))
    here.project.deployment(root='"compute": "azureml:local"', mini_batch_size=5)
    here.up()
    with here.client() as client:
        client.batch_endpoints.begin_create_or_update({"name": "eee"}).result()
        deployment = here.project.folder / "deployment.yml"
        client.batch_deployments.begin_create_or_update(deployment, set_default=True).result()
        job = client.batch_endpoints.invoke("eee", input=str(here.project.input)).name
        until(lambda: client.jobs.get(job).status == "Running")
    began = time.monotonic()
    assert here.do("down") == "down\n1 job goes on at the next `gristmill up`\n"
    assert time.monotonic() - began < 10
    here.up()
    hold.unlink()
    with here.client() as client:
        client.jobs.stream(job, out=io.StringIO())
        client.jobs.download(job, output_name="score", download_path=here.project.folder / "results")
    [output] = (here.project.folder / "results").rglob("predictions.csv")
    assert sorted(output.read_text().split()) == [f"{number:05d}.txt" for number in range(20)]


def test_a_compute_that_jobs_wait_for_is_served_here_as_nobody_else_can(here: Here) -> None:
    here.project.files(2)
    here.project.script(SCRIPT.replace("HOLD", "''"))
    here.project.deployment(root='"compute": "azureml:batch-cluster"')
    here.up()
    with here.client() as client:
        client.compute.begin_create_or_update({"name": "batch-cluster", "max_instances": 4}).result()
        client.batch_endpoints.begin_create_or_update({"name": "eee"}).result()
        client.batch_deployments.begin_create_or_update(
            here.project.folder / "deployment.yml", set_default=True
        ).result()
        client.batch_endpoints.invoke("eee", input=str(here.project.input)).wait(timeout=60)
        (node,) = (node for node in client.status()["nodes"] if node["compute"] == "batch-cluster")
        os.kill(node["pid"], signal.SIGKILL)  # another one takes its place
        client.batch_endpoints.invoke("eee", input=str(here.project.input)).wait(timeout=60)


@LONG
def test_a_registered_model_is_scored_with_under_the_name_that_it_was_registered_by(here: Here) -> None:
    pytest.importorskip("mlflow")
    here.project.files(2)
    here.project.script(MODEL)
    here.project.deployment(root='"compute": "azureml:local"')
    here.up()
    made = here.ask("model", "create", "-n", "weights", "--path", "model/", "--type", "custom_model")
    assert (made["version"], made["type"]) == ("1", "custom_model")
    here.do("batch-endpoint", "create", "-n", "eee")
    model = ("--set", "model=azureml:weights@latest")
    deployed = here.ask("batch-deployment", "create", "-f", "deployment.yml", "-e", "eee", "--set-default", *model)
    assert deployed["model"] == "azureml:weights:1"
    job = here.do("batch-endpoint", "invoke", "-n", "eee", "--input", "in", "--query", "name", "-o", "tsv").strip()
    here.do("job", "stream", "-n", job)
    here.do("job", "download", "-n", job, "--output-name", "score", "-p", "results")
    [output] = (here.project.folder / "results").rglob("predictions.csv")
    assert output.read_text().split() == ["model/weights=7"] * 2

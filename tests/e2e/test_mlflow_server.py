"""Models, jobs and their runs on a tracking server that is asked over HTTP, as a team has it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving import READY_SECONDS, Serving

# The server alone takes ten seconds of a core to begin.
pytestmark = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

SCRIPT = """
import os

def init():
    global weights
    weights = open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "weights")).read()

def run(mini_batch):
    return [f"{os.path.basename(path)} {weights}" for path in mini_batch if open(path).read() != "bad"]
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of MLflow's own server: its registry, its runs, and the files of both."""
    folder = tmp_path_factory.mktemp("mlflow")
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        *[sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", url.rpartition(":")[2]],
        *["--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"],
        *["--artifacts-destination", str(folder / "artifacts")],
    ]
    log = folder / "log"
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # judges of language models
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 3 * READY_SECONDS
        while not _answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def serving(redis_server: str, mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("served")
    environment = {"GRISTMILL_TRACKING": "on", "MLFLOW_TRACKING_URI": mlflow_server}
    url = redis_server.replace("db=0", "db=8")
    with Serving(url, folder, nodes=1, arguments=["--allow-root", folder], environment=environment) as serving:
        yield serving


def ask(serving: Serving, method: str, path: str, **options: Any) -> Any:
    answer = serving.request(method, path, **options)
    assert answer.is_success, answer.text
    return answer.json()


def ended(serving: Serving, name: str) -> Any:
    job = serving.until(f"/jobs/{name}", lambda found: found["ended"])
    assert job["status"] == "Completed", job
    return serving.until(f"/jobs/{name}", lambda found: found["properties"].get("mlflow", {}).get("run_id"))


def deployed(serving: Serving, name: str, model: str) -> None:
    deployment = {
        "name": name,
        "endpoint_name": "words",
        "code_configuration": {"code": str(serving.folder / "code"), "scoring_script": "score.py"},
        "model": model,
        "compute": "local",
        "settings": {"mini_batch_size": 1, "priority": "high", "retry_settings": {"max_retries": 1}},
    }
    ask(serving, "PUT", f"/batchEndpoints/words/deployments/{name}?set_default=true", json=deployment)


def test_models_and_runs_are_on_a_server_that_is_asked_over_http(serving: Serving, mlflow_server: str) -> None:
    folder = serving.folder
    for name in ("in", "code", "made/model"):
        (folder / name).mkdir(parents=True)
    for name in ("a", "b", "c"):
        (folder / "in" / f"{name}.txt").write_text("bad" if name == "b" else "")
    (folder / "code" / "score.py").write_text(SCRIPT)
    (folder / "made" / "model" / "weights").write_text("7")
    # Registered here, its files go to the server; the deployment names it, and the node fetches it there.
    model = ask(serving, "POST", "/models/scales", json={"path": str(folder / "made/model"), "type": "custom_model"})
    assert (model["version"], ask(serving, "GET", "/models/scales/labels/latest")["version"]) == ("1", "1")
    ask(serving, "PUT", "/batchEndpoints/words", json={"name": "words"})
    deployed(serving, "blue", "azureml:scales@latest")
    body = {"input": {"type": "uri_folder", "path": str(folder / "in")}, "experiment_name": "nightly"}

    first = ended(serving, ask(serving, "POST", "/batchEndpoints/words/jobs", json=body)["name"])
    rows = serving.request("GET", f"/jobs/{first['name']}/files/score/predictions.csv").text
    assert rows.splitlines() == ["a.txt 7", "c.txt 7"]
    (folder / "in" / "b.txt").write_text("")
    again = ended(serving, ask(serving, "POST", f"/jobs/{first['name']}/retry-failed", json={})["name"])

    runs = _runs(mlflow_server, first, again)
    parent, child = runs
    assert (parent.data.params["priority"], parent.data.params["mini_batch_size"]) == ("high", "1")
    assert parent.data.tags["gristmill.model_version"] == "1"
    assert (parent.data.metrics["items_succeeded"], parent.data.metrics["items_failed"]) == (2, 1)
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["gristmill.retry_of"] == first["name"]
    assert child.info.experiment_id == parent.info.experiment_id


def _runs(url: str, *jobs: Any) -> list[Any]:
    """Return the runs of jobs as MLflow's own client sees them, when they have ended with their artifacts."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        import mlflow

        client = mlflow.MlflowClient(url)
        deadline = time.monotonic() + 60
        found = []
        for job in jobs:
            run_id = job["properties"]["mlflow"]["run_id"]
            while "summary.json" not in {item.path for item in client.list_artifacts(run_id)}:
                assert time.monotonic() < deadline, client.get_run(run_id)
                time.sleep(0.1)
            found.append(client.get_run(run_id))
        return found


def test_a_deployment_takes_a_model_of_the_registry_and_of_a_run_by_mlflows_own_addresses(
    serving: Serving, mlflow_server: str
) -> None:
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        import mlflow

        client = mlflow.MlflowClient(mlflow_server)
        run = client.create_run(client.create_experiment("training"))
        client.log_artifacts(run.info.run_id, str(serving.folder / "made" / "model"), "model")
    body = {"input": {"type": "uri_folder", "path": str(serving.folder / "in")}}

    for number, model in enumerate(("models:/scales/1", f"runs:/{run.info.run_id}/model")):
        deployed(serving, f"green{number}", model)
        job = ended(serving, ask(serving, "POST", "/batchEndpoints/words/jobs", json=body)["name"])
        rows = serving.request("GET", f"/jobs/{job['name']}/files/score/predictions.csv").text
        assert rows.splitlines() == ["a.txt 7", "b.txt 7", "c.txt 7"]

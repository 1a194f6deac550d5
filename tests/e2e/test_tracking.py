"""Jobs of the real server become MLflow runs, which MLflow's own client reads."""

from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import Serving

SCRIPT = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        time.sleep(float(os.environ["PAUSE"]))
        if any("bad" in path for path in mini_batch):
            raise ValueError("bad")
        return [os.path.basename(path) for path in mini_batch]
"""


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A folder of runs: a database would take seconds to make."""
    return (tmp_path / "runs").as_uri()


@pytest.fixture
def serving(redis_server: str, tmp_path: Path, store: str) -> Iterator[Serving]:
    environment = {
        "GRISTMILL_TRACKING": "on",
        "MLFLOW_TRACKING_URI": store,
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "PAUSE": "0.6",
    }
    url = redis_server.replace("db=0", "db=9")
    arguments = ["--allow-root", tmp_path]
    with Serving(url, tmp_path, nodes=1, arguments=arguments, environment=environment) as started:
        yield started


def prepared(serving: Serving) -> dict[str, Any]:
    """Make an endpoint with a deployment, and return the body of an invocation."""
    folder = serving.folder
    for name in ("in", "code"):
        (folder / name).mkdir()
    for name in ("a.txt", "b.txt", "bad.txt", "d.txt", "e.txt", "f.txt"):
        (folder / "in" / name).touch()
    (folder / "code" / "score.py").write_text("\n".join(line[4:] for line in SCRIPT.splitlines()))
    deployment = {
        "name": "blue",
        "endpoint_name": "names",
        "type": "model",
        "code_configuration": {"code": str(folder / "code"), "scoring_script": "score.py"},
        "model": {"path": str(folder / "code")},
        "compute": "local",
        "settings": {"mini_batch_size": 1, "retry_settings": {"max_retries": 1}},
    }
    made = serving.request("PUT", "/batchEndpoints/names", json={"name": "names"})
    assert made.is_success, made.text
    made = serving.request("PUT", "/batchEndpoints/names/deployments/blue", json=deployment)
    assert made.is_success, made.text
    return {"input": {"type": "uri_folder", "path": str(folder / "in")}, "experiment_name": "nightly"}


def wait(holds: Callable[[], Any], serving: Serving) -> Any:
    deadline = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < deadline, serving.log[-3000:]
        time.sleep(0.05)
    return found


def finished(client: Any, experiment: str) -> bool:
    try:
        return client.search_runs([experiment])[0].info.status == "FINISHED"
    except ValueError:  # a metric's file is there a moment before its first line
        return False


def test_a_job_whose_server_is_killed_is_one_run(
    serving: Serving, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = prepared(serving)
    name = serving.request("POST", "/batchEndpoints/names/jobs", json=body).json()["name"]
    wait(lambda: list((tmp_path / "runs").glob("*/*/meta.yaml")), serving)
    serving.stop(signal.SIGKILL)
    serving.start()
    job = serving.until(f"/jobs/{name}", lambda found: found["ended"])
    assert (job["status"], job["items"]["failed"]) == ("Completed", 1)

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        import mlflow

        client = mlflow.MlflowClient(store)
        experiment = client.get_experiment_by_name("nightly").experiment_id
        wait(lambda: finished(client, experiment), serving)
        run_id = wait(
            lambda: serving.request("GET", f"/jobs/{name}").json()["properties"]["mlflow"].get("run_id"), serving
        )
        (run,) = client.search_runs([experiment])
        planned = client.get_metric_history(run.info.run_id, "items_succeeded")
        files = wait(lambda: len(client.list_artifacts(run.info.run_id)) > 1, serving) and {
            item.path for item in client.list_artifacts(run.info.run_id)
        }
    assert run.info.run_id == run_id
    assert (run.info.run_name, run.data.tags["gristmill.job"], run.data.tags["gristmill.endpoint"]) == (
        name,
        name,
        "names",
    )
    assert run.data.params["mini_batch_size"] == "1"
    assert (run.data.metrics["items_succeeded"], run.data.metrics["items_failed"]) == (5, 1)
    assert [point.step for point in planned] == sorted(point.step for point in planned)
    assert files == {"summary.json", "errors.jsonl"}
    (given,) = run.inputs.dataset_inputs
    assert str(tmp_path / "in") in given.dataset.source

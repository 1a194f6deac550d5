"""Runs are written by the real child into a real database, and read by MLflow's own client."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from gristmill.errors import Mistake
from gristmill_storage import tracking_runs
from gristmill_storage.tracking import Tracker


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """MLflow warns about itself; what is tested is what comes out."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}"


@pytest.fixture(scope="module")
def tracker(address: str) -> Iterator[Tracker]:
    made = Tracker({**os.environ, "MLFLOW_TRACKING_URI": address})
    yield made
    made.rest()


def described(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"id-{name}",
        "experiment": "../a strange/name",
        "name": name,
        "began": 1_000_000,
        "tags": {"gristmill.job": name, "of:mine": "x" * 9000},
        "params": {"mini_batch_size": "5", **{f"override.{number}": "v" for number in range(120)}},
        "inputs": [
            {"name": "in", "digest": "d", "source_type": "local", "source": '{"uri": "/in"}', "context": "scoring"}
        ],
        **more,
    }


def request(run: dict[str, Any] | None, *, run_id: str = "", points: Any = (), end: Any = None) -> dict[str, Any]:
    return {"run_id": run_id, "run": run, "points": points, "end": end}


def test_a_run_is_written_from_begin_to_end_and_made_once(tracker: Tracker, address: str, folder: Path) -> None:
    (folder / "summary.json").write_text('{"items": 1}')
    errors = "".join(json.dumps({"file": f"{number:09d}", "why": "x" * 4000}) + "\n" for number in range(3000))
    (folder / "errors.jsonl").write_text(errors)
    assert len(errors) > tracking_runs.MOST_ARTIFACT_BYTES
    run = described("once")

    known = tracker.write(request(run, points=[[1_001_000, 1, {"items_succeeded": 1, "errors/Run Failed": 0}]]))
    # Whoever asked was killed before it wrote down which run it is.
    again = tracker.write(request(run, points=[[1_006_000, 6, {"items_succeeded": 7}]]))
    files = {name: str(folder / name) for name in ("summary.json", "errors.jsonl", "missing.txt")}
    end = {"status": "KILLED", "ended": 1_010_000, "tags": {"gristmill.error": "JobCanceled: x"}, "artifacts": files}
    ended = tracker.write(request(None, run_id=again["run_id"], end=end))

    assert known["run_id"] == again["run_id"] == ended["run_id"]
    client = mlflow.MlflowClient(address)
    (found,) = client.search_runs([known["experiment_id"]])
    assert client.get_experiment(known["experiment_id"]).name == "../a strange/name"
    assert (found.info.run_name, found.info.status, found.info.start_time) == ("once", "KILLED", 1_000_000)
    assert (found.info.end_time, len(found.data.params)) == (1_010_000, 121)
    assert (found.data.tags["gristmill.error"], found.data.tags[tracking_runs.CUT_TAG]) == ("JobCanceled: x", "true")
    assert len(found.data.tags["of_mine"]) == 5000
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.source_type) == ("in", "local")
    points = client.get_metric_history(known["run_id"], "items_succeeded")
    assert [(point.timestamp, point.step, point.value) for point in points] == [(1_001_000, 1, 1), (1_006_000, 6, 7)]
    files_there = {item.path for item in client.list_artifacts(known["run_id"])}
    assert files_there == {"summary.json", "errors.jsonl"}
    place = Path(found.info.artifact_uri.removeprefix("file://"))
    assert place.is_relative_to(folder / "mlflow" / "artifacts")
    lines = (place / "errors.jsonl").read_bytes()
    assert 0 < len(lines) <= tracking_runs.MOST_ARTIFACT_BYTES
    assert errors.encode().startswith(lines)
    assert lines.endswith(b"\n")

    # The job is resumed: its run goes on, without its old error.
    tracker.write(request(run, run_id=known["run_id"]))
    resumed = client.get_run(known["run_id"])
    assert resumed.info.status == "RUNNING"
    assert "gristmill.error" not in resumed.data.tags


def test_of_two_made_side_by_side_one_stays(tracker: Tracker, address: str) -> None:
    run = described("twice", experiment="twice")
    first = tracker.write(request(run))
    client = mlflow.MlflowClient(address)
    tags = {tracking_runs.ID_TAG: run["id"]}
    other = client.create_run(first["experiment_id"], tags=tags, start_time=1_000_000).info.run_id

    assert tracker.write(request(run))["run_id"] == min(first["run_id"], other)


def test_a_deleted_run_and_a_deleted_experiment_are_refused(tracker: Tracker, address: str) -> None:
    run = described("deleted", experiment="deleted")
    known = tracker.write(request(run))
    client = mlflow.MlflowClient(address)
    client.delete_run(known["run_id"])
    with pytest.raises(Mistake, match="refuses it"):
        tracker.write(request(None, run_id=known["run_id"], points=[[1, 1, {"x": 1}]]))
    client.delete_experiment(known["experiment_id"])
    with pytest.raises(Mistake, match="experiment_name: deleted is deleted in MLflow"):
        tracker.write(request(described("another", experiment="deleted")))


def test_the_child_leaves_at_once_when_its_owner_lets_it_go(tracker: Tracker) -> None:
    tracker.write(request(described("last", experiment="last")))
    began = time.monotonic()
    process = tracker._process
    tracker.rest()

    assert time.monotonic() - began < 5
    assert process is not None
    assert process.returncode == 0

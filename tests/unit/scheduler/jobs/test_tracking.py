"""Jobs become MLflow runs beside their own life: real jobs, and a tracking server that is away when a test wants it."""

from __future__ import annotations

import threading

import pytest

from gristmill.errors import Conflict, Mistake, StorageFailed
from gristmill_scheduler.jobs.record import Track
from gristmill_scheduler.tracking import tracking as tracking_module

BODY = {"input": {"path": "azureml:data:1"}}
URI = "http://ada:SECRET@mlflow:5000"


class Runs:
    """Keeps runs as `tracking_runs` does: one for each id, whoever asks."""

    def __init__(self) -> None:
        self.runs: dict[str, dict] = {}
        self.fault: Exception | None = None
        self.tries = 0
        self.open = threading.Event()
        self.open.set()
        self.closed = False

    def write(self, request):
        self.tries += 1
        self.open.wait(20)
        if self.fault is not None:
            raise self.fault
        described = request["run"]
        if request["run_id"] in self.runs:
            run = self.runs[request["run_id"]]
        else:
            name = f"run-{described['id']}"
            run = self.runs.setdefault(name, {**described, "run_id": name, "points": [], "begins": 0, "ends": []})
        if described:
            run["begins"] += 1
        run["points"] += request["points"]
        run["ends"] += [request["end"]] if request["end"] else []
        return {"run_id": run["run_id"], "experiment_id": "7", "note": ""}

    def rest(self):
        pass

    def close(self):
        self.closed = True
        self.open.set()

    @property
    def only(self):
        (run,) = self.runs.values()
        return run


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    for name in ("POINT_SECONDS", "AWAY_SECONDS", "STRAY_SECONDS", "_AGAIN_SECONDS", "_WAIT_SECONDS", "_JOB_SECONDS"):
        monkeypatch.setattr(tracking_module, name, 0.02)


@pytest.fixture
def runs():
    return Runs()


@pytest.fixture
def serve(world, runs):
    return lambda **options: world.server(runs=runs, MLFLOW_TRACKING_URI=URI, **options)


def state(jobs, name):
    return jobs._records.get(name).run.get("state")


def written(world, jobs, name, wanted=Track.ENDED):
    world.until(lambda: state(jobs, name) == wanted)


def test_a_job_is_one_run_from_its_begin_to_its_end(world, serve, runs) -> None:
    jobs = serve()
    name = jobs.invoke("e", {**BODY, "experiment_name": "nightly", "tags": {"a": "b"}}, by="ada")["name"]

    world.ends(jobs, name)
    written(world, jobs, name)

    run = runs.only
    assert (run["experiment"], run["name"], run["tags"]["mlflow.user"], run["tags"]["a"]) == (
        "nightly",
        name,
        "ada",
        "b",
    )
    (end,) = run["ends"]
    assert (end["status"], end["artifacts"]) == ("FINISHED", {"summary.json": "s"})
    assert run["points"][-1][2]["items_succeeded"] == 1


def test_metrics_are_written_while_the_job_runs(world, serve, runs) -> None:
    world.nodes.hold.set()
    jobs = serve()
    name = jobs.invoke("e", BODY)["name"]

    world.until(lambda: runs.runs and runs.only["points"])

    assert runs.only["points"][0][2]["items_succeeded"] == 0
    assert runs.only["ends"] == []
    world.nodes.hold.clear()
    world.ends(jobs, name)


def test_the_document_says_where_the_run_is_and_no_secret(world, serve, runs) -> None:
    jobs = serve()
    name = jobs.invoke("e", BODY)["name"]
    world.ends(jobs, name)
    written(world, jobs, name)

    document = jobs.get(name)
    run = runs.only["run_id"]
    assert document["properties"]["mlflow"] == {"run_id": run, "experiment_id": "7", "server": "http://mlflow:5000"}
    assert document["services"]["Tracking"]["endpoint"] == f"http://mlflow:5000/#/experiments/7/runs/{run}"
    assert "SECRET" not in str(document)


@pytest.mark.parametrize(
    "environment", [{}, {"MLFLOW_TRACKING_URI": URI, "GRISTMILL_TRACKING": "off"}], ids=["no address", "off"]
)
def test_without_tracking_nothing_is_written_or_said(world, runs, environment) -> None:
    jobs = world.server(runs=runs, **environment)
    name = jobs.invoke("e", BODY)["name"]

    assert "mlflow" not in world.ends(jobs, name)["properties"]
    assert (runs.tries, jobs._records.get(name).run) == (0, {})
    assert "tracking" not in {thread.name for thread in threading.enumerate()}


def test_a_server_that_is_away_costs_the_job_nothing_and_gets_its_end_later(world, serve, runs) -> None:
    runs.fault = StorageFailed("the tracking server is away")
    jobs = serve()
    name = jobs.invoke("e", BODY)["name"]

    assert world.ends(jobs, name)["status"] == "Completed"
    world.until(lambda: jobs.get(name)["properties"]["mlflow"].get("note") == "the tracking server is away")
    runs.fault = None

    written(world, jobs, name)
    assert runs.only["ends"][0]["status"] == "FINISHED"
    assert "note" not in jobs.get(name)["properties"]["mlflow"]


def test_a_server_that_hangs_holds_no_job_up(world, serve, runs) -> None:
    runs.open.clear()
    jobs = serve()

    assert world.ends(jobs, jobs.invoke("e", BODY)["name"])["status"] == "Completed"


def test_what_is_refused_is_noted_and_not_tried_again(world, serve, runs) -> None:
    runs.fault = Mistake("experiment_name: x is deleted in MLflow")
    jobs = serve()
    name = jobs.invoke("e", BODY)["name"]
    assert world.ends(jobs, name)["status"] == "Completed"
    written(world, jobs, name, Track.REFUSED)
    world.until(lambda: name not in jobs._tracking._works)

    assert jobs.get(name)["properties"]["mlflow"] == {"note": "experiment_name: x is deleted in MLflow"}
    assert runs.tries == 1


def test_a_job_that_was_cancelled_before_it_began_has_its_run(world, serve, runs) -> None:
    world.nodes.open.clear()
    jobs = serve()
    name = jobs.invoke("e", {**BODY, "job_name": "first"})["name"]
    jobs.pause(name)
    jobs.cancel(name)

    written(world, jobs, name)
    assert runs.only["ends"][-1]["status"] == "KILLED"
    assert "was cancelled" in runs.only["ends"][-1]["tags"]["gristmill.error"]


def test_what_a_dead_server_left_unsaid_is_said_by_the_next(world, serve, runs) -> None:
    runs.fault = StorageFailed("away")
    first = serve()
    name = first.invoke("e", BODY)["name"]
    world.ends(first, name)
    first.stop()
    runs.fault = None

    written(world, serve(), name)
    assert len(runs.only["ends"]) == 1


def test_a_job_that_changes_hands_keeps_its_run(world, serve, runs) -> None:
    world.nodes.hold.set()
    first = serve()
    name = first.invoke("e", BODY)["name"]
    world.until(lambda: runs.runs)
    first.stop()
    second = serve()
    world.nodes.hold.clear()

    assert world.ends(second, name)["status"] == "Completed"
    written(world, second, name)
    assert len(runs.only["ends"]) == 1


def test_a_resumed_job_goes_on_in_its_run(world, serve, runs) -> None:
    world.nodes.hold.set()
    jobs = serve()
    name = jobs.invoke("e", BODY)["name"]
    world.until(lambda: runs.runs)
    jobs.cancel(name)
    world.ends(jobs, name)
    written(world, jobs, name)
    world.nodes.hold.clear()

    world.until(lambda: _resumed(jobs, name))
    assert world.ends(jobs, name)["status"] == "Completed"
    written(world, jobs, name)

    assert [end["status"] for end in runs.only["ends"]] == ["KILLED", "FINISHED"]


def _resumed(jobs, name) -> bool:
    try:
        jobs.resume(name)
    except Conflict:
        return False
    return True

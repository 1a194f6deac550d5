from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

import gristmill
from gristmill.request import Request
from gristmill.spec import Job, from_json


def test_the_scheduler_is_given_the_job_whole(fakes: Any, folder: Path) -> None:
    job = gristmill.run(
        folder / "deployment.yml", input=folder / "input", output=folder / "out", overwrite=True, env="inherit"
    ).wait(20)
    command = json.loads(fakes.note("command.json"))
    sent = from_json(Job, command["job"])

    assert command["command"] == "submit"
    assert (sent.name, sent.output.overwrite, sent.environment_mode) == (job.name, True, "inherit")
    assert sent.deployment.compute == f"local-{job.name}"


def test_the_node_has_a_slot_for_each_instance_and_one_for_the_aggregator(fakes: Any, folder: Path) -> None:
    job = gristmill.run(folder / "deployment.yml", input=folder / "input", output=folder / "out").wait(20)

    assert fakes.note("node.argv").splitlines()[:5] == ["--compute", f"local-{job.name}", "--slots", "3", "--owned"]


@pytest.mark.parametrize(
    ("given", "env", "blanks"),
    [
        ({}, "auto", "2"),
        ({"settings.max_concurrency_per_instance": 3}, "auto", "6"),
        ({"environment_variables.TZ": "UTC"}, "auto", None),
        ({"environment.image": "an/image"}, "auto", None),
        ({"environment.image": "an/image"}, "inherit", "2"),
    ],
)
def test_the_node_starts_scorers_ahead_that_need_nothing_of_the_job(
    fakes: Any, folder: Path, given: dict[str, Any], env: str, blanks: str | None
) -> None:
    overrides = [f"{name}={value}" for name, value in given.items()]
    places = {"input": folder / "input", "output": folder / "out"}
    gristmill.run(folder / "deployment.yml", **places, overrides=overrides, env=env).wait(20)
    words = fakes.note("node.argv").splitlines()

    assert words[5:] == ([] if blanks is None else ["--blanks", blanks])


@pytest.mark.parametrize(("env", "blanks"), [("auto", "1"), ("inherit", "1"), ("model", None)])
def test_scorers_of_a_model_without_code_are_started_ahead_unless_their_python_is_to_be_built(
    fakes: Any, folder: Path, env: str, blanks: str | None
) -> None:
    (folder / "model" / "MLmodel").write_text("flavors: {}\n")
    (folder / "deployment.yml").write_text("name: digits\nmodel: {path: model, type: mlflow_model}\n")
    gristmill.run(folder / "deployment.yml", input=folder / "input", output=folder / "out", env=env).wait(20)
    words = fakes.note("node.argv").splitlines()

    assert words[5:] == ([] if blanks is None else ["--blanks", blanks])


def test_a_mistake_starts_nothing(fakes: Any, folder: Path) -> None:
    with pytest.raises(gristmill.InvalidDeployment):
        gristmill.run(folder / "none.yml", input=folder / "input", output=folder / "out")
    with pytest.raises(gristmill.InputNotFound):
        gristmill.run(folder / "deployment.yml", input=folder / "none", output=folder / "out")

    assert list(fakes.notes.iterdir()) == []
    assert not (folder / "out").exists()


def test_an_installation_without_a_node_says_what_is_missing(
    fakes: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.local.requirements.find_spec", lambda _: None)

    with pytest.raises(gristmill.MissingExtra, match=r"pip install 'gristmill\[local\]'"):
        gristmill.run(folder / "deployment.yml", input=folder / "input", output=folder / "out")


def test_a_cancelled_job_is_resumed_from_its_output_folder(
    fakes: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    first = gristmill.run(folder / "deployment.yml", input=folder / "input", output=folder / "out")
    fakes.note("running")
    first.cancel()
    with pytest.raises(gristmill.JobCanceled):
        first.wait(20)
    monkeypatch.setenv("FAKE_SCHEDULER", "completes")
    second = gristmill.resume(folder / "out").wait(20)

    assert (second.name, second.folder, second.resumed) == (first.name, first.folder, True)
    assert second.to_pandas().shape == (2, 3)
    assert json.loads(fakes.note("command.json")) == {
        "command": "resume",
        "folder": first.folder,
        "compute": f"local-{first.name}",
    }
    assert fakes.note("node.argv").splitlines()[3] == "3"


def test_there_is_nothing_to_resume_where_no_job_was(fakes: Any, tmp_path: Path) -> None:
    with pytest.raises(gristmill.JobNotFound):
        gristmill.resume(tmp_path)


def test_every_argument_of_run_is_documented_and_handed_on() -> None:
    names = set(inspect.signature(gristmill.run).parameters)
    documentation = gristmill.run.__doc__ or ""

    assert [name for name in names if f"        {name}: " not in documentation] == []
    assert {"environment_mode" if name == "env" else name for name in names} == set(Request.__dataclass_fields__)

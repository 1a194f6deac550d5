from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill import spec
from gristmill.errors import InputNotFound, InvalidDeployment, Mistake
from gristmill.request import Request, flattened, read_input
from gristmill.spec import InputType, RowFormat


def job(folder: Path, **given: Any) -> spec.Job:
    request = {
        "deployment": str(folder / "deployment.yml"),
        "input": str(folder / "input"),
        "output": str(folder / "out"),
    }
    return Request(**{**request, **given}).job()


def test_a_deployments_file_becomes_a_job(folder: Path) -> None:
    found = job(folder)

    assert found.name.startswith("digits-")
    assert found.deployment.instance_count == 2
    assert found.input == spec.Input(uri=str(folder / "input"))
    assert found.output == spec.Output(folder=str(folder / "out"))
    assert found.submitted > 0


def test_the_jobs_node_is_for_this_job_alone(folder: Path) -> None:
    assert job(folder, job_name="mine").deployment.compute == "local-mine"


def test_overrides_and_settings_win_over_the_file(folder: Path) -> None:
    found = job(
        folder,
        overrides=["settings.mini_batch_size=7"],
        settings={"error_threshold": 3, "retry_settings": {"timeout": 99}, "output_format": "jsonl"},
    ).deployment.settings

    assert (found.mini_batch_size, found.error_threshold, found.retry_settings.timeout) == (7, 3, 99)
    assert found.output_format is RowFormat.JSONL


def test_a_deployment_may_be_a_mapping(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    document = {
        "name": "mapped",
        "type": "model",
        "model": {"path": "model"},
        "code_configuration": {"code": "code", "scoring_script": "batch_driver.py"},
    }
    found = job(folder, deployment=document, settings={"mini_batch_size": 3})

    assert found.name.startswith("mapped-")
    assert found.deployment.settings.mini_batch_size == 3


def test_a_deployment_may_be_one_that_was_read_before(folder: Path) -> None:
    found = job(folder, deployment=spec.Deployment(name="ready"))

    assert found.name.startswith("ready-")


@pytest.mark.parametrize("given", [{"settings": {"a": 1}}, {"overrides": ["a=1"]}, {"model": "m"}])
def test_a_deployment_that_was_read_before_is_not_changed(folder: Path, given: dict[str, Any]) -> None:
    with pytest.raises(Mistake, match="change the Deployment itself"):
        job(folder, deployment=spec.Deployment(), **given)


@pytest.mark.parametrize("name", ["scoring_script", "code", "environment"])
def test_a_deployment_and_its_parts_are_not_given_both(folder: Path, name: str) -> None:
    with pytest.raises(Mistake, match=f"{name}: the deployment says that already"):
        job(folder, **{name: "x"})


def test_a_script_alone_makes_a_deployment_with_a_friendly_output(folder: Path) -> None:
    script = str(folder / "code" / "batch_driver.py")
    found = job(folder, deployment=None, scoring_script=script, model=str(folder / "model"))

    assert found.name.startswith("batch_driver-")
    assert found.deployment.model is not None
    assert found.deployment.model.path == str(folder / "model")
    code = spec.CodeConfiguration(code=str(folder / "code"), scoring_script="batch_driver.py")
    assert found.deployment.code_configuration == code
    settings = found.deployment.settings
    assert (settings.output_format, settings.header, settings.delimiter) == (RowFormat.CSV, True, ",")


def test_a_script_is_found_below_the_code_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = job(folder, deployment=None, scoring_script="code/batch_driver.py", code=".").deployment

    assert found.code_configuration == spec.CodeConfiguration(code=str(folder), scoring_script="code/batch_driver.py")


def test_an_mlflow_model_alone_makes_a_deployment(folder: Path) -> None:
    (folder / "model" / "MLmodel").write_text("flavors: {}\n")
    found = job(folder, deployment=None, model=str(folder / "model"))

    assert found.name.startswith("model-")
    assert found.deployment.code_configuration is None


def test_neither_deployment_nor_model_nor_script_is_refused(folder: Path) -> None:
    with pytest.raises(Mistake, match="deployment: none is given"):
        job(folder, deployment=None)


@pytest.mark.parametrize(("name", "text"), [("r.txt", "numpy\n"), ("conda.yml", "dependencies: [python=3.11]\n")])
def test_an_environment_is_a_requirements_or_a_conda_file(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    script = str(folder / "code" / "batch_driver.py")
    found = job(folder, deployment=None, scoring_script=script, environment=str(folder / name)).deployment.environment

    assert found is not None
    assert (found.requirements, found.conda) == (
        (("numpy",), None) if name == "r.txt" else (None, {"dependencies": ["python=3.11"]})
    )


@pytest.mark.parametrize(
    ("name", "form"), [("s.jsonl", RowFormat.JSONL), ("s.parquet", RowFormat.PARQUET), ("s.csv", RowFormat.CSV)]
)
def test_without_a_deployment_the_outputs_suffix_is_its_format(folder: Path, name: str, form: RowFormat) -> None:
    script = str(folder / "code" / "batch_driver.py")
    found = job(folder, deployment=None, scoring_script=script, output=str(folder / "out" / name))

    assert found.output.folder == str(folder / "out")
    assert (found.deployment.settings.output_file_name, found.deployment.settings.output_format) == (name, form)


def test_an_outputs_file_name_is_the_deployments(folder: Path) -> None:
    found = job(folder, output=str(folder / "scores.csv"))

    assert found.output.folder == str(folder)
    assert found.deployment.settings.output_file_name == "scores.csv"


def test_a_file_name_where_no_file_is_written_is_refused(folder: Path) -> None:
    path = folder / "deployment.yml"
    path.write_text(path.read_text().replace("output_format: csv", "output_action: summary_only"))

    with pytest.raises(Mistake, match="summary_only writes none; give a folder"):
        job(folder, output=str(folder / "s.csv"))


def test_faults_of_a_deployment_are_all_told(folder: Path) -> None:
    with pytest.raises(InvalidDeployment) as caught:
        job(folder, overrides=["settings.mini_batch_size=0", "settings.colour=red"])
    assert len(caught.value.faults) == 2


def test_an_unknown_environment_mode_is_refused(folder: Path) -> None:
    with pytest.raises(Mistake, match="env: 'docker' is unknown; one of auto, inherit, model"):
        job(folder, environment_mode="docker")


def test_the_name_of_a_job_that_exists_is_refused(folder: Path) -> None:
    taken = folder / "out" / ".gristmill" / "mine" / "job.json"
    taken.parent.mkdir(parents=True)
    taken.touch()

    with pytest.raises(Mistake, match="job name: mine is taken"):
        job(folder, job_name="mine")


def test_an_input_says_what_it_is_unless_it_is_said(folder: Path) -> None:
    file = str(folder / "input" / "a.png")

    assert read_input(str(folder / "input"), None).type is InputType.URI_FOLDER
    assert read_input(file, None) == spec.Input(uri=file, type=InputType.URI_FILE)
    assert read_input("https://host/a.csv", None).type is InputType.URI_FOLDER
    assert read_input("https://host/a.csv", "uri_file").type is InputType.URI_FILE


@pytest.mark.parametrize("address", ["nowhere", ""])
def test_an_input_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InputNotFound, match="input: there is nothing at"):
        read_input(address, None)


def test_an_unknown_input_type_is_refused(folder: Path) -> None:
    with pytest.raises(Mistake, match="input_type: 'mltable' is unknown; one of uri_folder, uri_file"):
        read_input(str(folder), "mltable")


def test_settings_become_texts_that_keep_their_type() -> None:
    settings = {"mini_batch_size": 5, "retry_settings": {"timeout": 9}, "delimiter": "\t", "header": True, "x": None}

    assert flattened("settings", settings) == [
        "settings.mini_batch_size=5",
        "settings.retry_settings.timeout=9",
        'settings.delimiter="\\t"',
        "settings.header=true",
        "settings.x=null",
    ]


def test_a_settings_delimiter_arrives_as_it_was_given(folder: Path) -> None:
    assert job(folder, settings={"delimiter": "\t"}).deployment.settings.delimiter == "\t"

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

JOB = {
    "name": "digits-1",
    "status": "Running",
    "detail": "",
    "services": {"Studio": {"endpoint": "http://server/jobs/digits-1"}},
}

FILE = """
inputs:
  digits:
    type: uri_folder
    path: images
outputs:
  score:
    type: uri_file
    path: azureml://datastores/workspaceblobstore/paths/p/scores.csv
deployment: azureml:green
endpoint: azureml:mnist
mini_batch_size: 3
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, service: Any) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("a")
    (tmp_path / "jobs" / "images").mkdir(parents=True)
    (tmp_path / "jobs" / "job.yml").write_text(FILE)
    service.answers["batch_endpoints.invoke"] = JOB
    return tmp_path


@pytest.fixture
def given(does: Any) -> Any:
    """Return what a line of flags hands to the client, without what is not given."""

    def call(words: str, command: str = "batch-endpoint invoke") -> dict[str, Any]:
        ((word, arguments),) = does(f"{command} {words}")
        assert word == "batch_endpoints.invoke"
        return {key: value for key, value in arguments.items() if value is not None}

    return call


def test_the_bare_name_is_printed(run: Any) -> None:
    ran = run("batch-endpoint", "invoke", "-n", "mnist", "--input", "images", "--query", "name", "-o", "tsv")

    assert (ran.code, ran.out) == (0, "digits-1\n")
    assert "gristmill job stream -n digits-1" in ran.err
    assert run("batch-endpoint", "invoke", "-n", "mnist", "--input", "images").document == JOB


def test_a_local_path_is_of_the_working_folder(given: Any, files: Path) -> None:
    assert given("--name mnist --input images --input-type URI_FOLDER") == {
        "endpoint_name": "mnist",
        "inputs": {"input": {"type": "uri_folder", "path": str(files / "images")}},
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("--input azureml:digits:1", {"path": "azureml:digits:1"}),
        ("--input azureml:digits@latest", {"path": "azureml:digits@latest"}),
        ("--input azureml://datastores/d/paths/p", {"path": "azureml://datastores/d/paths/p"}),
        ("--input https://x/y --input-type uri_file", {"path": "https://x/y", "type": "uri_file"}),
        ("--input-data azureml:digits:1", {"path": "azureml:digits:1"}),
        ("--input-dataset azureml:digits:1", {"path": "azureml:digits:1"}),
        ("--input-path https://x/y", {"path": "https://x/y"}),
        ("--input-path folder:https://x/y", {"path": "https://x/y", "type": "uri_folder"}),
        ("--input-path file:https://x/y.csv", {"path": "https://x/y.csv", "type": "uri_file"}),
        ("--input-datastore azureml:d --input-path p/q", {"path": "azureml://datastores/d/paths/p/q"}),
        ("--input-datastore d --input-path /p", {"path": "azureml://datastores/d/paths/p"}),
    ],
)
def test_an_input_in_the_words_of_every_generation(given: Any, words: str, found: dict[str, str]) -> None:
    assert given(f"-n mnist {words}")["inputs"] == {"input": found}


def test_a_local_path_in_the_words_of_2021(given: Any, files: Path) -> None:
    assert given("-n mnist --input-local-path images")["inputs"] == {"input": {"path": str(files / "images")}}


def test_every_flag_arrives(given: Any) -> None:
    found = given(
        "-n mnist -d blue --input azureml:digits:1 -m 20 -c 5 --job-name digits-7 --experiment-name mine -g rg"
        " --set output_file_name=s.csv retry_settings.timeout=60 --set error_threshold=3 --no-wait"
        " --output-path azureml://datastores/d/paths/p"
    )

    assert {key: value for key, value in found.items() if key != "params_override"} == {
        "endpoint_name": "mnist",
        "deployment_name": "blue",
        "inputs": {"input": {"path": "azureml:digits:1"}},
        "outputs": {"output_name": {"type": "uri_file", "path": "azureml://datastores/d/paths/p/"}},
        "job_name": "digits-7",
        "experiment_name": "mine",
    }
    overrides: dict[str, Any] = {}
    for one in found["params_override"]:
        overrides |= one
    assert overrides == {
        "mini_batch_size": 20,
        "compute": {"instance_count": 5},
        "output_file_name": "s.csv",
        "retry_settings": {"timeout": 60},
        "error_threshold": 3,
    }


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("--output-path folder:azureml://datastores/d/paths/p", "azureml://datastores/d/paths/p/"),
        ("--output-datastore azureml:d --output-path p", "azureml://datastores/d/paths/p/"),
        ("--output-datastore d", "azureml://datastores/d/paths/"),
    ],
)
def test_an_output_in_the_words_of_before(given: Any, words: str, path: str) -> None:
    assert given(f"-n mnist --input azureml:d:1 {words}")["outputs"]["output_name"]["path"] == path


def test_named_inputs_are_a_mapping_a_file_or_pairs(given: Any, files: Path) -> None:
    (files / "in.json").write_text('{"a": {"type": "uri_file", "path": "azureml:d:1"}}')

    assert given("-n mnist --inputs @in.json")["inputs"] == {"a": {"type": "uri_file", "path": "azureml:d:1"}}
    assert given("-n mnist --inputs a=azureml:d:1")["inputs"] == {"a": {"path": "azureml:d:1"}}
    assert given('-n mnist --inputs {"a":"azureml:d:1"} --outputs {"s":{"path":"azureml://datastores/d/paths/p"}}')[
        "outputs"
    ] == {"s": {"path": "azureml://datastores/d/paths/p"}}


def test_set_may_name_inputs_and_outputs(given: Any) -> None:
    found = given(
        "-n mnist --set inputs.heart.type=uri_file inputs.heart.path=azureml:h:1 outputs.o.path=azureml://datastores/d/paths/p"
    )

    assert found["inputs"] == {"heart": {"type": "uri_file", "path": "azureml:h:1"}}
    assert found["outputs"] == {"o": {"path": "azureml://datastores/d/paths/p"}}


def test_a_file_names_endpoint_deployment_and_paths_beside_it(given: Any, files: Path) -> None:
    assert given("--f jobs/job.yml") == {
        "endpoint_name": "mnist",
        "deployment_name": "green",
        "inputs": {"digits": {"type": "uri_folder", "path": str(files / "jobs" / "images")}},
        "outputs": {
            "score": {"type": "uri_file", "path": "azureml://datastores/workspaceblobstore/paths/p/scores.csv"}
        },
        "params_override": [{"mini_batch_size": 3}],
    }


def test_flags_win_over_the_file(given: Any) -> None:
    found = given("-f jobs/job.yml -n other -d blue --input azureml:d:1 -m 9")

    assert (found["endpoint_name"], found["deployment_name"]) == ("other", "blue")
    assert found["inputs"] == {"input": {"path": "azureml:d:1"}}
    assert found["params_override"] == [{"mini_batch_size": 9}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--input azureml:d:1", "say which endpoint"),
        ("-n m --input a --input-data b", "give one of them"),
        ("-n m --input azureml:d:1 --inputs a=azureml:d:1", "--inputs"),
        ("-n m --input-type uri_file", "--input-type"),
        ("-n m --input-type mltable", "invalid choice"),
        ("-n m --input-datastore d", "--input-path"),
        ("-n m --input nothing", "no such file or folder"),
        ("-n m --input azureml:d:1 --output-path out", "Not a valid output_path, it should start with 'azureml:'"),
        ("-n m --inputs a", "NAME=PATH"),
        ("-n m --inputs [1]", "NAME=PATH"),
        ("-n m --inputs {", "not a JSON mapping"),
        ("-n m --inputs @nothing", "cannot be read"),
        ("-n m --set inputs.mode.default=append", "The specified job input type 'LiteralJobInput' is not supported."),
        ("-n m --input azureml:d:1 --set colour=red", "Unknown field."),
        ("-n m --input azureml:d:1 -m many", "invalid int value"),
        ("-n m -f nothing.yml", "no such file"),
        (
            "-n m --input-path folder:",
            "Input path can't be empty for batch endpoint invoke: give a path after --input-path folder:",
        ),
        ("-n m --input=", "Input path can't be empty for batch endpoint invoke: give a path with --input"),
        ("-n m", "Input path can't be empty for batch endpoint invoke: say what is scored: --input"),
    ],
)
def test_what_cannot_be_begins_no_job(run: Any, service: Any, words: str, message: str) -> None:
    ran = run("batch-endpoint", "invoke", *words.split())

    assert (ran.code, service.calls) == (2, [])
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_the_group_of_2021_begins_jobs_too(given: Any) -> None:
    words = "--type batch --name mnist --input-data azureml:taxi:1 --output-datastore azureml:workspaceblobstore"
    found = given(f"{words} --output-path mine --mini-batch-size 2 --set output_file_name=x.csv", "endpoint invoke")

    assert found["inputs"] == {"input": {"path": "azureml:taxi:1"}}
    assert found["outputs"]["output_name"]["path"] == "azureml://datastores/workspaceblobstore/paths/mine/"

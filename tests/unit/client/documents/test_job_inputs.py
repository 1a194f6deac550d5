from __future__ import annotations

import pytest

from gristmill.documents import load_job_inputs


def test_inputs_and_outputs_are_read(write, place):
    text = """\
endpoint: azureml:MNIST-Batch
deployment: Torch
job_name: j
experiment_name: e
inputs:
  pictures: {type: uri_folder, path: ./data, mode: ro_mount}
  list: {type: UriFile, path: azureml:digits:1}
outputs:
  score: {type: uri_file, path: azureml://datastores/workspaceblobstore/paths/out/scores.csv, mode: rw_mount}
mini_batch_size: "5"
compute: {instance_count: 2}
retry_settings: {max_retries: 1}
"""
    assert load_job_inputs(write(text)) == {
        "endpoint": "mnist-batch",
        "deployment": "torch",
        "job_name": "j",
        "experiment_name": "e",
        "inputs": {
            "pictures": {"type": "uri_folder", "path": str(place / "data")},
            "list": {"type": "uri_file", "path": "azureml:digits:1"},
        },
        "outputs": {
            "score": {"type": "uri_file", "path": "azureml://datastores/workspaceblobstore/paths/out/scores.csv"}
        },
        "mini_batch_size": 5,
        "compute": {"instance_count": 2},
        "retry_settings": {"max_retries": 1},
    }


@pytest.mark.parametrize(
    "path",
    [
        "azureml:digits@latest",
        "azureml://datastores/d/paths/p",
        "https://host/data/",
        "/subscriptions/s/data/d/versions/1",
        "s3://b/k",
    ],
)
def test_an_input_elsewhere_is_left_to_the_server(write, path):
    found = load_job_inputs(write(f"inputs: {{x: {{path: '{path}'}}}}\n"))
    assert found == {"inputs": {"x": {"path": path}}}


def test_a_name_and_a_version_that_are_no_file_are_a_data_asset(write):
    found = load_job_inputs(write("inputs: {x: {path: 'digits:1'}, y: {path: digits@latest}}\n"))
    assert [one["path"] for one in found["inputs"].values()] == ["azureml:digits:1", "azureml:digits@latest"]


@pytest.mark.parametrize(
    ("value", "kind", "literal"),
    [("append", "string", "append"), ("5", "integer", 5), ("0.5", "number", 0.5), ("true", "boolean", True)],
)
def test_a_value_alone_is_a_literal(write, value, kind, literal):
    expected = {"inputs": {"mode": {"type": kind, "default": literal}}}
    assert load_job_inputs(write(f"inputs: {{mode: {value}}}\n")) == expected
    assert load_job_inputs(write(f"inputs: {{mode: {{type: {kind}, default: {value}}}}}\n")) == expected


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("inputs: {x: {path: gone}}", "inputs.x.path", "no such file or folder: "),
        ("inputs: {x: {type: uri_folder}}", "inputs.x", "an input has a path, or a default"),
        ("inputs: {x: {path: data, default: 1}}", "inputs.x", "an input has a path, or a default"),
        ("inputs: {x: {type: table, path: data}}", "inputs.x.type", "Value 'table' passed is not in set"),
        ("inputs: {x: {pth: data}}", "inputs.x.pth", "Unknown field. Did you mean path?"),
        ("inputs: {x: [data]}", "inputs.x", "Not a valid mapping type. Found a list"),
        ("inputs: {x: }", "inputs.x", "Field may not be null."),
        ("inputs: data", "inputs", "Not a valid mapping type. Found 'data'"),
        ("outputs: {x: data}", "outputs.x", "Not a valid mapping type."),
        ("input: data", "input", "Unknown field. Did you mean inputs?"),
        ("settings: {}", "settings", "Unknown field. They belong at the file's root here"),
        ("mini_batch_size: 0", "mini_batch_size", "0 is out of range"),
        ("endpoint: a b", "endpoint", "String does not match expected pattern."),
    ],
)
def test_a_jobs_file_is_refused(refused, text, field, message):
    found = {fault.field: fault.message for fault in refused(load_job_inputs, text + "\n")}
    assert found[field].startswith(message)


def test_nothing_is_nothing():
    assert load_job_inputs({}) == {}


def test_set_reaches_a_job(write):
    found = load_job_inputs(write("endpoint: abc\n"), overrides=["inputs.x.path=azureml:d:1", "error_threshold=3"])
    assert found == {"endpoint": "abc", "inputs": {"x": {"path": "azureml:d:1"}}, "error_threshold": 3}

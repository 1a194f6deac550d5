from __future__ import annotations

import pytest

from gristmill.errors import Mistake
from gristmill.spec import InputType
from gristmill_scheduler.jobs.invoke import read_body

DATA = "azureml:heart:1"
LITERAL = (
    "The specified job input type 'LiteralJobInput' is not supported. "
    "The supported types are: UriFileJobInput, UriFolderJobInput."
)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"properties": {"InputData": {"mnist": {"JobInputType": "UriFolder", "Uri": DATA}}}}, InputType.URI_FOLDER),
        ({"properties": {"inputData": {"uriFile": {"uri": DATA, "jobInputType": "UriFile"}}}}, InputType.URI_FILE),
        ({"properties": {"inputData": {"uriFile": {"uri": DATA}}}}, InputType.URI_FILE),
        ({"inputData": {"UriFolder": {"jobInputType": "UriFolder", "uri": DATA}}}, InputType.URI_FOLDER),
        ({"properties": {"dataset": {"dataInputType": "DataUrl", "Path": DATA}}}, None),
        ({"properties": {"dataset": {"datasetName": "heart", "datasetVersion": "1"}}}, None),
        ({"input": {"type": "uri_file", "path": DATA}}, InputType.URI_FILE),
        ({"input": {"path": DATA}, "input_type": "uri_folder"}, InputType.URI_FOLDER),
        ({"input": DATA}, None),
        ({"inputs": {"whatever": {"path": DATA}}}, None),
    ],
)
def test_every_dialect_names_the_same_input(body, kind) -> None:
    asked = read_body(body)

    assert (asked.input.path, asked.input.type) == (DATA, kind)


@pytest.mark.parametrize(
    "given",
    [
        {"score_mode": {"jobInputType": "Literal", "value": "append"}},
        {"score_mode": {"value": "append"}},
        {"n": 5},
        {"n": True},
        {"n": {"type": "string", "default": "x"}},
    ],
)
def test_a_literal_input_is_refused_in_azures_words(given) -> None:
    with pytest.raises(Mistake) as caught:
        read_body({"inputs": given})

    assert caught.value.message == LITERAL


@pytest.mark.parametrize("kind", ["mltable", "MLTable", "mlflow_model", "nonsense"])
def test_an_input_that_is_no_file_or_folder_is_refused(kind) -> None:
    with pytest.raises(Mistake, match=r"JobInput' is not supported\. The supported types are: UriFileJobInput, Uri"):
        read_body({"input": {"type": kind, "path": DATA}})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "input: none is given"),
        ([], "body: .* is no object"),
        ({"inputs": {"a": {"path": "x"}, "b": {"path": "y"}}}, "exactly one data input; 2 are given: a, b"),
        ({"input": {"path": "x"}, "dataset": {"path": "y"}}, "exactly one data input; 2 are given"),
        ({"input": {"path": ""}}, "Input path can't be empty for batch endpoint invoke"),
        ({"input": {"path": 5}}, "input.uri: 5 is no text"),
        ({"inputs": ["x"]}, "inputs: .* is no object"),
        ({"input": DATA, "inputData": {}, "input_data": {}}, "given twice"),
        ({"input": DATA, "colour": "red"}, "colour: is unknown"),
        ({"input": DATA, "job_name": "../x"}, "job name '../x'"),
        ({"input": DATA, "outputs": {"a": {"path": "x"}, "b": {"path": "y"}}}, "one output, and 2 are given: a, b"),
        ({"input": DATA, "outputs": {"a": {"path": ""}}}, "a: an output's path is empty"),
        ({"input": DATA, "tags": ["x"]}, "tags: .* is no object"),
        ({"input": DATA, "tags": {"x": {}}}, "tags.x: {} is no text"),
        ({"input": DATA, "mini_batch_size": "many"}, "mini_batch_size|minibatchsize: 'many' is no whole number"),
    ],
)
def test_what_cannot_be_done_is_refused_and_named(body, words) -> None:
    with pytest.raises(Mistake, match=words):
        read_body(body)


@pytest.mark.parametrize("kind", ["uri_folder", "UriFolder", "mltable"])
def test_an_output_that_is_no_file_is_refused_in_azures_words(kind) -> None:
    with pytest.raises(Mistake) as caught:
        read_body({"input": DATA, "outputs": {"score": {"type": kind, "path": "azureml://datastores/d/paths/x"}}})

    assert caught.value.message == "Job output type must be 'uri_file'."


@pytest.mark.parametrize(
    "given",
    [
        {"outputData": {"any": {"jobOutputType": "UriFile", "Uri": "azureml://datastores/d/paths/a/b.csv"}}},
        {"output_path": "azureml://datastores/d/paths/a/b.csv"},
        {"output": "azureml://datastores/d/paths/a/b.csv"},
        {"outputDataset": {"datastoreId": "/subscriptions/x/datastores/d", "path": "a/b.csv"}},
    ],
)
def test_every_dialect_names_the_same_output(given) -> None:
    output = read_body({"input": DATA, **given}).output

    assert output is not None
    assert output.path == "azureml://datastores/d/paths/a/b.csv"


def test_what_azures_sdk_sends_is_understood() -> None:
    asked = read_body(
        {
            "properties": {
                "name": "my-job",
                "inputData": {"UriFolder": {"jobInputType": "UriFolder", "uri": DATA}},
                "compute": {"isLocal": True, "instanceCount": "3"},
                "miniBatchSize": 20,
                "retrySettings": {"maxRetries": 5, "timeout": "PT5M"},
                "errorThreshold": -1,
                "outputFileName": "out.csv",
                "properties": {"experimentName": "tests"},
            }
        }
    )

    assert (asked.job_name, asked.experiment_name) == ("my-job", "tests")
    assert set(asked.overrides) == {
        "resources.instance_count=3",
        "settings.mini_batch_size=20",
        "settings.retry_settings.max_retries=5",
        "settings.retry_settings.timeout=300",
        "settings.error_threshold=-1",
        'settings.output_file_name="out.csv"',
    }


def test_our_own_form_carries_everything_else() -> None:
    asked = read_body(
        {
            "input": {"type": "uri_file", "path": "x"},
            "job_name": "j",
            "experiment_name": "e",
            "display_name": "D",
            "description": "what",
            "deployment_name": "blue",
            "tags": {"n": 5, "yes": True},
            "overrides": {"mini_batch_size": 3},
        }
    )

    assert (asked.job_name, asked.experiment_name, asked.display_name) == ("j", "e", "D")
    assert (asked.description, asked.deployment) == ("what", "blue")
    assert asked.tags == {"n": "5", "yes": "true"}
    assert asked.overrides == ("settings.mini_batch_size=3",)

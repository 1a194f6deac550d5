from __future__ import annotations

import pytest

from gristmill.documents import EndpointFile, load_endpoint
from gristmill.errors import InvalidDocument


def test_an_endpoint_is_read_in_the_files_own_words(write):
    path = write(
        "$schema: x\nname: MNIST-Batch\ndescription: digits\ntags: {team: a, n: 1.10}\nproperties: {a: b}\n"
        "auth_mode: AAD_Token\ndefaults: {deployment_name: Torch}\nlocation: eastus\nidentity: {type: none}\n"
    )
    assert load_endpoint(path) == EndpointFile(
        endpoint={
            "name": "mnist-batch",
            "description": "digits",
            "tags": {"team": "a", "n": "1.10"},
            "properties": {"a": "b"},
            "auth_mode": "aad_token",
            "defaults": {"deployment_name": "torch"},
        }
    )


def test_a_name_alone_is_an_endpoint():
    assert load_endpoint({}, name="batch").endpoint == {"name": "batch"}


def test_a_path_may_be_a_text(write):
    assert load_endpoint(str(write("name: abc\n"))).endpoint == {"name": "abc"}


def test_the_name_that_is_told_wins_over_the_files_and_over_set(write):
    assert load_endpoint(write("name: a\n"), name="told", overrides=["name=set"]).endpoint == {"name": "told"}


def test_what_a_server_shows_can_be_given_back():
    shown = {
        "id": "/batchEndpoints/abc",
        "name": "abc",
        "scoring_uri": "https://x/batchEndpoints/abc/jobs",
        "openapi_uri": "x",
        "provisioning_state": "Succeeded",
        "creation_context": {"created_at": "2026-01-01T00:00:00Z"},
    }
    assert load_endpoint(shown).endpoint == {"name": "abc"}


def test_set_makes_what_is_not_there(write):
    found = load_endpoint(write("name: abc\n"), overrides=["defaults.deployment_name=d-2", "tags.a=b"])
    assert found.endpoint == {"name": "abc", "defaults": {"deployment_name": "d-2"}, "tags": {"a": "b"}}


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("description: x", "name", "Missing data for required field. Give it in the file, or as --name"),
        ("name: 1a", "name", "String does not match expected pattern. Found '1a'"),
        ("name: a b c", "name", "String does not match expected pattern."),
        ("name: ab", "name", "The name for an endpoint must be at least 3 and at most 32 characters long"),
        ("name: " + "a" * 33, "name", "The name for an endpoint must be at least 3 and at most 32 characters long"),
        ("name: [abc]", "name", "Not a valid string."),
        ("name: abc\nauth_mode: key", "auth_mode", "Value 'key' passed is not in set ['aad_token']."),
        ("name: abc\nauth_mode: aml_token", "auth_mode", "Value 'aml_token' passed is not in set"),
        ("name: abc\ntraffic: {d: 100}", "traffic", "Unknown field. That is the 2021 form; write defaults:"),
        ("name: abc\ntype: model", "type", "Unknown field. Only the 2021 form has it, as type: batch; leave it out"),
        ("name: abc\ndeployments: []", "deployments", "Unknown field. That is the 2021 form; write one file"),
        ("name: abc\ndefaults: d", "defaults", "Not a valid mapping type."),
        ("name: abc\ndefaults: {deployment: d}", "defaults.deployment", "Unknown field. Did you mean deployment_name?"),
        ("name: abc\ndescriptoin: d", "descriptoin", "Unknown field. Did you mean description?"),
        ("name: abc\ntags: [a]", "tags", "Not a valid mapping type."),
        ("name: abc\nname: abc", "name", "the key stands twice, first in line 1"),
        ("- a", "", "found a list where a YAML mapping"),
    ],
)
def test_an_endpoint_is_refused(refused, text, field, message):
    (fault,) = refused(load_endpoint, text + "\n")
    assert fault.field == field
    assert fault.message.startswith(message)


def test_all_faults_of_a_file_come_at_once_with_their_lines(refused):
    found = refused(load_endpoint, "name: a\nauth_mode: key\nnmae: x\n")
    assert [(fault.line, fault.field) for fault in found] == [(1, "name"), (2, "auth_mode"), (3, "nmae")]


def test_a_message_names_the_file_or_says_endpoint(write):
    path = write("nmae: x\n")
    with pytest.raises(InvalidDocument, match=r"file\.yml: 2 faults"):
        load_endpoint(path)
    with pytest.raises(InvalidDocument, match=r"^endpoint: name: Missing data"):
        load_endpoint({})


OF_2021 = """\
name: MyBatchEdp
description: old
type: batch
auth_mode: aad_token
traffic: {Autolog-Deployment: 100}
deployments:
  - name: Autolog-Deployment
    model: {name: autolog, version: 1, local_path: ./mlflow}
    compute: {target: azureml:cpu-cluster, instance_count: 1}
    mini_batch_size: 1
    output_file_name: predictions.csv
    retry_settings: {max_retries: 3, timeout: 30}
    error_threshold: -1
    logging_level: info
"""


def test_an_endpoint_of_2021_is_an_endpoint_with_its_deployments(write, place):
    found = load_endpoint(write(OF_2021))
    assert found.endpoint == {
        "name": "mybatchedp",
        "description": "old",
        "auth_mode": "aad_token",
        "defaults": {"deployment_name": "autolog-deployment"},
    }
    (deployment,) = found.deployments
    assert deployment == {
        "name": "autolog-deployment",
        "endpoint_name": "mybatchedp",
        "type": "model",
        "model": {"name": "autolog", "version": "1", "path": str(place / "mlflow"), "type": "mlflow_model"},
        "compute": "azureml:cpu-cluster",
        "resources": {"instance_count": 1},
        "settings": {
            "mini_batch_size": 1,
            "output_file_name": "predictions.csv",
            "retry_settings": {"max_retries": 3, "timeout": 30},
            "error_threshold": -1,
            "logging_level": "info",
        },
    }


def test_deployments_of_2021_may_stand_by_name(write):
    text = "name: abc\ntype: batch\ndeployments:\n  one: {model: azureml:m:1}\n  two: {model: azureml:m:2}\n"
    found = load_endpoint(write(text), name="told")
    names = [(item["endpoint_name"], item["name"]) for item in found.deployments]
    assert names == [("told", "one"), ("told", "two")]
    assert found.endpoint == {"name": "told"}


def test_traffic_that_sends_nothing_anywhere_makes_no_default(write):
    text = "name: abc\ntype: batch\ntraffic: {one: 0}\ndeployments:\n  - {name: one, model: azureml:m:1}\n"
    assert load_endpoint(write(text)).endpoint == {"name": "abc"}


def test_traffic_may_name_a_deployment_that_is_there_already(write):
    endpoint = load_endpoint(write("name: abc\ntype: batch\ntraffic: {one: 100}\n")).endpoint
    assert endpoint["defaults"] == {"deployment_name": "one"}


@pytest.mark.parametrize(
    ("old", "new", "field", "message"),
    [
        ("Deployment: 100", "Deployment: 50", "traffic.Autolog-Deployment", "50 cannot be; a batch deployment has"),
        ("Deployment: 100", "Deployment: 100, x-y: 100", "traffic.x-y", "Autolog-Deployment has 100 already"),
        ("Deployment: 100", "Deployment: all", "traffic.Autolog-Deployment", "Not a valid integer."),
        ("{Autolog-Deployment: 100}", "{other: 100}", "traffic.other", "other is not among the file's deployments"),
        ("traffic", "defaults: {deployment_name: autolog-deployment}\ntraffic", "traffic.Autolog-Deployment", "defaul"),
        ("mini_batch_size: 1", "mini_batch_size: 0", "deployments[0].mini_batch_size", "0 is out of range"),
        ("./mlflow", "./gone", "deployments[0].model.local_path", "no such file or folder"),
        ("name: Autolog-Deployment", "name: x", "deployments[0].name", "The name for a deployment must be"),
        ("type: batch", "type: batch\ncompute: x", "compute", "Unknown field. It is a deployment's key"),
    ],
)
def test_an_endpoint_of_2021_is_refused(refused, old, new, field, message):
    assert old in OF_2021
    found = {fault.field: fault.message for fault in refused(load_endpoint, OF_2021.replace(old, new))}
    assert found[field].startswith(message)


def test_two_deployments_of_one_name_are_refused(refused):
    text = "name: abc\ntype: batch\ndeployments:\n  - &d {name: one, model: azureml:m:1}\n  - *d\n"
    (fault,) = refused(load_endpoint, text)
    assert (fault.line, fault.message) == (3, "one stands twice; give each its own name")


def test_another_type_than_batch_is_not_of_2021(refused):
    found = refused(load_endpoint, OF_2021.replace("type: batch", "type: online"))
    assert {fault.field for fault in found} == {"type", "traffic", "deployments"}

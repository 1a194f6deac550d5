from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gristmill import spec
from gristmill.deployment import build_deployment
from gristmill.errors import InvalidDeployment

NO_CODE = "model: {path: mlflow}\n"


def built(document: Any, **options: Any) -> spec.Deployment:
    return build_deployment(document, source="the call", folder=Path("/nowhere"), **options)


def refused(document: Any, **options: Any) -> str:
    with pytest.raises(InvalidDeployment) as caught:
        built(document, **options)
    return caught.value.message


def test_the_least_deployment_has_every_default(load, deployment_folder):
    model = spec.Model(path=str(deployment_folder / "mlflow"), type=spec.ModelType.MLFLOW)
    assert load(NO_CODE) == spec.Deployment(model=model, settings=spec.Settings(delimiter=","))


def test_texts_of_the_root_are_taken(load):
    text = "name: Abc-1\nendpoint_name: EP-x\ndescription: For people\ntags: {a: 1}\nproperties: {b: yes}\nid: /x\n"
    deployment = load(NO_CODE + text)
    assert (deployment.name, deployment.endpoint_name) == ("abc-1", "ep-x")
    assert (deployment.description, deployment.tags, deployment.properties) == ("For people", {"a": "1"}, {"b": "yes"})


@pytest.mark.parametrize("key", ["name", "endpoint_name"])
@pytest.mark.parametrize("name", ["-ab", "ab-", "1ab", "a_b", "a b", "äbc", "a.b", "''"])
def test_a_name_outside_the_pattern_is_refused(faults, key, name):
    (fault,) = faults(f"{NO_CODE}{key}: {name}\n")
    assert (2, key) == (fault.line, fault.field)
    assert fault.message.startswith("String does not match expected pattern. Found ")


@pytest.mark.parametrize(("key", "what"), [("name", "a deployment"), ("endpoint_name", "an endpoint")])
@pytest.mark.parametrize("name", ["ab", "a" * 33])
def test_a_name_too_short_or_too_long_is_refused(faults, key, what, name):
    (fault,) = faults(f"{NO_CODE}{key}: {name}\n")
    sentence = f"The name for {what} must be at least 3 and at most 32 characters long (inclusive of both limits)."
    assert fault.message == f"{sentence} Found '{name}' with {len(name)}"


@pytest.mark.parametrize("name", ["abc", "a" * 32, "a-b", "A1c"])
def test_a_name_within_the_rules_is_taken(load, name):
    assert load(f"{NO_CODE}name: {name}\n").name == name.lower()


def test_names_are_required_where_asked_for(faults):
    found = faults(f"\n{NO_CODE}", require_names=True)
    assert [(fault.field, fault.line) for fault in found] == [("name", 2), ("endpoint_name", 2)]
    assert all(fault.message.startswith("Missing data for required field.") for fault in found)


def test_names_given_by_set_are_given(load):
    overrides = ["name=abc", "endpoint_name=def"]
    assert load(NO_CODE, require_names=True, overrides=overrides).name == "abc"


@pytest.mark.parametrize(
    ("compute", "name"),
    [("azureml:cpu-cluster", "cpu-cluster"), ("cpu-cluster", "cpu-cluster"), ("local", "local"),
     ("azureml:local", "local"), ("/subscriptions/s/resourceGroups/r/x/y/computes/c1", "c1")],
)  # fmt: skip
def test_compute_is_a_name_with_or_without_azureml(load, compute, name):
    assert load(f"{NO_CODE}compute: {compute}\n").compute == name


@pytest.mark.parametrize("compute", ["'azureml:'", "azureml:a:1", "a b", "''", "'-a'", "../x"])
def test_compute_that_is_no_name_is_refused(faults, compute):
    (fault,) = faults(f"{NO_CODE}compute: {compute}\n")
    assert fault.message.endswith("is no compute; write azureml:<name>, <name>, or local")


@pytest.mark.parametrize("key", ["name", "endpoint_name", "description", "compute"])
def test_a_number_is_no_text(faults, key):
    (fault,) = faults(f"{NO_CODE}{key}: 12\n")
    assert fault.message == 'Not a valid string. Found 12; in quotes it is a text: "12"'


@pytest.mark.parametrize("key", ["name", "description", "model", "settings", "resources", "code_configuration", "tags"])
def test_a_key_without_a_value_is_refused(faults, key):
    found = faults(f"model: {{path: mlflow}}\n{key}:\n" if key != "model" else "model:\n")
    assert any(fault.message.startswith("Field may not be null.") for fault in found if fault.field == key)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("modle", "Did you mean model?"),
        ("enviroment", "Did you mean environment?"),
        ("mini_batch_size", "It belongs beneath settings: settings.mini_batch_size"),
        ("timeout", "It belongs beneath settings: settings.retry_settings.timeout"),
        ("scoring_script", "It belongs beneath code_configuration"),
        ("auth_mode", "It is an endpoint's key; give the deployment's file"),
        ("component", "Only pipeline deployments have it; Gristmill scores models"),
    ],
)
def test_an_unknown_key_is_refused_with_the_way_out(faults, key, hint):
    (fault,) = faults(f"type: model\n{NO_CODE}{key}: 1\n")
    assert (3, key, f"Unknown field. {hint}") == (fault.line, fault.field, fault.message)


def test_all_faults_come_at_once_in_the_order_of_the_file(faults):
    text = (
        "name: -x\n"
        "modle: 1\n"
        "model:\n"
        "  path: gone\n"
        "  type: foo\n"
        "code_configuration:\n"
        "  code: code\n"
        "environment:\n"
        "  image: 5\n"
        "  docker: {image: x}\n"
        "settings:\n"
        "  mini_batch_size: 0\n"
        "  retry_settings:\n"
        "    timeout: x\n"
        "  header: maybe\n"
    )
    expected = [
        (1, "name"),
        (2, "modle"),
        (4, "model.path"),
        (5, "model.type"),
        (6, "code_configuration.scoring_script"),
        (9, "environment.image"),
        (10, "environment.docker"),
        (12, "settings.mini_batch_size"),
        (14, "settings.retry_settings.timeout"),
        (15, "settings.header"),
    ]
    assert [(fault.line, fault.field) for fault in faults(text)] == expected


def test_the_message_lists_every_fault_in_a_line_of_its_own(load):
    with pytest.raises(InvalidDeployment) as caught:
        load("name: x\nmodel: m:1\n")
    first, *rest = caught.value.message.splitlines()
    assert first.endswith("deployment.yml: 2 faults")
    assert [line[:8] for line in rest] == ["  line 1", "  line 2"]


def test_a_mapping_is_read_as_a_file_is(deployment_folder):
    document = {"name": "abc", "model": {"path": "mlflow"}, "settings": {"mini_batch_size": 3}}
    deployment = build_deployment(document, source="x", folder=deployment_folder)
    assert (deployment.name, deployment.settings.mini_batch_size) == ("abc", 3)


def test_a_mapping_may_hold_settings_at_its_root(deployment_folder):
    document = {"model": {"path": "mlflow"}, "mini_batch_size": 3, "output_format": "parquet"}
    settings = build_deployment(document, source="x", folder=deployment_folder).settings
    assert (settings.mini_batch_size, settings.output_format) == (3, spec.RowFormat.PARQUET)


def test_a_fault_of_a_mapping_has_no_line():
    assert refused({"model": "azureml:m:1", "name": "x!"}).startswith("the call: name: String does not match")


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, 3 + 4j, 10**40, "\ud800"])
def test_a_python_value_that_yaml_does_not_know_is_refused(value):
    assert refused({"description": value}).startswith("the call: description: ")


def test_a_python_key_that_is_no_text_is_refused():
    assert "the key 1 is not a text" in refused({"tags": {1: "a"}})


def test_a_python_mapping_that_holds_itself_is_refused():
    document: dict[str, Any] = {}
    document["tags"] = document
    assert "nested deeper than 40 levels" in refused(document)


@pytest.mark.parametrize("document", [None, [], "text", 5])
def test_what_is_no_mapping_is_refused(document):
    assert "where a mapping is needed" in refused(document)


def test_a_deployment_survives_the_way_through_json(load):
    text = (
        "model: {path: model, name: m, version: 1.10}\n"
        "code_configuration: {code: code, scoring_script: batch_driver.py}\n"
        "environment: {conda_file: environment/conda.yaml}\n"
    )
    deployment = load(text)
    assert spec.from_json(spec.Deployment, json.loads(json.dumps(spec.to_json(deployment)))) == deployment


def test_a_fault_stays_in_its_line_whatever_the_file_holds(faults):
    for fault in faults('"a\\nb": 1\n"\\e[31m": 1\nname: "x\\ny"\ncompute: "\\u2028"\n' + NO_CODE):
        assert str(fault).isprintable()


def test_secrets_in_an_address_are_not_shown(faults):
    (fault,) = faults("model: https://user:hush@host/m?sig=secret\n")
    assert "hush" not in fault.message
    assert "secret" not in fault.message
    assert "https://***@host/m?***" in fault.message

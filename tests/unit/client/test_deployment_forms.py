from __future__ import annotations

import pytest

from gristmill import spec

CODE = "code_configuration: {code: code, scoring_script: batch_driver.py}\n"
FLAT = (
    "max_concurrency_per_instance: 2\nmini_batch_size: 5\noutput_action: append_row\noutput_file_name: a.csv\n"
    "retry_settings: {max_retries: 1, timeout: 300}\nerror_threshold: 7\nlogging_level: info\n"
)


@pytest.mark.parametrize("word", ["model", "Model", "MODEL"])
def test_type_model_is_the_current_form(load, word):
    assert load(f"{CODE}type: {word}\nsettings: {{mini_batch_size: 5}}\n").settings.mini_batch_size == 5


def test_settings_without_type_are_the_current_form(load):
    assert load(f"{CODE}settings: {{mini_batch_size: 5}}\n").settings.mini_batch_size == 5


def test_settings_at_the_root_are_the_flat_form(load):
    expected = spec.Settings(
        max_concurrency_per_instance=2,
        mini_batch_size=5,
        output_file_name="a.csv",
        retry_settings=spec.RetrySettings(max_retries=1, timeout=300),
        error_threshold=7,
    )
    assert load(CODE + FLAT).settings == expected


@pytest.mark.parametrize("current", ["type: model\n", "settings: {}\n"])
def test_settings_at_the_root_of_the_current_form_are_refused(faults, current):
    found = faults(f"{CODE}{current}mini_batch_size: 5\nlogging_level: info\n")
    assert [fault.field for fault in found] == ["mini_batch_size", "logging_level"]
    assert found[0].message == "Unknown field. It belongs beneath settings: settings.mini_batch_size"


def test_a_fault_of_the_flat_form_has_the_field_that_the_file_shows(faults):
    found = faults(f"{CODE}mini_batch_size: 0\nretry_settings:\n  timeout: x\n")
    assert [(fault.line, fault.field) for fault in found] == [(2, "mini_batch_size"), (4, "retry_settings.timeout")]


@pytest.mark.parametrize("name", ["settings.mini_batch_size", "mini_batch_size"])
@pytest.mark.parametrize("file", ["", "mini_batch_size: 3\n"])
def test_set_reaches_the_flat_form_by_both_names(load, name, file):
    assert load(CODE + file, overrides=[f"{name}=50"]).settings.mini_batch_size == 50


def test_set_reaches_deep_into_the_flat_form(load):
    text = f"{CODE}retry_settings: {{max_retries: 5}}\n"
    settings = load(text, overrides=["settings.retry_settings.timeout=9"]).settings
    assert settings.retry_settings == spec.RetrySettings(max_retries=5, timeout=9)


def test_a_pipeline_is_refused_as_a_whole(faults):
    (fault,) = faults("name: x\ntype: Pipeline\ncomponent: azureml:c@latest\nsettings: {default_compute: a}\n")
    assert (fault.line, fault.field) == (2, "type")
    assert fault.message == "pipeline deployments are not run; Gristmill scores models: write type: model"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: x\ntraffic: {a: 100}\n", 2),
        ("name: x\ntype: batch\n", 2),
    ],
)
def test_an_endpoint_without_a_deployment_is_refused_as_a_whole(faults, text, line):
    (fault,) = faults(text)
    assert fault.line == line
    assert fault.message.startswith("this is an endpoint without a deployment; a deployment's file has name, ")


@pytest.mark.parametrize("word", ["models", "1", "[model]", "''"])
def test_another_type_is_refused(faults, word):
    (fault,) = faults(f"{CODE}type: {word}\n")
    assert fault.message.startswith("Value '")
    assert fault.message.endswith("passed is not in set ['model']. Write one of these")


OF_2021 = """\
name: abc
model: {name: m, version: 1, local_path: ./model}
code_configuration:
  code: {local_path: ./code}
  scoring_script: batch_driver.py
environment: {name: e, version: 1, path: ., conda_file: 'file:./environment/conda.yaml', docker: {image: i}}
compute: {target: azureml:cpu-cluster, instance_count: 2}
mini_batch_size: 1
"""


def test_a_deployment_of_2021_is_the_same_in_the_current_form(load, deployment_folder):
    current = """\
name: abc
type: model
model: {name: m, version: 1, path: ./model}
code_configuration: {code: ./code, scoring_script: batch_driver.py}
environment: {name: e, version: 1, conda_file: ./environment/conda.yaml, image: i}
compute: azureml:cpu-cluster
resources: {instance_count: 2}
settings: {mini_batch_size: 1}
"""
    assert load(OF_2021) == load(current)


@pytest.mark.parametrize(
    ("override", "count"),
    [("compute.instance_count=5", 5), ("resources.instance_count=5", 5), ("mini_batch_size=9", 2)],
)
def test_set_reaches_a_deployment_of_2021_by_both_names(load, override, count):
    assert load(OF_2021, overrides=[override]).instance_count == count


@pytest.mark.parametrize(
    ("old", "new", "field", "message"),
    [
        ("instance_count: 2", "instance_count: 0", "compute.instance_count", "0 is out of range"),
        ("instance_count: 2", "nodes: 2", "compute.nodes", "Unknown field. Keys here: target, instance_count"),
        ("target: azureml:cpu-cluster, ", "", "compute.target", "Missing data for required field. Give azureml:<name>"),
        ("azureml:cpu-cluster", "a b", "compute.target", "'a b' is no compute"),
        ("./model", "./gone", "model.local_path", "no such file or folder"),
        ("local_path: ./model", "local_path: ./model, path: x", "model.local_path", "Unknown field. That is the 2021"),
        ("local_path: ./code", "local_path: ./gone", "code_configuration.code.local_path", "no such folder"),
        ("local_path: ./code", "local_path: ./code, a: b", "code_configuration.code", "Not a valid string. A mapping"),
        ("docker: {image: i}", "docker: {build: i}", "environment.docker", "Unknown field. That is the 2021 form"),
        ("mini_batch_size: 1", "resources: {instance_count: 1}", "compute.instance_count", "Can't set instance_count"),
    ],
)
def test_a_fault_of_2021_has_the_field_that_the_file_shows(faults, old, new, field, message):
    assert old in OF_2021
    found = {fault.field: fault.message for fault in faults(OF_2021.replace(old, new))}
    assert found[field].startswith(message)


def test_the_current_form_keeps_refusing_what_only_2021_had(faults):
    found = faults("type: model\n" + OF_2021.replace("mini_batch_size: 1\n", ""))
    expected = {"model.local_path", "code_configuration.code", "environment.path", "environment.docker", "compute"}
    assert expected <= {fault.field for fault in found}
    (compute,) = (fault.message for fault in found if fault.field == "compute")
    assert compute.endswith("write compute: azureml:<name>, and instance_count beneath resources")


ENDPOINT = "name: end\ntype: batch\nauth_mode: aad_token\n"
ONE = "  - name: one\n    model: {local_path: mlflow}\n    mini_batch_size: 7\n"
TWO = "  - name: Two\n    model: {local_path: mlflow}\n    mini_batch_size: 8\n"


def test_the_one_deployment_of_an_endpoints_file_is_read(load):
    deployment = load(f"{ENDPOINT}deployments:\n{ONE}", require_names=True)
    names = (deployment.endpoint_name, deployment.name)
    assert (*names, deployment.settings.mini_batch_size) == ("end", "one", 7)


@pytest.mark.parametrize("name", ["two", "Two"])
def test_traffic_chooses_among_the_deployments_of_an_endpoints_file(load, name):
    assert load(f"{ENDPOINT}traffic: {{{name}: 100, one: 0}}\ndeployments:\n{ONE}{TWO}").name == "two"


def test_deployments_may_stand_by_name(load):
    text = f"{ENDPOINT}deployments:\n  one: {{model: {{local_path: mlflow}}, mini_batch_size: 7}}\n"
    assert load(text, overrides=["deployments.one.mini_batch_size=3"]).settings.mini_batch_size == 3


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"deployments:\n{ONE}{TWO}", 4, "one deployment is needed, here stand: one, two; say which with traffic"),
        (f"traffic: {{three: 100}}\ndeployments:\n{ONE}", 4, "one deployment is needed, here stand: one; say"),
        (f"traffic: {{one: 100, two: 100}}\ndeployments:\n{ONE}{TWO}", 4, "one has 100 already"),
        (f"traffic: {{one: 50}}\ndeployments:\n{ONE}", 4, "50 cannot be; a batch deployment has all"),
        (f"traffic: {{one: -1}}\ndeployments:\n{ONE}", 4, "-1 is out of range"),
        (f"traffic: one\ndeployments:\n{ONE}", 4, "Not a valid mapping type. Found 'one'"),
        ("deployments: 1\n", 4, "Not a valid list. Found 1"),
        ("deployments: []\n", 4, "one deployment is needed, here stand: none"),
        ("deployments: [1]\n", 4, "Not a valid mapping type. Found 1"),
    ],
)
def test_an_endpoints_file_that_does_not_say_which_is_refused(faults, text, line, message):
    fault = faults(ENDPOINT + text)[0]
    assert fault.line == line
    assert fault.message.startswith(message)


def test_a_name_beneath_settings_and_one_at_the_root_do_not_fight(load):
    overrides = ["settings.mini_batch_size=5", "logging_level=debug"]
    settings = load(f"{CODE}mini_batch_size: 3\n", overrides=overrides).settings
    assert (settings.mini_batch_size, settings.logging_level) == (5, "debug")


def test_settings_of_the_flat_form_cannot_be_set_to_a_word(faults):
    found = faults(f"{CODE}tags: {{a: b}}\n", overrides=["settings=5", "mini_batch_size=4"])
    assert [fault.field for fault in found] == ["settings", "mini_batch_size"]

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
        ("name: x\ntype: batch\nauth_mode: aad_token\ntraffic: {a: 100}\ndeployments:\n  - name: a\n", 5),
        ("name: x\ntraffic: {a: 100}\n", 2),
        ("name: x\ntype: batch\n", 2),
    ],
)
def test_an_endpoint_of_2021_is_refused_as_a_whole(faults, text, line):
    (fault,) = faults(text)
    assert fault.line == line
    assert fault.message.startswith("this is an endpoint of the 2021 preview form; write one file a deployment: name, ")


@pytest.mark.parametrize("word", ["models", "1", "[model]", "''"])
def test_another_type_is_refused(faults, word):
    (fault,) = faults(f"{CODE}type: {word}\n")
    assert fault.message.startswith("Value '")
    assert fault.message.endswith("passed is not in set ['model']. Write one of these")


def test_a_deployment_of_2021_is_answered_piece_by_piece(faults):
    text = (
        "name: abc\n"
        "model: {name: m, version: 1, local_path: ./model}\n"
        "code_configuration:\n"
        "  code: {local_path: ./code}\n"
        "  scoring_script: batch_driver.py\n"
        "environment: {name: e, version: 1, path: ., conda_file: 'file:./environment/conda.yaml', docker: {image: i}}\n"
        "compute: {target: azureml:cpu-cluster, instance_count: 1}\n"
        "mini_batch_size: 1\n"
    )
    found = faults(text)
    expected = ["model.path", "model.local_path", "code_configuration.code", "environment.path", "environment.docker"]
    assert {*expected, "compute"} == {fault.field for fault in found}
    assert found[-1].message.endswith("write compute: azureml:<name>, and instance_count beneath resources")


def test_a_name_beneath_settings_and_one_at_the_root_do_not_fight(load):
    overrides = ["settings.mini_batch_size=5", "logging_level=debug"]
    settings = load(f"{CODE}mini_batch_size: 3\n", overrides=overrides).settings
    assert (settings.mini_batch_size, settings.logging_level) == (5, "debug")


def test_settings_of_the_flat_form_cannot_be_set_to_a_word(faults):
    found = faults(f"{CODE}tags: {{a: b}}\n", overrides=["settings=5", "mini_batch_size=4"])
    assert [fault.field for fault in found] == ["settings", "mini_batch_size"]

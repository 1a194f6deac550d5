from __future__ import annotations

import pytest

from gristmill.spec import RowFormat

TEXT = """\
type: model
model: azureml:mnist:1
code_configuration:
  code: code
  scoring_script: batch_driver.py
environment: azureml:torch:1
environment_variables: {A: x}
settings:
  mini_batch_size: 10
"""


@pytest.mark.parametrize("value", ["50", "'50'", '"50"', " 50", "0x32"])
def test_a_value_is_read_as_yaml(load, value):
    assert load(TEXT, overrides=[f"settings.mini_batch_size={value}"]).settings.mini_batch_size == 50


def test_a_mapping_that_is_not_there_is_made(load):
    deployment = load(TEXT, overrides=["settings.retry_settings.timeout=5", "resources.instance_count=2"])
    assert deployment.settings.retry_settings.timeout == 5
    assert deployment.instance_count == 2


def test_an_empty_mapping_is_filled(load):
    text = TEXT.replace("settings:\n  mini_batch_size: 10\n", "settings:\n")
    assert load(text, overrides=["settings.mini_batch_size=5"]).settings.mini_batch_size == 5


def test_the_last_of_several_wins(load):
    overrides = ["settings.mini_batch_size=1", "settings.mini_batch_size=2"]
    assert load(TEXT, overrides=overrides).settings.mini_batch_size == 2


def test_defaults_follow_what_is_set(load):
    settings = load(TEXT, overrides=["settings.output_format=jsonl"]).settings
    assert (settings.output_format, settings.output_file_name) == (RowFormat.JSONL, "predictions.jsonl")


@pytest.mark.parametrize(
    ("override", "value"),
    [("A=1.10", "1.10"), ("A=a=b", "a=b"), ("A=''", ""), ("A=a: b", "a: b"), ("A=[x", "[x"), ("A=true", "true"),
     ("B=# no remark", "# no remark"), ('A="a\\tb"', "a\tb")],
)  # fmt: skip
def test_a_variable_is_set_to_its_text(load, override, value):
    found = load(TEXT, overrides=[f"environment_variables.{override}"]).environment_variables
    assert found[override[0]] == value


def test_a_comma_needs_no_quotes(load):
    assert load(TEXT, overrides=["settings.delimiter=,"]).settings.delimiter == ","


def test_a_reference_can_be_replaced(load):
    assert load(TEXT, overrides=["model=azureml:mnist:2"]).model.version == "2"


def test_a_value_of_the_file_that_is_replaced_is_not_checked(load):
    text = TEXT.replace("mini_batch_size: 10", "mini_batch_size: ten")
    assert load(text, overrides=["settings.mini_batch_size=10"]).settings.mini_batch_size == 10


@pytest.mark.parametrize("override", ["", "=", "=5", "settings", "settings.mini_batch_size", ".a=1", "a.=1", "a..b=1"])
def test_a_text_that_is_no_assignment_is_refused(faults, override):
    (fault,) = faults(TEXT, overrides=[override])
    assert (fault.line, fault.field) == (None, "")
    assert fault.message == (
        f"write key=value, with dots between keys: settings.mini_batch_size=50 (from --set {override})"
    )


@pytest.mark.parametrize(
    ("override", "field", "message"),
    [
        ("settings.mini_batch_size=0", "settings.mini_batch_size", "0 is out of range; give a whole number, 1 or more"),
        ("settings.mini_batch_size=", "settings.mini_batch_size", "Field may not be null. Give a value or leave the k"),
        ("settings.mini_bach_size=5", "settings.mini_bach_size", "Unknown field. Did you mean mini_batch_size?"),
        ("setings.mini_batch_size=5", "setings", "Unknown field. Did you mean settings?"),
        (
            "mini_batch_size=5",
            "mini_batch_size",
            "Unknown field. It belongs beneath settings: settings.mini_batch_size",
        ),
        ("settings=5", "settings", "Not a valid mapping type. Found 5"),
        ("settings.retry_settings.timeout=x", "settings.retry_settings.timeout", "Not a valid integer. Found 'x'"),
        (
            "model.path=x",
            "",
            "Cannot use '--set' on properties defined by reference strings. model is 'azureml:mnist:1'; set model ",
        ),
        ("environment.image=x", "", "Cannot use '--set' on properties defined by reference strings. environment is "),
        ("settings.mini_batch_size.x=1", "", "settings.mini_batch_size is 10, nothing can be set beneath it"),
        ("settings.mini_batch_size='5", "", "column "),
        ("settings.mini_batch_size=0b_", "", "'0b_' cannot be read as a value"),
    ],
)
def test_an_override_is_refused_with_its_text(faults, override, field, message):
    (fault,) = faults(TEXT, overrides=[override])
    assert fault.field == field
    assert fault.message.startswith(message)
    assert fault.message.endswith(f"(from --set {override})")


def test_all_overrides_are_answered_at_once(faults):
    found = faults(TEXT, overrides=["a", "settings.mini_batch_size=0", "model.path=x"])
    assert len(found) == 3


def test_a_fault_of_an_override_does_not_show_a_variables_value(faults):
    for name in ("environment_variables.KEY.deep", "environment_variable.KEY", "settings.environment_variables.K.L"):
        for fault in faults(TEXT, overrides=[f"{name}=hush"]):
            assert "hush" not in fault.message

from __future__ import annotations

from typing import Any

import pytest

from gristmill import spec
from gristmill.deployment import build_deployment
from gristmill.spec import OutputAction, PredictPer, RowFormat

CODE = "code_configuration: {code: code, scoring_script: batch_driver.py}\n"
MODEL_FORM = "type: model\n" + CODE


def test_nothing_given_is_the_default_of_every_setting(load_settings):
    assert load_settings("{}") == spec.Settings()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("max_concurrency_per_instance: 4", {"max_concurrency_per_instance": 4}),
        ("mini_batch_size: 1", {"mini_batch_size": 1}),
        ('mini_batch_size: "10"', {"mini_batch_size": 10}),
        ("mini_batch_size: ' 7 '", {"mini_batch_size": 7}),
        ("mini_batch_size: 5.0", {"mini_batch_size": 5}),
        ("mini_batch_size: 2147483647", {"mini_batch_size": 2147483647}),
        ("error_threshold: -1", {"error_threshold": -1}),
        ("error_threshold: 0", {"error_threshold": 0}),
        ("error_threshold: '+3'", {"error_threshold": 3}),
        ("logging_level: DEBUG", {"logging_level": "debug"}),
        ("logging_level: warning", {"logging_level": "warning"}),
        ("output_file_name: täglich.txt", {"output_file_name": "täglich.txt"}),
        ("output_action: append_row", {"output_action": OutputAction.APPEND_ROW}),
        ("output_action: Summary_Only", {"output_action": OutputAction.SUMMARY_ONLY}),
        ("output_action: SummaryOnly", {"output_action": OutputAction.SUMMARY_ONLY}),
        ("mini_batch_bytes: 9000000000", {"mini_batch_bytes": 9_000_000_000}),
        ("recursive: false", {"recursive": False}),
        ("recursive: 'No'", {"recursive": False}),
        ("init_timeout: 600", {"init_timeout": 600}),
        ("keep_scorers_seconds: 0", {"keep_scorers_seconds": 0}),
        ("priority: high", {"priority": spec.Priority.HIGH}),
        ("priority: LOW", {"priority": spec.Priority.LOW}),
        ("priority: medium", {}),
        ("header: true", {"header": True}),
        ('delimiter: ";"', {"delimiter": ";"}),
        ('delimiter: "\\t"', {"delimiter": "\t"}),
        ("retry_settings: {}", {}),
        ("retry_settings: {max_retries: 0}", {"retry_settings": spec.RetrySettings(max_retries=0)}),
        ("retry_settings: {timeout: 259200}", {"retry_settings": spec.RetrySettings(timeout=259200)}),
        ("tuning: {}", {}),
        ("tuning: {lease_mini_batches: 8192}", {"tuning": spec.Tuning(lease_mini_batches=8192)}),
        ("tuning: {frames_in_flight: 16}", {"tuning": spec.Tuning(frames_in_flight=16)}),
        ("tuning: {prefetch_items: 0}", {"tuning": spec.Tuning(prefetch_items=0)}),
        ("tuning: {threads_per_scorer: 2}", {"tuning": spec.Tuning(threads_per_scorer=2)}),
        ("tuning: {flush_bytes: '4096'}", {"tuning": spec.Tuning(flush_bytes=4096)}),
    ],
)
def test_a_setting_is_taken(load_settings, line, expected):
    assert load_settings(line) == spec.Settings(**expected)


@pytest.mark.parametrize("line", ["rows_per_predict: 100", "predict_per: mini_batch", "predict_per: FILE"])
def test_settings_of_models_without_a_script(load, line):
    settings = load(f"model: {{path: mlflow}}\nsettings:\n  {line}\n").settings
    assert settings.rows_per_predict == (100 if "rows" in line else None)
    assert settings.predict_per == (PredictPer.MINI_BATCH if "mini_batch" in line else PredictPer.FILE)


def test_a_priority_that_is_none_is_refused_in_one_line(faults):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  priority: urgent\n")
    assert (fault.line, fault.field) == (4, "settings.priority")
    for word in ("urgent", "low", "medium", "high"):
        assert word in fault.message
    assert "\n" not in fault.message


INTEGERS = {
    "max_concurrency_per_instance": 1,
    "mini_batch_size": 1,
    "instance_count": 1,
    "error_threshold": -1,
    "mini_batch_bytes": 1,
    "init_timeout": 1,
}


@pytest.mark.parametrize(
    "value", ["ten", "1.5", "'1.5'", "true", "'10x'", "[1]", "{a: 1}", "''", ".inf", ".nan", "1e3"]
)
@pytest.mark.parametrize("key", INTEGERS)
def test_what_is_no_integer_is_refused(faults, key, value):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  {key}: {value}\n")
    assert (4, f"settings.{key}") == (fault.line, fault.field)
    assert fault.message.startswith("Not a valid integer. Found ")
    assert "give a whole number" in fault.message


@pytest.mark.parametrize(("key", "least"), INTEGERS.items())
def test_an_integer_out_of_range_is_refused(faults, key, least):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  {key}: {least - 1}\n")
    assert fault.message == f"{least - 1} is out of range; give a whole number, {least} or more"


def test_an_integer_beyond_32_bits_is_refused(faults):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  mini_batch_size: 2147483648\n")
    assert fault.message == "2147483648 is out of range; give a whole number, 1 to 2147483647"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("retry_settings: {max_retries: -1}", "-1 is out of range; give a whole number, 0 or more"),
        ("tuning: {lease_mini_batches: 8193}", "8193 is out of range; give a whole number, 1 to 8192"),
        ("tuning: {frames_in_flight: 0}", "0 is out of range; give a whole number, 1 to 16"),
        ("tuning: {prefetch_items: -1}", "-1 is out of range; give a whole number, 0 to 100000"),
        ("tuning: {threads_per_scorer: 0}", "0 is out of range; give a whole number, 1 to 1024"),
        ("tuning: {flush_bytes: 0}", "0 is out of range; give a whole number, 1 or more"),
        ("retry_settings: {timeout: 0}", "0 is out of range; give a whole number, 1 to 259200"),
        ("retry_settings: {timeout: 259201}", "259201 is out of range; give a whole number, 1 to 259200"),
        ("retry_settings: 3", "Not a valid mapping type. Found 3; give key: value lines beneath it"),
        ("retry_settings:", "Field may not be null. Give a value or leave the key out"),
        ("retry_settings: {max_tries: 1}", "Unknown field. Did you mean max_retries?"),
        ("mini_batch_size:", "Field may not be null. Give a value or leave the key out"),
        ("output_action: foo", "Value 'foo' passed is not in set ['append_row', 'summary_only']. Write one of these"),
        ("output_action: 1", "Value '1' passed is not in set ['append_row', 'summary_only']. Write one of these"),
        ("logging_level: error", "Value 'error' passed is not in set ['warning', 'info', 'debug']. Write one of these"),
        (
            "output_format: xml",
            "Value 'xml' passed is not in set ['csv', 'parquet', 'jsonl', 'text']. Write one of these",
        ),
        ("recursive: maybe", "Not a valid boolean. Found 'maybe'; give true or false"),
        ("header: 1", "Not a valid boolean. Found 1; give true or false"),
        ("delimiter: ''", "'' has 0 characters; give exactly one"),
        ("delimiter: '||'", "'||' has 2 characters; give exactly one"),
        ("delimiter: '\\t'", r"""'\\t' has 2 characters; give exactly one; a tab is "\t" in double quotes"""),
        ("delimiter: '\"'", "'\"' cannot stand between fields; give another character, such as ',' or ';'"),
        ('delimiter: "\\n"', r"'\n' cannot stand between fields; give another character, such as ',' or ';'"),
        ('delimiter: "\\0"', r"'\x00' cannot stand between fields; give another character, such as ',' or ';'"),
        ("delimiter: 1", 'Not a valid string. Found 1; in quotes it is a text: "1"'),
        ("max_retries: 3", "Unknown field. It belongs beneath retry_settings"),
        ("timeout: 3", "Unknown field. It belongs beneath retry_settings"),
        ("mini_batch_sise: 3", "Unknown field. Did you mean mini_batch_size?"),
        (
            "mini_batch_error_threshold: 3",
            "Unknown field. Batch deployments have no such key; error_threshold counts files",
        ),
        ("mini_batch_bytes: 9223372036854775808", "9223372036854775808 is out of range; give a whole number, 1 to 922"),
        ("predict_per: row", "Value 'row' passed is not in set ['file', 'mini_batch']. Write one of these"),
        ("environment_variables: [a]", "Not a valid mapping type. Found a list; give key: value lines"),
    ],
)
def test_a_setting_is_refused(faults, line, message):
    fault = faults(f"{MODEL_FORM}settings:\n  {line}\n")[0]
    assert fault.line == 4
    assert fault.message.startswith(message)


def test_an_unknown_key_without_a_likeness_is_answered_with_the_keys_there_are(faults):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  xyzzy: 1\n")
    assert fault.message.startswith("Unknown field. Keys here: max_concurrency_per_instance, mini_batch_size, ")


@pytest.mark.parametrize(
    "name",
    ["a/b.csv", "/abs.csv", "..", ".", ".hidden", "''", "' '", '"a\\0b"', '"a\\nb"', "summary.json", "Summary.JSON",
     "errors.jsonl", "a\\b", "x" * 256, "ü" * 128],
)  # fmt: skip
def test_an_output_file_name_must_be_a_plain_name(faults, name):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  output_file_name: {name}\n")
    assert fault.field == "settings.output_file_name"
    assert "\n" not in str(fault)


@pytest.mark.parametrize("name", ["x" * 255, "a b.csv", "a..b", "-x", "errors.json"])
def test_a_plain_name_is_an_output_file_name(load_settings, name):
    assert load_settings(f"output_file_name: {name}").output_file_name == name


def resolved(settings: spec.Settings) -> tuple[Any, ...]:
    return settings.output_format, settings.header, settings.delimiter, settings.output_file_name


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("{}", (RowFormat.TEXT, False, " ", "predictions.csv")),
        ("{output_format: text}", (RowFormat.TEXT, False, " ", "predictions.csv")),
        ("{header: true}", (RowFormat.TEXT, True, " ", "predictions.csv")),
        ("{delimiter: ','}", (RowFormat.TEXT, False, ",", "predictions.csv")),
        ("{output_format: CSV}", (RowFormat.CSV, True, ",", "predictions.csv")),
        ("{output_format: csv, header: no, delimiter: '|'}", (RowFormat.CSV, False, "|", "predictions.csv")),
        ("{output_format: jsonl}", (RowFormat.JSONL, False, " ", "predictions.jsonl")),
        ("{output_format: parquet}", (RowFormat.PARQUET, False, " ", "predictions.parquet")),
        ("{output_format: parquet, output_file_name: a.csv}", (RowFormat.PARQUET, False, " ", "a.csv")),
    ],
)
def test_the_output_of_a_scoring_script(load, lines, expected):
    assert resolved(load(f"{MODEL_FORM}settings: {lines}\n").settings) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("{}", (RowFormat.TEXT, False, ",", "predictions.csv")),
        ("{delimiter: ' '}", (RowFormat.TEXT, False, " ", "predictions.csv")),
        ("{output_format: csv}", (RowFormat.CSV, True, ",", "predictions.csv")),
        ("{output_format: csv, header: false}", (RowFormat.CSV, False, ",", "predictions.csv")),
    ],
)
def test_the_output_of_a_model_without_a_script(load, lines, expected):
    assert resolved(load(f"model: {{path: mlflow}}\nsettings: {lines}\n").settings) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (RowFormat.CSV, True, ",", "predictions.csv")),
        ({"header": False}, (RowFormat.CSV, False, ",", "predictions.csv")),
        ({"output_format": "text"}, (RowFormat.TEXT, False, " ", "predictions.csv")),
        ({"output_format": "parquet"}, (RowFormat.PARQUET, False, " ", "predictions.parquet")),
    ],
)
def test_friendly_output_is_csv_with_a_header(deployment_folder, settings, expected):
    document = {
        "code_configuration": {"code": "code", "scoring_script": "batch_driver.py"},
        "settings": settings,
    }
    built = build_deployment(document, source="run()", folder=deployment_folder, friendly=True)
    assert resolved(built.settings) == expected


def test_summary_only_has_no_output_file_name(faults):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  output_action: summary_only\n  output_file_name: a.csv\n")
    sentence = "When output_action is set to summary_only, the output_file_name need not to be specified."
    assert (5, "settings.output_file_name", f"{sentence} Remove it") == (fault.line, fault.field, fault.message)


@pytest.mark.parametrize("line", ["output_format: csv", "header: true", "delimiter: ';'"])
def test_summary_only_has_no_form_of_rows(faults, line):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  output_action: summary_only\n  {line}\n")
    assert fault.line == 5
    assert fault.message == "has no effect with output_action: summary_only, which writes no rows; remove it"


@pytest.mark.parametrize("line", ["header: false", "delimiter: ';'"])
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_forms_without_lines_have_no_header_and_no_delimiter(faults, form, line):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  output_format: {form}\n  {line}\n")
    assert fault.message == f"has no effect with output_format: {form}; remove it"


@pytest.mark.parametrize("line", ["rows_per_predict: 10", "predict_per: file", "split_files: true"])
def test_settings_of_models_without_a_script_are_refused_with_one(faults, line):
    (fault,) = faults(f"{MODEL_FORM}settings:\n  {line}\n")
    assert fault.message.startswith("has no effect with a scoring script")


@pytest.mark.parametrize("more", ["", "  split_files: false\n"])
def test_slices_have_a_size_only_where_files_are_cut(faults, more):
    (fault,) = faults(f"model: {{path: mlflow}}\nsettings:\n  split_bytes: 5\n{more}")
    assert (fault.line, fault.field) == (3, "settings.split_bytes")
    assert fault.message == "has no effect without split_files: true; add that, or remove it"


def test_files_may_be_cut(load):
    settings = load("model: {path: mlflow}\nsettings:\n  split_files: true\n  split_bytes: 5\n").settings
    assert (settings.split_files, settings.split_bytes) == (True, 5)


def test_rows_per_predict_excludes_whole_mini_batches(faults):
    text = "model: {path: mlflow}\nsettings:\n  rows_per_predict: 5\n  predict_per: mini_batch\n"
    (fault,) = faults(text)
    assert (fault.line, fault.field) == (3, "settings.rows_per_predict")
    assert fault.message == "excludes predict_per: mini_batch; give one of the two"


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 1), ("resources: {instance_count: 3}\n", 3), ("resources: {shm_size: 1g}\n", 1),
     ("settings: {instance_count: 4}\n", 4)],
)  # fmt: skip
def test_instance_count_stands_in_one_of_two_places(load, text, count):
    assert load(MODEL_FORM + text).instance_count == count


@pytest.mark.parametrize("resources", ["{instance_count: 2}", "{instance_type: x}", "{}"])
def test_instance_count_beside_resources_is_refused(faults, resources):
    (fault,) = faults(f"{MODEL_FORM}resources: {resources}\nsettings: {{instance_count: 2}}\n")
    assert fault.field == "settings.instance_count"
    assert fault.message.startswith("Can't set instance_count when resources is provided. ")


def test_keys_of_resources_without_effect_are_tolerated(load):
    text = (
        "resources:\n  instance_type: STANDARD_NC6\n  max_instance_count: 4\n  shm_size: 2g\n"
        "  docker_args: [--ipc, host]\n  locations: [eastus]\n  properties: {a: {b: 1}}\n"
    )
    assert load(MODEL_FORM + text).instance_count == 1


def test_error_threshold_at_the_root_is_tolerated(load):
    assert load(f"{MODEL_FORM}error_threshold: 5\n").settings.error_threshold == 5
    assert load(f"{MODEL_FORM}error_threshold: 5\nsettings: {{error_threshold: 5}}\n").settings.error_threshold == 5


def test_two_error_thresholds_that_differ_are_refused(faults):
    (fault,) = faults(f"{MODEL_FORM}error_threshold: 5\nsettings: {{error_threshold: 0}}\n")
    assert (fault.line, fault.field) == (3, "error_threshold")
    assert fault.message == "5 differs from settings.error_threshold 0; give one of them"


def test_variables_of_both_places_are_merged_and_the_settings_win(load):
    text = "environment_variables: {A: 1, B: 2}\nsettings:\n  environment_variables: {B: 3, C: 4}\n"
    assert load(MODEL_FORM + text).environment_variables == {"A": "1", "B": "3", "C": "4"}


@pytest.mark.parametrize(
    "value", ["1.10", "true", "yes", "007", "2024-01-02", "0x1F", "1e3", "12:30:45", "a b", ".inf"]
)
def test_a_variable_is_the_text_that_the_file_shows(load, value):
    assert load(f"{MODEL_FORM}environment_variables: {{A: {value}}}\n").environment_variables == {"A": value}


def test_an_empty_variable_is_a_quoted_empty_text(load):
    assert load(f"{MODEL_FORM}environment_variables: {{A: ''}}\n").environment_variables == {"A": ""}


@pytest.mark.parametrize("value", ["", "null", "[1]", "{b: 1}"])
def test_a_variable_without_a_text_is_refused(faults, value):
    (fault,) = faults(f"{MODEL_FORM}environment_variables:\n  A: {value}\n")
    assert (fault.line, fault.field) == (4, "environment_variables.A")
    assert fault.message.startswith("Not a valid string. Found ")


@pytest.mark.parametrize("name", ["''", "A=B", '"A\\0"'])
def test_a_variable_needs_a_name_that_a_process_can_have(faults, name):
    (fault,) = faults(f"{MODEL_FORM}environment_variables: {{{name}: 1}}\n")
    assert "is no name of a variable" in fault.message


def test_a_variable_that_is_refused_does_not_show_its_value(faults):
    (fault,) = faults(f'{MODEL_FORM}environment_variables: {{KEY: "secret\\0"}}\n')
    assert "secret" not in str(fault)
    assert fault.message == "the value holds a NUL character; no variable can"


def test_python_values_of_variables_read_as_yaml_would_write_them(deployment_folder):
    document = {
        "model": {"path": "mlflow"},
        "environment_variables": {"A": True, "B": 1, "C": 1.5, "D": deployment_folder, "E": OutputAction.APPEND_ROW},
    }
    built = build_deployment(document, source="run()", folder=deployment_folder)
    expected = {"A": "true", "B": "1", "C": "1.5", "D": str(deployment_folder), "E": "append_row"}
    assert built.environment_variables == expected

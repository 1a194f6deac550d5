from __future__ import annotations

import os
from pathlib import Path

import pytest

from gristmill.deployment import load_deployment
from gristmill.deployment.nodes import Unreadable
from gristmill.deployment.reading import parse, parse_scalar
from gristmill.deployment.report import Report
from gristmill.errors import InvalidDeployment

NO_CODE = "model: {path: mlflow}\n"


def refusal(path: Path) -> str:
    with pytest.raises(InvalidDeployment) as caught:
        load_deployment(path)
    return caught.value.message


def test_a_missing_file_is_named(tmp_path):
    assert refusal(tmp_path / "x.yml") == f"{tmp_path}/x.yml: no such file"


def test_a_folder_is_no_file(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: is a folder; give the YAML file in it"


def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "a").write_text("")
    assert "Not a directory" in refusal(tmp_path / "a" / "b.yml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_refused(tmp_path):
    path = tmp_path / "x.yml"
    path.write_text("")
    path.chmod(0)
    assert "Permission denied" in refusal(path)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a remark\n", "---\n", "---\n...\n"])
def test_an_empty_file_is_refused(tmp_path, text):
    (tmp_path / "x.yml").write_text(text)
    message = refusal(tmp_path / "x.yml")
    assert "the file is empty" in message or "found nothing" in message


@pytest.mark.parametrize(
    ("text", "found"), [("- a\n", "a list"), ("word\n", "'word'"), ("12\n", "12"), ("~\n", "nothing")]
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, found):
    (tmp_path / "x.yml").write_text(text)
    assert refusal(tmp_path / "x.yml").endswith(f"line 1: found {found} where a YAML mapping (key: value) is needed")


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path):
    (tmp_path / "x.yml").write_bytes("name: a\nmodel: ümlaut\n".encode("latin-1"))
    assert refusal(tmp_path / "x.yml") == f"{tmp_path}/x.yml: line 2: not UTF-8; save the file with that encoding"


def test_utf16_is_refused(tmp_path):
    (tmp_path / "x.yml").write_bytes("name: a\n".encode("utf-16"))
    assert "not UTF-8" in refusal(tmp_path / "x.yml")


def test_a_byte_order_mark_is_passed_over(load, deployment_folder):
    assert load("\ufeff" + NO_CODE).model.path == str(deployment_folder / "mlflow")


def test_a_file_with_windows_line_ends_is_read(deployment_folder):
    path = deployment_folder / "x.yml"
    path.write_bytes(b"name: abc\r\nmodel:\r\n  path: mlflow\r\n")
    assert load_deployment(path).name == "abc"


def test_a_file_of_more_than_a_mebibyte_is_refused(tmp_path):
    (tmp_path / "x.yml").write_bytes(b"#" * (1 << 20) + b"\n")
    assert "is larger than 1 MiB" in refusal(tmp_path / "x.yml")


def test_a_syntax_error_is_one_line_with_line_and_column(tmp_path):
    (tmp_path / "x.yml").write_text("name: a\nmodel: [1, 2\nsettings: {}\n")
    message = refusal(tmp_path / "x.yml")
    assert message.startswith(f"{tmp_path}/x.yml: line 3: column ")
    assert "not YAML" in message
    assert "\n" not in message


def test_a_tab_is_called_a_tab(tmp_path):
    (tmp_path / "x.yml").write_text("settings:\n\tmini_batch_size: 1\n")
    assert refusal(tmp_path / "x.yml").endswith("line 2: column 1: a tab; indent with spaces")


def test_a_control_character_is_refused_with_its_line(tmp_path):
    (tmp_path / "x.yml").write_text("name: a\ndescription: \x07\n")
    assert refusal(tmp_path / "x.yml").endswith("line 2: a character that YAML does not allow (code 7)")


def test_two_documents_are_refused(tmp_path):
    (tmp_path / "x.yml").write_text("a: 1\n---\nb: 2\n")
    assert "another document" in refusal(tmp_path / "x.yml")


def test_an_undefined_alias_is_refused(tmp_path):
    (tmp_path / "x.yml").write_text("name: *who\n")
    assert "line 1" in refusal(tmp_path / "x.yml")
    assert "undefined alias" in refusal(tmp_path / "x.yml")


def test_a_bomb_of_aliases_is_refused_and_not_expanded(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "x.yml").write_text("\n".join(lines))
    assert "more than 20000 values once its aliases are resolved" in refusal(tmp_path / "x.yml")


def test_a_bomb_of_merges_is_refused(tmp_path):
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    (tmp_path / "x.yml").write_text("\n".join(lines))
    assert "values once its aliases" in refusal(tmp_path / "x.yml")


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a\n  <<: *a\n"])
def test_an_alias_of_itself_is_refused(tmp_path, text):
    (tmp_path / "x.yml").write_text(text)
    assert "nested deeper than 40 levels" in refusal(tmp_path / "x.yml")


@pytest.mark.parametrize("depth", [50, 400, 20_000])
def test_deep_nesting_is_refused(tmp_path, depth):
    (tmp_path / "x.yml").write_text("a: " + "[" * depth + "]" * depth)
    assert "nested deeper than 40 levels" in refusal(tmp_path / "x.yml")


def test_a_key_that_stands_twice_is_refused_with_both_lines(faults):
    (fault,) = faults("name: abc\nmodel: {path: mlflow}\nname: abd\n")
    assert (fault.line, fault.field, fault.message) == (3, "name", "the key stands twice, first in line 1")


def test_keys_that_stand_twice_are_found_deep_inside(faults):
    (fault,) = faults("model: {path: mlflow}\nsettings:\n  retry_settings:\n    timeout: 1\n    timeout: 2\n")
    assert (fault.line, fault.field) == (5, "settings.retry_settings.timeout")


def test_merge_keys_are_merged_and_own_keys_win(load):
    text = "tags: &t {a: x, b: y}\nproperties:\n  <<: *t\n  b: z\nmodel: {path: mlflow}\n"
    assert load(text).properties == {"a": "x", "b": "z"}


def test_the_first_of_several_merged_mappings_wins(load):
    text = (
        "tags: &t {a: x}\nenvironment_variables: &u {a: z, c: w}\nproperties: {<<: [*t, *u]}\nmodel: {path: mlflow}\n"
    )
    assert load(text).properties == {"a": "x", "c": "w"}


def test_only_mappings_can_be_merged(faults):
    assert faults("tags:\n  <<: word\n")[0].message == "'<<' can only merge mappings"


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['true']", "!mine x", "!!set {a}", "!!binary aGk="])
def test_tags_are_refused(faults, tag):
    (fault,) = faults(f"name: abc\ntags: {tag}\n")
    assert fault.line == 2
    assert "is not known here" in fault.message


@pytest.mark.parametrize(
    "value", ["!!int abc", "!!bool abc", "!!float abc", "!!int ''", "0b_", "9" * 5000, "0x" + "f" * 20]
)
def test_a_scalar_that_is_not_what_it_says_is_refused(faults, value):
    (fault,) = faults(f"name: {value}\n")
    assert fault.message.endswith("cannot be read as a value")


def test_half_a_surrogate_pair_is_refused(faults):
    assert "lone surrogate" in faults('description: "\\ud800"\n')[0].message
    assert "lone surrogate" in faults('"\\udfff": 1\n')[0].message


@pytest.mark.parametrize("key", ["[a]", "{a: b}"])
def test_a_key_must_be_a_text(faults, key):
    assert faults(f"? {key}\n: 1\n")[0].message == "a key must be a text, not a list or a mapping"


def test_keys_are_the_text_that_the_file_shows(load):
    deployment = load("model: {path: mlflow}\nenvironment_variables: {on: 1, 1: 2, 1.10: 3, null: 4}\n")
    assert deployment.environment_variables == {"on": "1", "1": "2", "1.10": "3", "null": "4"}


def test_nodes_know_their_fields_and_lines():
    root = parse("a: 1\nb:\n  - x\n  -\n    c: 1.10\n", Report())
    items = root.children["b"].value
    assert isinstance(items, list)
    assert [(item.field, item.line) for item in items] == [("b[0]", 3), ("b[1]", 5)]
    leaf = items[1].children["c"]
    assert (leaf.field, leaf.line, leaf.value, leaf.text) == ("b[1].c", 5, 1.1, "1.10")
    assert root.plain() == {"a": 1, "b": ["x", {"c": 1.1}]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("50", 50), ("true", True), ("a b", "a b"), ("'5'", "5"), ('"\\t"', "\t"), ("", None), ("[a", "[a"), (",", ","),
     ("a: b", "a: b"), ("2024-01-02", "2024-01-02"), ("1.5", 1.5), ("azureml:m:1", "azureml:m:1")],
)  # fmt: skip
def test_a_scalar_alone_is_read_as_in_a_file(text, value):
    assert parse_scalar(text)[0] == value


@pytest.mark.parametrize("text", ["'open", '"a" b', "'a': 1"])
def test_a_quoted_scalar_must_be_whole(text):
    with pytest.raises(Unreadable):
        parse_scalar(text)

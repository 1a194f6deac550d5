"""Documents that are wrong: all are refused as InvalidDeployment, in plain lines, and nothing else happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gristmill.deployment import load_deployment
from gristmill.errors import InvalidDeployment

CODE = "code_configuration: {code: code, scoring_script: batch_driver.py}\n"

DOCUMENTS: list[str | bytes] = [
    # no YAML, or not one mapping
    "",
    "   ",
    "# a remark",
    "~",
    "null",
    "5",
    "word",
    "'quoted'",
    "- a\n- b\n",
    "[]",
    "[[[[",
    "{",
    "}",
    "{a: 1",
    "a: b: c",
    "a: 'open",
    'a: "open',
    'a: "\\q"',
    'a: "\\UFFFFFFFF"',
    'a: "\\xZZ"',
    "a: |\n\tb",
    "\ta: 1",
    "a:\n\t- b",
    "a: @b",
    "a: `b`",
    "a: %b\n%YAML 3.0",
    "%YAML 9.9\n---\na: 1",
    "%TAG ! tag:x,\n---\na: !foo 1",
    "a: *b",
    "a: &a [*a]",
    "&a ? *a : 1",
    "? {a: 1}\n: 1",
    "a: 1\n---\nb: 1",
    "a: 1\na: 2\n",
    "<<: 1",
    "<<: [1]",
    "a: !!python/name:os.system x",
    "a: !!int x",
    "a: !!timestamp x",
    "a: !!map x",
    "a: !!seq {b: 1}",
    "a: !!omap [b]",
    "a: 2024-99-99",
    "a: 9" + "9" * 5000,
    "a: " + "[" * 3000,
    "a: " + "{b: " * 3000,
    "- " * 3000,
    b"\xff\xfe\x00",
    b"name: \xc3\x28",
    b"\x00",
    b"name: a\x00b",
    "a: \x0b",
    "a: \ufffe",
    'a: "\\ud800"',
    # unknown keys, at every level
    "nmae: a",
    "'': a",
    "? ''\n: a",
    "on: off",
    f"{CODE}settings: {{a: 1}}",
    f"{CODE}settings: {{retry_settings: {{a: 1}}}}",
    f"{CODE}resources: {{a: 1}}",
    "code_configuration: {code: code, scoring_script: batch_driver.py, a: 1}",
    "model: {path: mlflow, a: 1}",
    f"{CODE}environment: {{image: i, a: 1}}",
    # values of the wrong type
    "name: [a]",
    "name: {a: 1}",
    "name: 1.5",
    "name: true",
    "description: 2024-01-01T00:00:00Z x\nname: 2",
    "tags: []",
    "tags: {a: [1]}",
    "properties: text",
    "model: 1",
    "model: []",
    "model: true",
    "model: {}",
    "model: {path: []}",
    "model: {path: {}}",
    "code_configuration: text",
    "code_configuration: []",
    "code_configuration: {code: 1, scoring_script: 2}",
    "code_configuration: {code: [], scoring_script: {}}",
    f"{CODE}environment: 1",
    f"{CODE}environment: []",
    f"{CODE}environment: {{}}",
    f"{CODE}environment: {{conda_file: {{dependencies: 5}}}}",
    f"{CODE}environment_variables: text",
    f"{CODE}environment_variables: {{A: {{}}}}",
    f"{CODE}compute: 1",
    f"{CODE}compute: []",
    f"{CODE}compute: {{instance_count: 1}}",
    f"{CODE}resources: 1",
    f"{CODE}resources: []",
    f"{CODE}resources: {{instance_count: two}}",
    f"{CODE}resources: {{instance_count: 0}}",
    f"{CODE}resources: {{max_instance_count: 0}}",
    f"{CODE}settings: 1",
    f"{CODE}settings: []",
    f"{CODE}settings: text",
    f"{CODE}settings: {{retry_settings: []}}",
    f"{CODE}settings: {{output_action: []}}",
    f"{CODE}settings: {{output_action: {{}}}}",
    f"{CODE}settings: {{output_file_name: []}}",
    f"{CODE}settings: {{recursive: []}}",
    f"{CODE}settings: {{delimiter: []}}",
    f"{CODE}settings: {{error_threshold: -2}}",
    f"{CODE}settings: {{error_threshold: 99999999999999999999999}}",
    f"{CODE}settings: {{mini_batch_size: 1e400}}",
    f"{CODE}settings: {{mini_batch_size: -.inf}}",
    f"{CODE}settings: {{mini_batch_size: '٣٣x'}}",
    f"{CODE}error_threshold: many",
    f"{CODE}type: 5",
    f"{CODE}type: []",
    "type: pipeline",
    "type: batch",
    "deployments: 1",
    "traffic:",
    # nothing to score with
    "name: abc",
    "settings: {}",
    "model: {path: model}",
    "model: {path: mlflow, type: triton_model}",
]


def test_there_are_enough_of_them():
    assert len(DOCUMENTS) >= 80
    assert len(set(map(str, DOCUMENTS))) == len(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_a_malformed_document_is_refused_and_nothing_else(deployment_folder: Path, document: str | bytes):
    path = deployment_folder / "deployment.yml"
    path.write_bytes(document if isinstance(document, bytes) else document.encode("utf-8", "surrogatepass"))

    with pytest.raises(InvalidDeployment) as caught:
        load_deployment(path)

    assert caught.value.faults
    assert caught.value.message.startswith(f"{path}: ")
    for fault in caught.value.faults:
        assert str(fault).isprintable()
        assert len(str(fault)) < 700
        assert not re.search(r"Input should be|pydantic|Traceback|marshmallow|yaml\.org|<class|object at", str(fault))

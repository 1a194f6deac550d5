from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.spec import Model, ModelType

CODE = "code_configuration: {code: code, scoring_script: batch_driver.py}\n"


def test_a_folder_without_an_mlmodel_file_is_a_custom_model(load, deployment_folder):
    model = load(f"{CODE}model: {{path: model}}\n").model
    assert model == Model(path=str(deployment_folder / "model"), type=ModelType.CUSTOM)


def test_a_single_file_is_a_custom_model(load, deployment_folder):
    model = load(f"{CODE}model: {{path: ./model/model.pt}}\n").model
    assert model == Model(path=str(deployment_folder / "model" / "model.pt"), type=ModelType.CUSTOM)


def test_a_folder_with_an_mlmodel_file_is_an_mlflow_model(load):
    assert load("model: {path: mlflow}\n").model.type == ModelType.MLFLOW


@pytest.mark.parametrize("word", ["custom_model", "CustomModel", "CUSTOM_MODEL"])
def test_a_stated_type_holds(load, word):
    assert load(f"{CODE}model: {{path: mlflow, type: {word}}}\n").model.type == ModelType.CUSTOM


def test_name_and_version_are_kept_as_written(load):
    model = load(f"{CODE}model: {{path: model, name: mnist, version: 1.10}}\n").model
    assert (model.name, model.version) == ("mnist", "1.10")


def test_all_keys_of_azure_are_tolerated(load):
    text = (
        "model:\n  $schema: x\n  id: x\n  path: model\n  description: x\n  tags: {a: 1}\n  properties: {b: [1]}\n"
        "  flavors: {python_function: {}}\n  stage: Production\n  datastore: x\n  job_name: x\n"
    )
    assert load(CODE + text).model is not None


@pytest.mark.parametrize(
    ("path", "expected"),
    [("file:./model", "model"), ("file:model", "model"), ("./code/../model/", "model"), ("model", "model")],
)
def test_a_path_is_relative_to_the_file(load, deployment_folder, path, expected):
    assert load(f"{CODE}model: {{path: {path}}}\n").model.path == str(deployment_folder / expected)


def test_absolute_paths_and_file_addresses_are_taken(load, deployment_folder):
    for path in (deployment_folder / "model", f"file://{deployment_folder}/model"):
        assert load(f"{CODE}model: {{path: '{path}'}}\n").model.path == str(deployment_folder / "model")


def test_a_link_keeps_its_own_name(load, deployment_folder):
    (deployment_folder / "current").symlink_to(deployment_folder / "model")
    assert load(f"{CODE}model: {{path: current}}\n").model.path == str(deployment_folder / "current")


@pytest.mark.parametrize("url", ["s3://bucket/model", "https://host/m.pkl", "abfss://c@a.dfs.core.windows.net/m"])
def test_a_url_is_kept_and_its_type_left_open(load, url):
    assert load(f"model: {{path: '{url}'}}\n").model == Model(path=url)


@pytest.mark.parametrize(
    ("reference", "name", "version"),
    [
        ("azureml:mnist:1", "mnist", "1"),
        ("azureml:mnist@latest", "mnist", "latest"),
        ("azureml:mnist", "mnist", ""),
        ("azureml://registries/azureml/models/bert/versions/3", "bert", "3"),
        ("azureml://registries/azureml/models/bert/labels/latest", "bert", "latest"),
        ("azureml://locations/eastus/workspaces/w/models/bert/versions/3", "bert", "3"),
        ("/subscriptions/s/resourceGroups/r/providers/p/workspaces/w/models/bert/versions/3", "bert", "3"),
        ("azureml:/subscriptions/s/resourceGroups/r/workspaces/w/models/bert/versions/3", "bert", "3"),
        ("models:/mnist/1", "mnist", "1"),
        ("models:/mnist@champion", "mnist", "champion"),
        ("models:/m-1234", "m-1234", ""),
        ("runs:/abcd/model", "", ""),
    ],
)
def test_a_reference_is_left_to_the_runner(load, reference, name, version):
    assert load(f"model: {reference}\n").model == Model(reference=reference, name=name, version=version)
    inline = load(f"model: {{path: '{reference}', type: mlflow_model}}\n").model
    assert inline == Model(reference=reference, name=name, version=version, type=ModelType.MLFLOW)


def test_a_datastore_path_is_a_reference_too(load):
    text = "azureml://datastores/workspaceblobstore/paths/models/m"
    assert load(f"model: {{path: '{text}'}}\n").model == Model(reference=text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m:1", "'m:1' is not a reference; write azureml:m:1, or a path beneath model: path:"),
        ("./model", "'./model' is not a reference (azureml:<name>:<version>, "),
        ("s3://bucket/m", "'s3://bucket/m' is not a reference "),
        ("azureml:", "'azureml:' is not a reference "),
        ("azureml:a:1:2", "'azureml:a:1:2' is not a reference "),
        ("azureml:a@b@c", "'azureml:a@b@c' is not a reference "),
        ("azureml://registries/r/environments/e/versions/1", "'azureml://registries/r/environments/e/versions/1' is"),
        ("models:/", "'models:/' is not a reference "),
        ("''", "'' is not a reference "),
    ],
)
def test_a_text_that_is_no_reference_is_refused(faults, text, message):
    (fault,) = faults(f"model: {text if text.startswith(chr(39)) else repr(text)}\n")
    assert (fault.line, fault.field) == (1, "model")
    assert fault.message.startswith(message)


@pytest.mark.parametrize(
    ("lines", "field", "message"),
    [
        ("path: gone", "model.path", "no such file or folder: "),
        ("path: ''", "model.path", "the path is empty"),
        ('path: "a\\0b"', "model.path", r"'a\x00b' holds a NUL character"),
        ("path: " + "x" * 5000, "model.path", "no such file or folder: "),
        ("path: 'azureml:'", "model.path", "'azureml:' is no reference"),
        ("path: 5", "model.path", "Not a valid string. Found 5"),
        ("name: m", "model.path", "Missing data for required field. Give the model's file or folder"),
        ("path: model\n  type: mlflow_model", "model.path", "type: mlflow_model needs a folder with an MLmodel file"),
        ("path: model/model.pt\n  type: mlflow_model", "model.path", "type: mlflow_model needs a folder"),
        ("path: model\n  type: onnx", "model.type", "Value 'onnx' passed is not in set ['custom_model', 'mlflow_mo"),
        ("path: model\n  version: true", "model.version", "Not a valid string. Found true"),
        ("path: model\n  version: [1]", "model.version", "Not a valid string. Found a list"),
        (
            "path: model\n  local_path: x",
            "model.local_path",
            "Unknown field. That is the 2021 form; write path: <file or folder>",
        ),
        ("path: model\n  typ: x", "model.typ", "Unknown field. Did you mean type?"),
    ],
)
def test_a_model_is_refused(faults, lines, field, message):
    found = [fault for fault in faults(f"{CODE}model:\n  {lines}\n") if fault.field == field]
    assert found
    assert found[0].message.startswith(message)


def test_a_missing_path_has_the_line_of_the_model(faults):
    (fault,) = faults(f"{CODE}\nmodel:\n  name: m\n")
    assert (fault.line, fault.field) == (3, "model.path")


def test_a_model_that_is_a_list_is_refused(faults):
    assert faults("model: [a]\n")[0].message.startswith("Not a valid string. Found a list")


def test_neither_model_nor_code_is_refused(faults):
    (fault,) = faults("name: abc\n")
    assert (fault.line, fault.field) == (None, "model")
    assert fault.message.startswith("Missing data for required field.")


def test_a_script_needs_no_model(load):
    assert load(CODE).model is None


@pytest.mark.parametrize("lines", ["{path: model}", "{path: mlflow, type: custom_model}"])
def test_a_custom_model_without_a_script_is_refused(faults, lines):
    (fault,) = faults(f"model: {lines}\n")
    assert fault.message.startswith("without code_configuration only an MLflow model")


def test_a_triton_model_without_a_script_is_refused(faults):
    (fault,) = faults("model: {path: model, type: triton_model}\n")
    assert fault.message == "a triton_model cannot be scored without a scoring script; give code_configuration"


def test_a_triton_model_with_a_script_is_taken(load):
    assert load(f"{CODE}model: {{path: model, type: triton_model}}\n").model.type == ModelType.TRITON


class TestStandIn:
    """`--model` in place of the file's model."""

    def test_it_replaces_a_reference(self, load, deployment_folder):
        model = load(f"{CODE}model: azureml:mnist:1\n", model=str(deployment_folder / "model")).model
        assert model == Model(path=str(deployment_folder / "model"), type=ModelType.CUSTOM)

    def test_it_stands_where_there_is_no_model(self, load, deployment_folder):
        assert load("name: abc\n", model=str(deployment_folder / "mlflow")).model.type == ModelType.MLFLOW

    def test_it_is_relative_to_the_working_folder(self, load, deployment_folder, monkeypatch):
        monkeypatch.chdir(deployment_folder / "mlflow")
        assert load("name: abc\n", model=".").model.path == str(deployment_folder / "mlflow")

    def test_it_keeps_the_type_of_the_file(self, load, deployment_folder):
        text = f"{CODE}model: {{path: gone, type: custom_model, name: m, version: 1}}\n"
        model = load(text, model=str(deployment_folder / "mlflow")).model
        assert model == Model(path=str(deployment_folder / "mlflow"), type=ModelType.CUSTOM)

    def test_it_must_be_of_the_type_of_the_file(self, faults, deployment_folder):
        text = "model: {path: gone, type: mlflow_model}\n"
        (fault,) = faults(text, model=str(deployment_folder / "model"))
        assert fault.message.startswith("type: mlflow_model needs a folder with an MLmodel file")
        assert "(from --model " in fault.message

    @pytest.mark.parametrize("text", ["models:/mnist/1", "azureml:mnist:2", "runs:/abc/model"])
    def test_it_may_be_a_reference(self, load, text):
        assert load("name: abc\n", model=text).model.reference == text

    def test_it_may_be_a_url(self, load):
        assert load("name: abc\n", model="s3://bucket/m").model == Model(path="s3://bucket/m")

    @pytest.mark.parametrize("text", ["", "gone", "azureml:", "a\0b", "x" * 5000])
    def test_it_is_refused_by_its_own_name(self, faults, text):
        (fault,) = faults("name: abc\n", model=text)
        assert (fault.line, fault.field) == (None, "model")
        assert "(from --model " in fault.message

    def test_the_rest_of_the_files_model_is_still_checked(self, faults, deployment_folder):
        text = "model:\n  path: gone\n  local_path: x\n"
        (fault,) = faults(text, model=str(deployment_folder / "mlflow"))
        assert (fault.line, fault.field) == (3, "model.local_path")


def test_the_folder_of_the_file_itself_can_be_the_model(load, deployment_folder: Path):
    (deployment_folder / "MLmodel").write_text("")
    assert load("model: {path: .}\n").model.path == str(deployment_folder)

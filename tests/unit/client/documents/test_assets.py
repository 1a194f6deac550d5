from __future__ import annotations

import pytest

from gristmill.documents import load_data, load_environment, load_model

READERS = pytest.mark.parametrize("reader", [load_model, load_data, load_environment])
BASE = {load_model: "path: model", load_data: "path: data", load_environment: "image: i"}


@READERS
def test_name_and_version_that_are_told_win(write, reader):
    found = reader(write(f"name: a\nversion: 1\n{BASE[reader]}\n"), name="told", version="2")
    assert (found["name"], found["version"]) == ("told", "2")


@READERS
def test_what_is_said_of_it_is_kept(write, reader):
    more = (
        "$schema: x\nid: x\ndescription: d\ntags: {a: 1.10}\nproperties: {b: c}\ncreation_context: {}\narchived: true\n"
    )
    found = reader(write(f"name: a\nversion: 1.10\n{BASE[reader]}\n{more}"))
    said = {"description": "d", "tags": {"a": "1.10"}, "properties": {"b": "c"}, "version": "1.10"}
    assert said.items() <= found.items()
    assert not {"$schema", "id", "creation_context", "archived"} & found.keys()


@READERS
@pytest.mark.parametrize(
    ("lines", "field", "message"),
    [
        ("description: x", "name", "Missing data for required field."),
        ("name: a b", "name", "String does not match expected pattern. Found 'a b'"),
        ("name: -a", "name", "String does not match expected pattern."),
        ("name: 1", "name", "Not a valid string."),
        ("name: a\nversion: latest", "version", "'latest' is a label; give a version"),
        ("name: a\nversion: 1/2", "version", "String does not match expected pattern."),
        ("name: a\nversion: [1]", "version", "Not a valid string."),
        ("name: a\nvesrion: 1", "vesrion", "Unknown field. Did you mean version?"),
    ],
)
def test_any_asset_is_refused(refused, reader, lines, field, message):
    (fault,) = refused(reader, f"{lines}\n{BASE[reader]}\n")
    assert fault.field == field
    assert fault.message.startswith(message)


@pytest.mark.parametrize(("path", "kind"), [("model", "custom_model"), ("mlflow", "mlflow_model")])
def test_a_local_model_has_the_type_of_its_files(write, place, path, kind):
    found = load_model(write(f"name: m\npath: ./{path}/\n"))
    assert found == {"name": "m", "path": str(place / path), "type": kind}


def test_a_stated_type_of_a_model_holds(write):
    assert load_model(write("name: m\npath: mlflow\ntype: Custom_Model\n"))["type"] == "custom_model"


@pytest.mark.parametrize(
    "path",
    [
        "s3://bucket/model",
        "azureml://jobs/j/outputs/artifacts/paths/model/",
        "azureml://datastores/d/paths/p",
        "runs:/abc/model",
        "models:/m/1",
    ],
)
def test_a_model_elsewhere_is_left_to_the_server(write, path):
    assert load_model(write(f"name: m\npath: {path}\n")) == {"name": "m", "path": path}


@pytest.mark.parametrize(
    ("lines", "field", "message"),
    [
        ("type: custom_model", "path", "Missing data for required field."),
        ("path: gone", "path", "no such file or folder: "),
        ("path: model\ntype: mlflow_model", "path", "type: mlflow_model needs a folder with an MLmodel file"),
        ("path: model\ntype: onnx", "type", "Value 'onnx' passed is not in set"),
        ("local_path: model", "local_path", "Unknown field. That is the 2021 form"),
        ("path: ''", "path", "the path is empty"),
    ],
)
def test_a_model_is_refused(refused, lines, field, message):
    found = {fault.field: fault.message for fault in refused(load_model, f"name: m\n{lines}\n")}
    assert found[field].startswith(message)


@pytest.mark.parametrize(("path", "kind"), [("data", "uri_folder"), ("data/a.csv", "uri_file")])
def test_local_data_has_the_type_of_what_is_there(write, place, path, kind):
    found = load_data(write(f"name: d\npath: {path}\n"))
    assert found == {"name": "d", "path": str(place / path), "type": kind}


def test_a_table_of_files_keeps_its_type(write):
    assert load_data(write("name: d\npath: data\ntype: mltable\n"))["type"] == "mltable"


@pytest.mark.parametrize("path", ["https://host/folder/", "azureml://datastores/d/paths/p/", "s3://b/k"])
def test_data_elsewhere_is_left_to_the_server(write, path):
    assert load_data(write(f"name: d\npath: {path}\n")) == {"name": "d", "path": path}


@pytest.mark.parametrize(
    ("lines", "field", "message"),
    [
        ("type: uri_file", "path", "Missing data for required field."),
        ("path: gone", "path", "no such file or folder: "),
        ("path: data\ntype: uri_file", "path", "type: uri_file is said of a folder: "),
        ("path: data/a.csv\ntype: uri_folder", "path", "type: uri_folder is said of a file: "),
        ("path: data\ntype: file_dataset", "type", "Value 'file_dataset' passed is not in set"),
        ("paths: [data]", "paths", "Unknown field. Did you mean path?"),
    ],
)
def test_data_is_refused(refused, lines, field, message):
    found = {fault.field: fault.message for fault in refused(load_data, f"name: d\n{lines}\n")}
    assert found[field].startswith(message)


def test_of_another_machine_nothing_is_looked_at():
    document = {"name": "d", "path": "/data/x", "type": "uri_file"}
    assert load_data(document, local=False) == document
    assert load_model({"name": "m", "path": "/data/x"}, local=False) == {"name": "m", "path": "/data/x"}


def test_a_conda_file_is_written_out(write):
    found = load_environment(write("name: e\nimage: i\nconda_file: file:environment/conda.yaml\nos_type: Linux\n"))
    assert found == {
        "name": "e",
        "image": "i",
        "conda_file": {"dependencies": ["python=3.11"]},
        "os_type": "linux",
    }
    assert load_environment(found, local=False) == found


def test_a_requirements_file_is_written_out(write):
    found = load_environment(write("name: e\nrequirements_file: environment/requirements.txt\n"))
    assert found == {"name": "e", "requirements_file": ["torch==2.2", "numpy"]}
    assert load_environment(found, local=False) == found


def test_a_build_is_recorded(write, place):
    found = load_environment(write("name: e\nbuild: {path: environment, dockerfile_path: Dockerfile}\n"))
    assert found["build"] == {"path": str(place / "environment"), "dockerfile_path": "Dockerfile"}


@pytest.mark.parametrize(
    ("lines", "field", "message"),
    [
        ("description: x", "", "there is nothing to make an environment from"),
        ("image: i\nbuild: {path: code}", "build", "image and build exclude each other"),
        ("build: {}", "build.path", "Missing data for required field."),
        ("build: {path: gone}", "build.path", "no such folder: "),
        ("build: {path: code, local_path: x}", "build.local_path", "Unknown field."),
        ("image: i\nconda_file: gone.yml", "conda_file", "{folder}/gone.yml: no such file"),
        ("image: i\ndependencies: [python]", "dependencies", "Unknown field. It belongs into the conda file"),
        ("image: i\ndocker: {image: i}", "docker", "Unknown field. That is the 2021 form"),
        ("image: i\nos_type: bsd", "os_type", "Value 'bsd' passed is not in set"),
        (
            "conda_file: environment/conda.yaml\nrequirements_file: environment/requirements.txt",
            "requirements_file",
            "conda_file and requirements_file exclude each other",
        ),
    ],
)
def test_an_environment_is_refused(refused, place, lines, field, message):
    (fault,) = refused(load_environment, f"name: e\n{lines}\n")
    assert fault.field == field
    assert fault.message.startswith(message.format(folder=place))

from __future__ import annotations

import pytest

from gristmill.deployment import build_deployment, load_deployment
from gristmill.documents import load_deployment_document
from gristmill.errors import InvalidDeployment

CURRENT = """\
$schema: x
name: Torch
endpoint_name: MNIST-Batch
type: model
model: {name: mnist, path: model}
code_configuration: {code: ./code, scoring_script: ./batch_driver.py}
environment: {name: e, image: i, conda_file: environment/conda.yaml}
environment_variables: {A: 1.10}
compute: azureml:batch-cluster
resources: {instance_count: 2}
settings:
  output_action: AppendRow
  retry_settings: {timeout: "300"}
  mini_batch_size: 10
"""
TREE = "upload:" + "0" * 64


def expected(place):
    return {
        "name": "torch",
        "endpoint_name": "mnist-batch",
        "type": "model",
        "model": {"name": "mnist", "path": str(place / "model"), "type": "custom_model"},
        "code_configuration": {"code": str(place / "code"), "scoring_script": "batch_driver.py"},
        "environment": {"name": "e", "image": "i", "conda_file": {"dependencies": ["python=3.11"]}},
        "environment_variables": {"A": "1.10"},
        "compute": "azureml:batch-cluster",
        "resources": {"instance_count": 2},
        "settings": {"mini_batch_size": 10, "retry_settings": {"timeout": 300}, "output_action": "append_row"},
    }


def test_a_deployment_is_read_in_the_files_own_words(write, place):
    assert load_deployment_document(write(CURRENT)) == expected(place)


def test_the_flat_form_becomes_the_current_one(write, place):
    head, _, settings = CURRENT.partition("settings:\n")
    flat = head.replace("type: model\n", "") + "\n".join(line.strip() for line in settings.splitlines())
    assert load_deployment_document(write(flat)) == expected(place)


def test_the_form_of_2021_becomes_the_current_one(write, place):
    text = """\
name: Torch
endpoint_name: mnist-batch
model: {name: mnist, local_path: ./model}
code_configuration: {code: {local_path: ./code/}, scoring_script: batch_driver.py}
environment: {name: e, path: ., conda_file: file:./environment/conda.yaml, docker: {image: i}}
environment_variables: {A: 1.10}
compute: {target: azureml:batch-cluster, instance_count: 2}
mini_batch_size: 10
retry_settings: {timeout: 300}
output_action: append_row
"""
    assert load_deployment_document(write(text)) == expected(place)


def test_what_comes_out_can_be_read_again(write, place):
    assert load_deployment_document(load_deployment_document(write(CURRENT))) == expected(place)


def test_it_scores_as_the_file_does(write, place):
    path = write(CURRENT)
    document = load_deployment_document(path)
    direct, again = load_deployment(path), build_deployment(document, source="x", folder=place / "environment")
    assert again == direct


def test_nothing_is_filled_in(write, place):
    path = write("name: abc\nendpoint_name: end\nmodel: azureml:m@latest\ncompute: Local\n")
    assert load_deployment_document(path) == {
        "name": "abc",
        "endpoint_name": "end",
        "type": "model",
        "model": "azureml:m@latest",
        "compute": "azureml:Local",
    }


def test_the_local_compute_has_no_prefix(write):
    path = write("name: abc\nendpoint_name: end\nmodel: azureml:m:1\ncompute: local\n")
    assert load_deployment_document(path)["compute"] == "local"


def test_names_that_are_told_win(write):
    document = load_deployment_document(
        write("name: a\nmodel: azureml:m:1\n"), name="Told", endpoint_name="Endpoint", overrides=["name=set"]
    )
    assert (document["name"], document["endpoint_name"]) == ("told", "endpoint")


def test_a_name_that_is_told_is_blamed_by_its_option(write):
    with pytest.raises(InvalidDeployment, match=r"Found '1' with 1 \(from --name 1\)|pattern.*\(from --name 1\)"):
        load_deployment_document(write(CURRENT), name="1")


def test_both_names_are_required(refused):
    found = refused(load_deployment_document, "model: azureml:m:1\n")
    assert [fault.field for fault in found] == ["name", "endpoint_name"]
    assert all(fault.message.startswith("Missing data for required field.") for fault in found)


@pytest.mark.parametrize(
    ("key", "written"),
    [("requirements_file", "environment/requirements.txt"), ("conda_file", "environment/requirements.txt")],
)
def test_requirements_are_written_out(write, key, written):
    environment = f"environment: {{{key}: {written}}}\n"
    path = write("name: abc\nendpoint_name: end\nmodel: azureml:m:1\n" + environment)
    document = load_deployment_document(path)
    assert document["environment"] == {"requirements_file": ["torch==2.2", "numpy"]}
    assert load_deployment_document(document) == document


def test_set_reaches_the_document(write):
    document = load_deployment_document(write(CURRENT), overrides=["settings.mini_batch_size=5", "tags.a=b"])
    assert document["settings"]["mini_batch_size"] == 5
    assert document["tags"] == {"a": "b"}


def test_set_beneath_a_reference_is_refused(refused):
    text = "name: abc\nendpoint_name: end\nmodel: azureml:m:1\n"
    found = refused(load_deployment_document, text, overrides=["model.path=x"])
    assert found[-1].message.startswith("Cannot use '--set' on properties defined by reference strings.")


def test_an_mlflow_model_needs_no_script(write, place):
    document = load_deployment_document(write("name: abc\nendpoint_name: end\nmodel: {path: mlflow}\n"))
    assert document["model"] == {"path": str(place / "mlflow"), "type": "mlflow_model"}


def test_a_pipeline_is_refused(refused):
    (fault,) = refused(load_deployment_document, "name: abc\nendpoint_name: end\ntype: pipeline\ncomponent: a\n")
    assert fault.message.startswith("pipeline deployments are not run")


def test_all_faults_come_at_once_and_as_a_deployments(write):
    with pytest.raises(InvalidDeployment) as caught:
        load_deployment_document(write(CURRENT.replace("path: model", "path: gone").replace("size: 10", "size: ten")))
    assert [fault.field for fault in caught.value.faults] == ["model.path", "settings.mini_batch_size"]


REMOTE = {
    "name": "torch",
    "endpoint_name": "mnist",
    "type": "model",
    "model": {"path": f"{TREE}/mnist"},
    "code_configuration": {"code": TREE, "scoring_script": "a/../batch_driver.py"},
    "environment": {"conda_file": {"dependencies": ["python=3.11"]}},
}


def test_of_another_machine_nothing_is_looked_at():
    document = load_deployment_document(REMOTE, local=False)
    assert document["model"] == {"path": f"{TREE}/mnist"}
    assert document["code_configuration"] == {"code": TREE, "scoring_script": "batch_driver.py"}


@pytest.mark.parametrize("path", ["/data/model", "s3://bucket/model", "azureml://datastores/d/paths/p", "azureml:m:1"])
def test_of_another_machine_a_path_is_kept(path):
    assert load_deployment_document({**REMOTE, "model": {"path": path}}, local=False)["model"] == {"path": path}


@pytest.mark.parametrize(
    ("part", "field", "message"),
    [
        ({"model": {"path": "model"}}, "model.path", "'model' is relative to nothing here"),
        ({"model": {"path": "file:/model"}}, "model.path", "'file:/model' is relative to nothing here"),
        ({"model": {"path": "upload:../../x"}}, "model.path", "'upload:../../x' is relative to nothing here"),
        ({"environment": {"conda_file": "/c.yml"}}, "environment.conda_file", "a file cannot be read here"),
        (
            {"code_configuration": {"code": TREE, "scoring_script": "../x.py"}},
            "code_configuration.scoring_script",
            "'../x.py' is not inside the code folder",
        ),
        (
            {"code_configuration": {"code": "code", "scoring_script": "x.py"}},
            "code_configuration.code",
            "'code' is relative to nothing here",
        ),
    ],
)
def test_of_another_machine_a_relative_path_is_refused(part, field, message):
    with pytest.raises(InvalidDeployment) as caught:
        load_deployment_document({**REMOTE, **part}, local=False)
    (fault,) = caught.value.faults
    assert fault.field == field
    assert fault.message.startswith(message)


def test_addresses_become_a_deployment_without_a_folder():
    deployment = build_deployment({**REMOTE, "model": {"path": "s3://b/m"}}, source="x", folder=None)
    assert deployment.model is not None
    assert deployment.model.path == "s3://b/m"
    assert deployment.code_configuration is not None
    assert deployment.code_configuration.code == TREE

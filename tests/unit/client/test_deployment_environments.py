from __future__ import annotations

import pytest

from gristmill.deployment.environments import requirements
from gristmill.spec import Environment

CODE = "code_configuration: {code: code, scoring_script: batch_driver.py}\n"
CONTENT = {
    "name": "mnist-env",
    "channels": ["conda-forge"],
    "dependencies": ["python=3.8.5", "pip<22.0", {"pip": ["torch==1.13.0", "azureml-core"]}],
}


def test_none_given_is_none(load):
    assert load(CODE).environment is None


@pytest.mark.parametrize(
    ("reference", "name", "version"),
    [
        ("azureml:torch:3", "torch", "3"),
        ("azureml:torch@latest", "torch", "latest"),
        ("azureml:torch", "torch", ""),
        ("azureml:AzureML-sklearn-1.0:1", "AzureML-sklearn-1.0", "1"),
        ("azureml://registries/azureml/environments/sk/labels/latest", "sk", "latest"),
        ("/subscriptions/s/workspaces/w/environments/sk/versions/2", "sk", "2"),
    ],
)
def test_a_reference_is_recorded(load, reference, name, version):
    expected = Environment(reference=reference, name=name, version=version)
    assert load(f"{CODE}environment: {reference}\n").environment == expected


@pytest.mark.parametrize("text", ["conda.yaml", "./env.yml", "torch:1", "azureml:", "models:/m/1", "''"])
def test_a_text_that_is_no_reference_is_refused(faults, text):
    (fault,) = faults(f"{CODE}environment: {text if text != 'azureml:' else repr(text)}\n")
    assert (fault.line, fault.field) == (2, "environment")
    assert "is not a reference" in fault.message
    assert "conda_file" in fault.message


@pytest.mark.parametrize(
    "path", ["environment/conda.yaml", "./environment/conda.yaml", "file:./environment/conda.yaml"]
)
def test_a_conda_file_is_read(load, deployment_folder, path):
    found = load(
        f"{CODE}environment:\n  conda_file: {path}\n  image: mcr/x:latest\n  name: e\n  version: 1\n"
    ).environment
    expected = Environment(
        name="e", version="1", image="mcr/x:latest", conda=CONTENT, folder=str(deployment_folder / "environment")
    )
    assert found == expected


def test_a_conda_environment_may_be_written_out(load, deployment_folder):
    text = "environment:\n  conda_file:\n    dependencies: [python=3.11, {pip: [numpy]}]\n"
    expected = Environment(conda={"dependencies": ["python=3.11", {"pip": ["numpy"]}]}, folder=str(deployment_folder))
    assert load(CODE + text).environment == expected


@pytest.mark.parametrize("key", ["requirements_file", "conda_file"])
def test_a_requirements_file_is_read(load, deployment_folder, key):
    found = load(f"{CODE}environment: {{{key}: environment/requirements.txt}}\n").environment
    folder = str(deployment_folder / "environment")
    assert found == Environment(requirements=("torch==2.2", "numpy"), folder=folder)


def test_an_empty_requirements_file_asks_for_nothing(load, deployment_folder):
    (deployment_folder / "r.txt").write_text("# nothing\n")
    assert load(f"{CODE}environment: {{requirements_file: r.txt}}\n").environment.requirements == ()


def test_requirements_lose_comments_and_join_continued_lines():
    text = (
        "a==1 # one\r\n#two\n\n  b>=2 \\\n    --hash=sha256:00 \\\r\n    --hash=sha256:11\n"
        "c @ git+https://x/y#egg=c\n-r more.txt\n"
    )
    joined = "b>=2      --hash=sha256:00      --hash=sha256:11"
    assert requirements(text) == ("a==1", joined, "c @ git+https://x/y#egg=c", "-r more.txt")


def test_an_image_alone_is_recorded(load):
    assert load(f"{CODE}environment: {{image: ubuntu}}\n").environment == Environment(image="ubuntu")


def test_all_keys_of_azure_are_tolerated(load):
    text = (
        "environment:\n  $schema: x\n  id: x\n  name: e\n  version: 2\n  description: x\n  tags: {a: 1}\n"
        "  properties: {}\n  os_type: linux\n  datastore: x\n"
        "  inference_config: {liveness_route: {port: 1}}\n  image: i\n"
    )
    assert load(CODE + text).environment.image == "i"


@pytest.mark.parametrize(
    ("lines", "field", "message"),
    [
        ("name: e", "", "there is nothing to make an environment from; give conda_file, requirements_file or image"),
        ("build: {path: docker}", "build", "Gristmill builds no containers; give image, conda_file or both"),
        ("image: i\n  build: {path: docker}", "build", "image and build exclude each other, and Gristmill builds no"),
        ("conda_file: gone.yaml", "conda_file", "{folder}/gone.yaml: no such file"),
        ("conda_file: environment", "conda_file", "{folder}/environment: is a folder"),
        ("conda_file: ''", "conda_file", "the path is empty"),
        ("conda_file: [a]", "conda_file", "Not a valid string. Found a list; give the path of a file, or its content"),
        (
            "conda_file: {}",
            "conda_file",
            "Not a valid string. Found a mapping; give the path of a file, or its content",
        ),
        ("conda_file: 5", "conda_file", "Not a valid string. Found 5"),
        ("conda_file:", "conda_file", "Not a valid string. Found nothing"),
        ("conda_file: https://x/y.yml", "conda_file", "an address cannot be read here"),
        ("requirements_file: gone.txt", "requirements_file", "{folder}/gone.txt: no such file"),
        ("requirements_file: [1]", "requirements_file[0]", "Not a valid string. Found 1; give a text"),
        ("requirements_file: {}", "requirements_file", "Not a valid string. Found a mapping"),
        ("image: 5", "image", "Not a valid string. Found 5"),
        ("version: 1.0\n  image: i\n  conda: x", "conda", "Unknown field. Did you mean conda_file?"),
        ("image: i\n  docker: {image: x}", "docker", "Unknown field. That is the 2021 form; write image: <image>"),
        ("docker: {build: x}\n  image: i", "docker", "Unknown field. That is the 2021 form; write image: <image>"),
        ("image: i\n  dependencies: []", "dependencies", "Unknown field. It belongs into the conda file"),
        (
            "conda_file: environment/conda.yaml\n  requirements_file: environment/requirements.txt",
            "requirements_file",
            "conda_file and requirements_file exclude each other; give one",
        ),
    ],
)
def test_an_environment_is_refused(faults, deployment_folder, lines, field, message):
    (fault,) = faults(f"{CODE}environment:\n  {lines}\n")
    assert fault.field == (f"environment.{field}" if field else "environment")
    assert fault.message.startswith(message.format(folder=deployment_folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [\n", "line 2: column 1: not YAML"),
        ("\tname: x\n", "line 1: column 1: a tab; indent with spaces"),
        ("", "the file is empty"),
        ("- python\n", "line 1: found a list where a YAML mapping"),
        ("name: a\nname: b\n", "line 2: name: the key stands twice, first in line 1"),
        ("dependencies: python\n", "line 1: dependencies: Not a valid list. Found 'python'; give '- name' lines"),
        ("dependencies:\n  - 3.8\n", "line 2: dependencies[0]: Not a valid string. Found 3.8; give a package"),
        ("dependencies:\n  - python\n  -\n", "line 3: dependencies[1]: Not a valid string. Found nothing"),
        ("dependencies:\n  - pip: torch\n", "line 2: dependencies[0].pip: Not a valid list. Found 'torch'"),
        ("dependencies:\n  - pip:\n    - 1\n", "line 3: dependencies[0].pip[0]: Not a valid string. Found 1"),
        ("dependencies:\n  - pip: []\n    b: 1\n", "line 2: dependencies[0]: Not a valid string. Found a mapping"),
        ("channels: conda-forge\n", "line 1: channels: Not a valid list. Found 'conda-forge'"),
        ("channels:\n  - pip: [a]\n", "line 2: channels[0]: Not a valid string. Found a mapping"),
    ],
)
def test_a_conda_file_is_refused_with_its_own_line(faults, deployment_folder, content, message):
    path = deployment_folder / "bad.yml"
    path.write_text(content)
    (fault,) = faults(f"{CODE}environment:\n  conda_file: bad.yml\n")
    assert (fault.line, fault.field) == (3, "environment.conda_file")
    separator = ": " if content == "" else ", "
    assert fault.message.startswith(f"{path}{separator}{message}")


def test_all_faults_of_a_conda_file_come_at_once(faults, deployment_folder):
    (deployment_folder / "bad.yml").write_text("channels: x\ndependencies: [1, 2]\n")
    assert len(faults(f"{CODE}environment: {{conda_file: bad.yml}}\n")) == 3


def test_a_conda_file_that_is_not_utf8_is_refused(faults, deployment_folder):
    (deployment_folder / "bad.yml").write_bytes(b"name: a\nx: \xff\n")
    (fault,) = faults(f"{CODE}environment: {{conda_file: bad.yml}}\n")
    assert fault.message == f"{deployment_folder}/bad.yml, line 2: not UTF-8; save the file with that encoding"


def test_a_fault_of_conda_written_out_has_the_line_of_the_deployment(faults):
    text = "environment:\n  conda_file:\n    dependencies:\n      - 3.8\n"
    (fault,) = faults(CODE + text)
    assert (fault.line, fault.field) == (5, "environment.conda_file.dependencies[0]")


def test_a_date_in_a_conda_file_stays_a_text(load):
    text = "environment: {conda_file: {dependencies: [python], variables: {DAY: 2024-01-02}}}\n"
    assert load(CODE + text).environment.conda["variables"] == {"DAY": "2024-01-02"}

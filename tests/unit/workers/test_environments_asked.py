from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from gristmill import spec
from gristmill.errors import EnvironmentFailed
from gristmill.spec import EnvironmentMode
from gristmill_workers.environments.asked import UNKNOWN_MLFLOW, what_is_asked

CODE = spec.CodeConfiguration(code="/code", scoring_script="score.py")
SAMPLE = {
    "name": "env",
    "channels": ["conda-forge"],
    "dependencies": [
        "python=3.8.5",
        "pip<22.0",
        "setuptools=50",
        {"pip": ["azureml-core", "torch==1.13.0", "-r more.txt"]},
    ],
}


def asked(
    conda=None, *, requirements=None, folder="", code=CODE, mode=EnvironmentMode.AUTO, model=None, has_conda=False
):
    environment = None
    if conda is not None or requirements is not None:
        environment = spec.Environment(conda=conda, requirements=requirements, folder=str(folder))
    deployment = spec.Deployment(environment=environment, code_configuration=code)
    return what_is_asked(deployment, mode, model, has_conda=has_conda)


def lines(found) -> list[str]:
    return [line.text for line in found.requirements.lines]


@pytest.fixture
def model(tmp_path) -> Path:
    """An MLflow model as MLflow saves it."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_mlmodel(folder, mlflow_version="2.9.2")
    pip = ["mlflow==2.9.2", "scikit-learn==1.1.3"]
    (folder / "conda.yaml").write_text(yaml.safe_dump({"dependencies": ["python=3.8.18", "pip<=23", {"pip": pip}]}))
    (folder / "python_env.yaml").write_text(
        "python: 3.8.18\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n"
    )
    (folder / "requirements.txt").write_text("mlflow==2.9.2\nscikit-learn==1.1.3\n")
    return folder


def write_mlmodel(folder: Path, **fields) -> None:
    flavors = {"python_function": {"loader_module": "mlflow.sklearn", "python_version": "3.8.18"}}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors, **fields}))


def test_a_conda_file_as_azures_samples_write_it(tmp_path):
    (tmp_path / "more.txt").write_text("pandas\n")
    found = asked(SAMPLE, folder=tmp_path)
    assert found.python.exact == Version("3.8.5")
    assert lines(found) == ["torch==1.13.0", "pandas"]
    assert found.requirements.skipped == ("azureml-core",)
    assert found.conda == ()


def test_other_conda_packages_are_told_apart():
    found = asked(
        {"channels": ["x"], "dependencies": ["python", "conda-forge::scikit-learn=1.1", "numpy >=1.20", "azureml-core"]}
    )
    assert [(package.name, package.version) for package in found.conda] == [
        ("scikit-learn", "=1.1"),
        ("numpy", ">=1.20"),
    ]
    assert found.channels == ("x",)
    assert found.requirements.skipped == ("azureml-core",)


@pytest.mark.parametrize(
    "document", [{}, {"dependencies": None}, {"dependencies": ["python", "pip"]}, {"channels": ["x"]}]
)
def test_a_conda_file_may_ask_for_nothing(document):
    assert asked(document) is None


def test_a_conda_file_of_another_shape_is_refused():
    with pytest.raises(EnvironmentFailed, match=r"environment.conda_file: dependencies: found 'python'; give a list"):
        asked({"dependencies": "python"})
    with pytest.raises(EnvironmentFailed, match=r"pip: found 'six'"):
        asked({"dependencies": [{"pip": "six"}]})


def test_requirements_of_a_deployment(tmp_path):
    assert lines(asked(requirements=("six==1.16.0",), folder=tmp_path)) == ["six==1.16.0"]


def test_no_environment_asks_for_nothing():
    assert asked() is None
    assert (
        what_is_asked(
            spec.Deployment(environment=spec.Environment(image="x"), code_configuration=CODE),
            EnvironmentMode.MODEL,
            None,
            has_conda=False,
        )
        is None
    )


def test_a_no_code_deployment_asks_for_what_its_model_was_saved_with(model):
    found = asked(code=None, model=model)
    assert found.source == "the model's conda.yaml"
    assert found.python.exact == Version("3.8.18")
    assert lines(found) == ["mlflow==2.9.2", "scikit-learn==1.1.3"]
    assert found.mlflow is None


def test_a_script_uses_the_models_environment_only_when_told_to(model):
    assert asked(model=model) is None
    assert lines(asked(model=model, mode=EnvironmentMode.MODEL)) == ["mlflow==2.9.2", "scikit-learn==1.1.3"]


def test_a_deployments_own_environment_comes_before_its_models(model):
    found = asked(requirements=("six",), code=None, model=model, mode=EnvironmentMode.MODEL)
    assert lines(found) == ["six"]
    assert found.mlflow == Version("2.9.2")


def test_a_model_that_needs_conda_is_taken_by_its_pip_files_where_there_is_none(model):
    (model / "conda.yaml").write_text("dependencies: [python=3.8.18, scikit-learn=1.1]\n")
    assert asked(code=None, model=model).source == "the model's python_env.yaml"
    assert asked(code=None, model=model, has_conda=True).source == "the model's conda.yaml"
    (model / "python_env.yaml").unlink()
    assert asked(code=None, model=model).source == "the model's requirements.txt"
    (model / "requirements.txt").unlink()
    assert asked(code=None, model=model).conda[0].text == "scikit-learn=1.1"


@pytest.mark.parametrize("file", ["conda.yaml", "python_env.yaml", "requirements.txt"])
def test_each_of_a_models_files_says_which_python(model, file):
    for other in {"conda.yaml", "python_env.yaml", "requirements.txt"} - {file, "requirements.txt"}:
        (model / other).unlink()
    found = asked(code=None, model=model)
    assert found.source == f"the model's {file}"
    assert found.python.exact == Version("3.8.18")
    assert lines(found) == ["mlflow==2.9.2", "scikit-learn==1.1.3"]


def test_mlflow_is_added_where_a_no_code_model_does_not_ask_for_it(model):
    for file in ("conda.yaml", "python_env.yaml"):
        (model / file).unlink()
    (model / "requirements.txt").write_text("six\n")
    assert asked(code=None, model=model).mlflow == Version("2.9.2")
    write_mlmodel(model)
    assert asked(code=None, model=model).mlflow == UNKNOWN_MLFLOW
    (model / "requirements.txt").write_text("mlflow_skinny\n")
    assert asked(code=None, model=model).mlflow is None


def test_a_model_without_any_file_of_requirements_needs_mlflow_alone(tmp_path):
    write_mlmodel(tmp_path, mlflow_version="1.30.0")
    found = asked(code=None, model=tmp_path)
    assert (found.mlflow, lines(found), found.source) == (Version("1.30.0"), [], "the model's MLmodel")


def test_a_models_file_that_is_no_yaml_is_named(model):
    (model / "conda.yaml").write_text("dependencies: [python")
    with pytest.raises(EnvironmentFailed, match=r"conda.yaml: cannot be read as YAML"):
        asked(code=None, model=model)
    (model / "conda.yaml").write_text("- python")
    with pytest.raises(EnvironmentFailed, match=r"conda.yaml: found list"):
        asked(code=None, model=model)

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from gristmill import spec
from gristmill.errors import EnvironmentFailed
from gristmill.settings import ProcessSettings
from gristmill.spec import EnvironmentMode
from gristmill_workers.environments import prepare_environment

CODE = spec.CodeConfiguration(code="/code", scoring_script="score.py")
HERE = "{}.{}".format(*platform.python_version_tuple())


@pytest.fixture
def prepare(tmp_path):
    """Returns the Python chosen, and what was logged; the worker's Python is the only one."""
    settings = ProcessSettings.read({"HOME": str(tmp_path), "PATH": "", "GRISTMILL_CACHE": str(tmp_path / "cache")})

    def call(mode=EnvironmentMode.AUTO, **environment):
        log: list[str] = []
        given = spec.Environment(**environment) if environment else None
        deployment = spec.Deployment(environment=given, code_configuration=CODE)
        return prepare_environment(deployment, mode, mlflow_model=None, settings=settings, log=log.append), log

    return call


def is_the_workers(python) -> bool:
    return (python.executable, python.python, python.origin, python.key) == (
        Path(sys.executable),
        platform.python_version(),
        "worker",
        "",
    )


def test_no_environment_is_the_workers_own(prepare):
    python, log = prepare()
    assert is_the_workers(python)
    assert "asks for no other" in python.why
    assert log == []


def test_an_image_or_a_reference_alone_is_the_workers_own_and_said_so(prepare):
    python, _ = prepare(image="host/image:1")
    assert is_the_workers(python)
    assert "host/image:1 is recorded" in python.why
    assert "azureml:env:1" in prepare(reference="azureml:env:1")[0].why


def test_inherit_asks_nothing(prepare):
    python, _ = prepare(EnvironmentMode.INHERIT, requirements=("no-such-distribution", "not a requirement"))
    assert is_the_workers(python)


def test_auto_takes_the_workers_own_where_it_has_all(prepare):
    pip = {"pip": ["pyyaml", "azureml-core"]}
    python, log = prepare(conda={"channels": ["x"], "dependencies": [f"python={HERE}.99", "pip", pip]})
    assert is_the_workers(python)
    assert python.why == "the worker's own has all that environment.conda_file asks for"
    assert log == ["environment.conda_file: passed over, not needed here: azureml-core"]


def test_a_python_that_is_not_here_is_an_error_before_anything_is_built(prepare, tmp_path):
    with pytest.raises(EnvironmentFailed, match=r"python=3.99 is asked for and this machine has"):
        prepare(conda={"dependencies": ["python=3.99"]})
    assert not (tmp_path / "cache" / "environments").exists()


def test_conda_packages_without_conda_are_named_with_the_fix(prepare, tmp_path):
    with pytest.raises(EnvironmentFailed) as raised:
        prepare(conda={"dependencies": ["python=3.8", "conda-forge::scikit-learn=1.1", "libgomp"]})
    assert "conda-forge::scikit-learn=1.1, libgomp: these are conda packages" in raised.value.message
    assert "move them into the pip: section" in raised.value.message
    assert not (tmp_path / "cache" / "environments").exists()

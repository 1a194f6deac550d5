"""Deployments that bring a Python of their own."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import pytest

VERSIONS = """
    import sys

    def init():
        global pandas, sklearn
        import pandas, sklearn

    def run(mini_batch):
        return pandas.DataFrame({
            "python": ["%d.%d" % sys.version_info[:2]] * len(mini_batch),
            "pandas": pandas.__version__,
            "sklearn": sklearn.__version__,
        })
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> dict[str, str]:
    """A cache of the module's own, so that each environment is really built, once.

    Python compiles in them what it imports, as it does when nobody forbids it, and not the half gigabyte that is there.
    """
    return {"GRISTMILL_CACHE": str(tmp_path_factory.mktemp("cache")), "PYTHONDONTWRITEBYTECODE": ""}


def conda(project, *pip: str, python: str) -> None:
    document = {"dependencies": [f"python={python}", "pip", {"pip": list(pip)}]}
    (project.folder / "conda.yml").write_text(json.dumps(document))


def has_python(version: str) -> bool:
    found = shutil.which(f"python{version}") is not None
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    return found or any(pyenv.glob(f"{version}.*"))


ENVIRONMENT = '"environment": {"conda_file": "conda.yml", "image": "recorded"}'


@pytest.mark.skipif(not has_python("3.8"), reason="no Python 3.8 on this machine")
def test_an_old_python_with_old_libraries_really_runs(project, succeed, cache) -> None:
    project.files(5)
    project.script(VERSIONS)
    conda(project, "scikit-learn==1.1.3", "pandas==1.5.3", "azureml-core", python="3.8.5")
    project.deployment(root=ENVIRONMENT, mini_batch_size=2)

    ran = succeed(env=cache)

    assert ran.rows == b"3.8 1.5.3 1.1.3\n" * 5
    assert ran.summary["versions"]["scorer_python"].startswith("3.8.")
    assert "azureml-core" in "".join(path.read_text() for path in (ran.job / "logs/sys").rglob("*.txt"))


def test_inherit_runs_on_the_workers_own_python(project, succeed, cache) -> None:
    project.files(1)
    project.script(VERSIONS)
    conda(project, "pandas==1.5.3", python="3.8.5")
    project.deployment(root=ENVIRONMENT)

    assert succeed("--env", "inherit", env=cache).rows.startswith(b"%d.%d " % sys.version_info[:2])


def test_auto_runs_on_the_workers_own_python_where_that_satisfies(project, succeed, cache) -> None:
    project.files(1)
    project.script("import sys\ndef init(): pass\ndef run(mini_batch): return [sys.prefix]\n")
    conda(project, "pandas>=1", python=f"{sys.version_info[0]}.{sys.version_info[1]}")
    project.deployment(root=ENVIRONMENT)

    assert succeed(env=cache).rows.decode().strip() == sys.prefix


def test_a_requirement_that_does_not_exist_fails_the_job_with_the_installers_words(project, cache) -> None:
    project.files(1)
    project.script()
    conda(project, "six==0.0.0.1", python=f"{sys.version_info[0]}.{sys.version_info[1]}")
    project.deployment(root=ENVIRONMENT)

    ran = project.run(env=cache)

    assert ran.returncode == 1
    assert "six==0.0.0.1" in ran.stderr


def test_a_python_that_is_not_there_is_refused_with_ways_out(project, cache) -> None:
    project.files(1)
    project.script()
    conda(project, "six", python="3.99.1")
    project.deployment(root=ENVIRONMENT)

    ran = project.run(env=cache)

    assert ran.returncode == 1
    assert "3.99" in ran.stderr
    assert "--env inherit" in ran.stderr


def test_packages_of_conda_itself_are_refused_by_name_where_there_is_no_conda(project, cache) -> None:
    if any(shutil.which(tool) for tool in ("conda", "micromamba", "mamba")):
        pytest.skip("this machine has conda")
    project.files(1)
    project.script()
    (project.folder / "conda.yml").write_text('{"dependencies": ["python=3.8", "scikit-learn=1.1", {"pip": ["six"]}]}')
    project.deployment(root=ENVIRONMENT)

    ran = project.run(env=cache)

    assert ran.returncode == 1
    assert "scikit-learn" in ran.stderr
    assert "pip" in ran.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """An MLflow model of a function that needs nothing but what MLflow needs."""
    path = tmp_path_factory.mktemp("models") / "doubler"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import pandas as pd

        class Doubler(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                import six

                return model_input["x"] * 2 + len(six.moves.__name__) * 0

        mlflow.pyfunc.save_model(
            str(path),
            python_model=Doubler(),
            signature=mlflow.models.infer_signature(pd.DataFrame({"x": [1.0]}), pd.Series([2.0])),
            pip_requirements=[f"mlflow-skinny=={mlflow.__version__}", "pandas", "cloudpickle", "six==1.16.0"],
        )
    return path


def test_a_models_own_environment_is_built_and_used(project, succeed, cache, model) -> None:
    (project.input / "t.csv").write_text("x\n1.5\n2\n")
    shutil.rmtree(project.model)
    shutil.copytree(model, project.model)
    project.deployment(no_code=True)

    ran = succeed("--env", "model", env=cache)

    assert ran.rows == b"0,3.0,t.csv\n1,4.0,t.csv\n"
    again = succeed("--env", "model", env=cache)
    assert again.rows == ran.rows
    assert "(from the cache)" in "".join(path.read_text() for path in (again.job / "logs/sys").rglob("*.txt"))

from __future__ import annotations

import platform
from importlib import metadata

import pytest
from packaging.version import Version

from gristmill_workers.environments.asked import Asked, CondaPackage
from gristmill_workers.environments.requirements import read_requirements
from gristmill_workers.environments.satisfied import unmet
from gristmill_workers.environments.versions import python_wish

PACKAGING = metadata.version("packaging")
HERE = platform.python_version_tuple()


def lacking(*lines, folder="/", python="", no_code=False, **fields):
    from pathlib import Path

    requirements = read_requirements(lines, Path(folder), "x")
    return unmet(
        Asked(source="x", requirements=requirements, python=python_wish(python, "x"), **fields), no_code=no_code
    )


def test_what_is_installed_in_a_version_that_fits_is_no_reason_to_build():
    assert lacking("packaging", f"packaging=={PACKAGING}", "PyYAML>=6", "--index-url http://a/") == ""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("packaging==1.0", f"packaging==1.0 is asked for and {PACKAGING} is installed"),
        ("no-such-distribution", "no-such-distribution is not installed"),
        ("git+https://host/x.git", "cannot be compared"),
        ("packaging @ https://host/p.whl", "cannot be compared"),
    ],
)
def test_the_first_thing_missing_is_said(line, reason):
    assert reason in lacking("pyyaml", line)


def test_markers_that_do_not_hold_ask_for_nothing():
    assert lacking('no-such-distribution; python_version < "3"') == ""
    assert lacking('no-such-distribution; python_version > "3"') != ""


def test_another_patch_of_the_same_minor_version_will_do():
    assert lacking(python=f"={HERE[0]}.{HERE[1]}.99") == ""
    assert f"this is {platform.python_version()}" in lacking(python="=3.8.5")


def test_constraints_count_only_for_what_is_installed(tmp_path):
    (tmp_path / "c.txt").write_text("no-such-distribution<2\n")
    assert lacking("-c c.txt", folder=tmp_path) == ""
    (tmp_path / "c.txt").write_text("packaging<2\n")
    assert "packaging<2 is asked for" in lacking("-c c.txt", folder=tmp_path)


def test_extras_are_looked_into():
    assert lacking("celery[redis]") == ""
    assert "is not installed" in lacking("celery[pytest,zookeeper]")


@pytest.mark.skipif(not metadata.packages_distributions().get("mlflow"), reason="MLflow is not installed")
def test_a_model_that_is_only_loaded_is_content_with_mlflow_skinny():
    version = Version(metadata.version("mlflow-skinny"))
    assert lacking(f"mlflow=={version}", no_code=True) == ""
    assert lacking("mlflow==1.0", no_code=True) != ""
    assert lacking(mlflow=Version("1.0")) == ""
    assert lacking(mlflow=Version("99")) != ""
    try:
        metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        assert lacking(f"mlflow=={version}") == "mlflow is not installed"


def test_conda_packages_are_compared_under_their_own_name():
    major = PACKAGING.split(".", maxsplit=1)[0]

    def package(version):
        return (CondaPackage(text=f"packaging{version}", name="packaging", version=version),)

    assert lacking(conda=package(f"={major}")) == ""
    assert lacking(conda=package("=1")) != ""
    assert "cannot be compared" in lacking(conda=package("=1|2"))

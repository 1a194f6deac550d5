"""What a deployment asks of its Python: from its own environment, or from what its MLflow model was saved with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml
from packaging.version import InvalidVersion, Version

from gristmill import spec
from gristmill.errors import EnvironmentFailed
from gristmill_workers.environments.requirements import NO_REQUIREMENTS, SKIPPED, Requirements, read_requirements
from gristmill_workers.environments.versions import ANY_PYTHON, PythonWish, python_wish

#: What conda environments list for pip's own sake: there anyway, whatever the version.
_TOOLS: Final = frozenset({"pip", "setuptools", "wheel"})

#: Stands for the version of a model that does not say by which MLflow it was saved.
UNKNOWN_MLFLOW: Final = Version("0")

_CONDA_NAME: Final = re.compile(r"(?:[^\s:]+::)?([A-Za-z0-9_][\w.-]*)(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class CondaPackage:
    """A package that only conda brings."""

    #: As it was written: "conda-forge::scikit-learn=1.1".
    text: str
    name: str
    #: What follows the name: "=1.1".
    version: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for."""

    #: Where it stands, for messages: "environment.conda_file", "the model's conda.yaml".
    source: str
    python: PythonWish = ANY_PYTHON
    requirements: Requirements = NO_REQUIREMENTS
    conda: tuple[CondaPackage, ...] = ()
    channels: tuple[str, ...] = ()
    #: The version of MLflow that a no-code model was saved with and does not ask for itself; None: nothing is missing.
    mlflow: Version | None = None

    @property
    def anything(self) -> bool:
        """Whether something is asked for at all."""
        return bool(self.requirements.lines or self.conda or self.mlflow) or self.python is not ANY_PYTHON


def what_is_asked(
    deployment: spec.Deployment, mode: spec.EnvironmentMode, mlflow_model: Path | None, *, has_conda: bool
) -> Asked | None:
    """Return what a deployment asks for; None where it is content with any Python.

    Its own environment comes first. What the model was saved with counts for a no-code deployment, and for every
    other in mode `model`.

    Args:
        deployment: The deployment.
        mode: How its Python is chosen.
        mlflow_model: The model's folder, if it is an MLflow model.
        has_conda: Whether conda's packages can be had on this machine.

    Raises:
        EnvironmentFailed: what it says cannot be read.

    """
    asked = _of_environment(deployment.environment)
    no_code = deployment.code_configuration is None
    if asked is None and mlflow_model is not None and (no_code or mode is spec.EnvironmentMode.MODEL):
        asked = _of_model(mlflow_model, has_conda=has_conda)
    if no_code and mlflow_model is not None:
        asked = _with_mlflow(asked or Asked(source="the model's MLmodel"), mlflow_model)
    return asked if asked is not None and asked.anything else None


def _of_environment(environment: spec.Environment | None) -> Asked | None:
    if environment is None:
        return None
    folder = Path(environment.folder or ".")
    if environment.conda is not None:
        return _of_conda(environment.conda, folder, "environment.conda_file")
    if environment.requirements is not None:
        source = "environment.requirements_file"
        return Asked(source=source, requirements=read_requirements(environment.requirements, folder, source))
    return None


def _of_conda(document: Mapping[str, Any], folder: Path, source: str) -> Asked:
    """Return what a conda environment's document asks for."""
    python, conda, lines = ANY_PYTHON, [], list[str]()
    for item in _list(document.get("dependencies"), f"{source}: dependencies"):
        if isinstance(item, Mapping):
            lines += map(str, _list(item.get("pip"), f"{source}: dependencies: pip"))
            continue
        package = _conda_package(str(item), source)
        if package.name == "python":
            python = python_wish(package.version, source)
        elif package.name not in _TOOLS:
            conda.append(package)
    requirements = read_requirements(lines, folder, f"{source}: pip")
    azure = [package for package in conda if package.name in SKIPPED]
    return Asked(
        source=source,
        python=python,
        requirements=replace(requirements, skipped=(*requirements.skipped, *(package.text for package in azure))),
        conda=tuple(package for package in conda if package not in azure),
        channels=tuple(map(str, _list(document.get("channels"), f"{source}: channels"))),
    )


def _list(value: Any, field: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise EnvironmentFailed(f"{field}: found {value!r}; give a list")
    return value


def _conda_package(text: str, source: str) -> CondaPackage:
    match = _CONDA_NAME.fullmatch(text.strip())
    if match is None:
        raise EnvironmentFailed(f"{source}: {text!r} is no package; write name=version")
    return CondaPackage(text=text.strip(), name=match[1].lower(), version=match[2].strip())


def _of_model(folder: Path, *, has_conda: bool) -> Asked | None:
    """Return what an MLflow model was saved with.

    Its conda.yaml comes first, as with Azure; where that needs conda and none is here, what was saved for pip.
    """
    conda = _read_yaml(folder / "conda.yaml")
    asked = _of_conda(conda, folder, "the model's conda.yaml") if conda else None
    if asked is not None and (has_conda or not asked.conda):
        return asked
    return _of_python_env(folder) or _of_requirements(folder) or asked


def _of_python_env(folder: Path) -> Asked | None:
    document = _read_yaml(folder / "python_env.yaml")
    if not document:
        return None
    source = "the model's python_env.yaml"
    lines = map(str, _list(document.get("dependencies"), f"{source}: dependencies"))
    version = str(document.get("python") or "")
    return Asked(
        source=source,
        python=python_wish(f"={version}" if version else "", source),
        requirements=read_requirements(lines, folder, source),
    )


def _of_requirements(folder: Path) -> Asked | None:
    path = folder / "requirements.txt"
    if not path.is_file():
        return None
    source = "the model's requirements.txt"
    function = read_mlmodel(folder).get("flavors", {}).get("python_function", {})
    version = str(function.get("python_version") or "")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    python = python_wish(f"={version}" if version else "", source)
    return Asked(source=source, python=python, requirements=read_requirements(lines, folder, source))


def _with_mlflow(asked: Asked, folder: Path) -> Asked:
    """Return what is asked with the MLflow that a no-code model cannot be loaded without."""
    if _names_mlflow(asked.requirements.names) or _names_mlflow(package.name for package in asked.conda):
        return asked
    try:
        saved = Version(str(read_mlmodel(folder).get("mlflow_version", "")))
    except InvalidVersion:
        saved = UNKNOWN_MLFLOW
    return replace(asked, mlflow=saved)


def _names_mlflow(names: Iterable[str]) -> bool:
    return not {"mlflow", "mlflow-skinny"}.isdisjoint(names)


def read_mlmodel(folder: Path) -> dict[str, Any]:
    """Return the content of a model's `MLmodel` file.

    Raises:
        EnvironmentFailed: it cannot be read, or is no document.

    """
    return _read_yaml(folder / "MLmodel")


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file's document; {} where there is no file."""
    if not path.is_file():
        return {}
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise EnvironmentFailed(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise EnvironmentFailed(f"{path}: found {type(document).__name__}; it should be a YAML mapping")
    return document

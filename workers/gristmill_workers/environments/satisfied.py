"""Whether the Python that runs this worker has what a deployment asks for."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from gristmill_workers.environments.asked import Asked, CondaPackage
from gristmill_workers.environments.requirements import Line
from gristmill_workers.environments.versions import conda_specifier

#: Distributions that do as well for a model that is only loaded and asked to predict.
_STAND_INS: Final = {"mlflow": "mlflow-skinny"}


def unmet(asked: Asked, *, no_code: bool) -> str:
    """Return the first thing asked for that the worker's own Python lacks, "" if it has all.

    Args:
        asked: What is asked for.
        no_code: Whether the model is only to be loaded: `mlflow-skinny` then does for `mlflow`.

    """
    return next(_lacking(asked, no_code=no_code), "")


def _lacking(asked: Asked, *, no_code: bool) -> Iterator[str]:
    version = platform.python_version()
    if not asked.python.accepts(Version(version)):
        yield f"{asked.python.text} is asked for and this is {version}"
    yield from filter(None, (_line(line, no_code=no_code) for line in asked.requirements.lines))
    yield from filter(None, map(_conda, asked.conda))
    if asked.mlflow is not None:
        yield from filter(None, [_missing(Requirement(f"mlflow>={asked.mlflow}"), no_code=True)])


def _line(line: Line, *, no_code: bool) -> str:
    """Return what is wrong with one line, "" if nothing."""
    if line.option:
        return ""
    if line.requirement is None or line.requirement.url:
        return f"{line.text} cannot be compared with what is installed"
    if line.constraint and _installed(line.requirement, no_code=no_code) is None:
        return ""
    return _missing(line.requirement, no_code=no_code)


def _missing(requirement: Requirement, *, no_code: bool, extra: str = "") -> str:
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return ""
    version = _installed(requirement, no_code=no_code)
    if version is None:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name}{requirement.specifier} is asked for and {version} is installed"
    return next(filter(None, _missing_extras(requirement, no_code=no_code)), "")


def _installed(requirement: Requirement, *, no_code: bool) -> Version | None:
    """Return the version of the distribution, or of the one that does as well."""
    names = [requirement.name, *([_STAND_INS[requirement.name]] if no_code and requirement.name in _STAND_INS else [])]
    for name in names:
        try:
            return Version(metadata.version(name))
        except (metadata.PackageNotFoundError, InvalidVersion):
            continue
    return None


def _missing_extras(requirement: Requirement, *, no_code: bool) -> Iterator[str]:
    """Yield what is wrong with the packages that a requirement's extras bring."""
    if not requirement.extras or requirement.name in _STAND_INS:
        return
    needed = [Requirement(text) for text in metadata.requires(requirement.name) or []]
    for extra in sorted(requirement.extras):
        for each in needed:
            if each.marker is not None and not each.marker.evaluate({"extra": ""}) and each.name != requirement.name:
                yield _missing(each, no_code=no_code, extra=extra)


def _conda(package: CondaPackage) -> str:
    """Return what is wrong with a conda package, which may have come from pip under the same name."""
    try:
        requirement = Requirement(package.name)
        requirement.specifier = conda_specifier(package.version)
    except ValueError:
        return f"{package.text} cannot be compared with what is installed"
    return _missing(requirement, no_code=False)

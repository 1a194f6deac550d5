"""The files of what has versions: models, data and environments (`gristmill model create -f`, and so on)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gristmill import spec
from gristmill.deployment import messages
from gristmill.deployment.environments import read_packages
from gristmill.deployment.models import place_model
from gristmill.deployment.report import Refused
from gristmill.deployment.sections import Given, Section
from gristmill.documents import asset_schema, deployments, paths
from gristmill.documents.opening import Opened, opened
from gristmill.documents.requirement import require

_FILE, _FOLDER = "uri_file", "uri_folder"
_SOURCES: Final = ("conda_file", "requirements_file", "image", "build")


def load_model(
    source: Path | str | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    version: str | None = None,
    folder: Path | None = None,
    local: bool = True,
) -> dict[str, Any]:
    """Return a model: a local path absolute, and its type, by its files where the document does not say.

    `name` and `version` win over the file's; the other parameters are those of `load_deployment_document`.

    Raises:
        InvalidDocument: the document cannot be used; it lists every fault.

    """
    document = opened(source, what="model", folder=folder, local=local).set(overrides).told(name=name, version=version)
    return _read(document, asset_schema.MODEL, ("name", "path"), _model)


def load_data(
    source: Path | str | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    version: str | None = None,
    folder: Path | None = None,
    local: bool = True,
) -> dict[str, Any]:
    """Return a data asset: a local path absolute, and its type, by what is there where the document does not say.

    The parameters are those of `load_model`.

    Raises:
        InvalidDocument: the document cannot be used; it lists every fault.

    """
    document = opened(source, what="data", folder=folder, local=local).set(overrides).told(name=name, version=version)
    return _read(document, asset_schema.DATA, ("name", "path"), _data)


def load_environment(
    source: Path | str | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    version: str | None = None,
    folder: Path | None = None,
    local: bool = True,
) -> dict[str, Any]:
    """Return an environment with the content of its conda or requirements file in the place of the path.

    The parameters are those of `load_model`.

    Raises:
        InvalidDocument: the document cannot be used; it lists every fault.

    """
    document = opened(source, what="environment", folder=folder, local=local)
    document = document.set(overrides).told(name=name, version=version)
    return _read(document, asset_schema.ENVIRONMENT, ("name",), _environment)


def _read(
    document: Opened, section: Section, needed: Sequence[str], finish: Callable[[Opened, Given], dict[str, Any]]
) -> dict[str, Any]:
    given = section.read(document.root, document.report)
    for key in needed:
        require(given, key, "Give it in the file, or as an option" if key == "name" else "Give it", document.report)
    found = finish(document, given)
    document.close()
    return found


def _model(document: Opened, given: Given) -> dict[str, Any]:
    if not given.sound("path"):
        return given.plain()
    kind = spec.ModelType(given.values["type"]) if given.sound("type") else None
    node = given.at("path")
    placed = place_model(node, given.get("path", ""), folder=document.folder, kind=kind, report=document.report)
    if placed is None:
        return given.plain()
    found = {} if placed.type is None else {"type": placed.type.value}
    return {**given.plain(), **found, "path": placed.path or placed.reference}


def _data(document: Opened, given: Given) -> dict[str, Any]:
    if not given.sound("path"):
        return given.plain()
    try:
        path = paths.placed(given.get("path", ""), document.folder)
        found = _kind_of_data(path, given) if paths.is_here(path, document.folder) else {}
    except Refused as refused:
        document.report.add(given.at("path"), refused.message)
        return given.plain()
    return {**given.plain(), **found, "path": path}


def _kind_of_data(path: str, given: Given) -> dict[str, str]:
    """Return the type of local data.

    Raises:
        Refused: it is of another type than the document says, or nothing is there.

    """
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where the name is too long
        raise Refused(f"no such file or folder: {path}")
    found = _FOLDER if os.path.isdir(path) else _FILE  # noqa: PTH112 - as above
    stated = given.get("type", found)
    if stated in {_FILE, _FOLDER} and stated != found:
        what = "a folder" if found == _FOLDER else "a file"
        raise Refused(f"type: {stated} is said of {what}: {path}; write type: {found}")
    return {"type": stated}


def _environment(document: Opened, given: Given) -> dict[str, Any]:
    _check_sources(document, given)
    packages = read_packages(given, document.folder, document.report)
    if given.has("build"):
        _check_build(document, given.section("build"))
    written = deployments.environment(given, spec.Environment(**packages), document.report)
    if given.section("build").sound("path"):
        written["build"] = {**written["build"], "path": _build_path(document, given.section("build"))}
    return written


def _check_sources(document: Opened, given: Given) -> None:
    report = document.report
    if not any(given.has(key) for key in _SOURCES):
        message = "there is nothing to make an environment from; give conda_file, requirements_file, image or build"
        report.place(message, line=given.node.line)
    if given.has("build") and given.has("image"):
        report.add(given.at("build"), "image and build exclude each other; give one")
    if given.has("conda_file") and given.has("requirements_file"):
        report.add(given.at("requirements_file"), "conda_file and requirements_file exclude each other; give one")


def _check_build(document: Opened, build: Given) -> None:
    if not build.has("path"):
        place = build.node
        message = f"{messages.MISSING} Give the folder that holds the Dockerfile"
        document.report.place(message, field="build.path", line=place.line)


def _build_path(document: Opened, build: Given) -> str:
    try:
        path = paths.placed(build.get("path", ""), document.folder)
        paths.check_folder(path, document.folder)
    except Refused as refused:
        document.report.add(build.at("path"), refused.message)
        return ""
    return path

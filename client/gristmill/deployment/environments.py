"""From `environment:` to `spec.Environment`: a job carries the content of the conda or requirements file.

Source: "CLI (v2) environment YAML schema" of Azure Machine Learning; `requirements_file` is Gristmill's own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from gristmill import spec
from gristmill.deployment import messages
from gristmill.deployment.nodes import Node, Unreadable
from gristmill.deployment.reading import parse, read_text
from gristmill.deployment.references import Reference, is_url, local_path
from gristmill.deployment.report import Refused, Report
from gristmill.deployment.sections import Given

_COMMENT: Final = re.compile(r"(^|\s)#.*$")


def read_environment(root: Given, *, folder: str | None, report: Report) -> spec.Environment | None:
    """Return the deployment's environment; None: it has none, or none that can be used (which is noted)."""
    written = root.values.get("environment")
    if isinstance(written, Reference):
        return spec.Environment(reference=written.text, name=written.name, version=written.version)
    if not isinstance(written, Given):
        return None
    _check_sources(written, report)
    return spec.Environment(
        name=written.get("name", ""),
        version=written.get("version", ""),
        image=written.get("image", ""),
        **read_packages(written, folder, report),
    )


def _check_sources(given: Given, report: Report) -> None:
    if given.has("build"):
        also = "image and build exclude each other, and " if given.has("image") else ""
        report.add(given.at("build"), f"{also}Gristmill builds no containers; give image, conda_file or both")
    elif not any(given.has(key) for key in ("image", "conda_file", "requirements_file")):
        report.add(
            given.node, "there is nothing to make an environment from; give conda_file, requirements_file or image"
        )
    if given.has("conda_file") and given.has("requirements_file"):
        report.add(given.at("requirements_file"), "conda_file and requirements_file exclude each other; give one")


def read_packages(given: Given, folder: str | None, report: Report) -> dict[str, Any]:
    """Return `conda` or `requirements`, and `folder`, of a `spec.Environment`; empty where it asks for no packages.

    Without a folder no file can be read: only what is written out is taken.
    """
    key = "conda_file" if given.sound("conda_file") else "requirements_file"
    if not given.sound(key):
        return {}
    node = given.at(key)
    try:
        if isinstance(node.value, list) and key == "requirements_file":
            return {"requirements": tuple(given.get(key, ())), "folder": folder or ""}
        if node.children:
            return {"conda": _inline(node, report), "folder": folder or ""}
        return _from_file(node, key, folder, report)
    except Refused as refused:
        report.add(node, refused.message)
        return {}


def _inline(node: Node, report: Report) -> dict[str, Any]:
    for fault in _conda_faults(node):
        report.add(*fault)
    document: dict[str, Any] = node.plain()
    return document


def _from_file(node: Node, key: str, folder: str | None, report: Report) -> dict[str, Any]:
    if folder is None:
        raise Refused("a file cannot be read here; give its content in place of its path")
    if not isinstance(node.value, str):
        raise Refused(f"{messages.NOT_TEXT} Found {node.shown()}; give the path of a file, or its content as a mapping")
    if is_url(node.value):
        raise Refused("an address cannot be read here; give the path of a local file")
    path = Path(local_path(node.value, folder))
    place = {"folder": str(path.parent)}
    try:
        text = read_text(path)
        if key == "requirements_file" or path.suffix == ".txt":
            return {"requirements": requirements(text), **place}
        return {"conda": _conda_file(text, path, node, report), **place}
    except Unreadable as error:
        line = f", line {error.line}" if error.line else ""
        raise Refused(f"{path}{line}: {error.message}") from None


def _conda_file(text: str, path: Path, node: Node, report: Report) -> dict[str, Any]:
    own = Report()
    document = parse(text, own)
    for faulty, message in _conda_faults(document):
        own.add(faulty, message)
    for fault in own.faults:
        report.add(node, f"{path}, {fault}")
    content: dict[str, Any] = document.plain()
    return content


def _conda_faults(document: Node) -> list[tuple[Node, str]]:
    """Return what keeps a conda document from being one: channels and dependencies are lists of texts."""
    faults = []
    for key in ("channels", "dependencies"):
        node = document.children.get(key)
        if node is None:
            continue
        if not isinstance(node.value, list):
            faults.append((node, f"{messages.NOT_LIST} Found {node.shown()}; give '- name' lines"))
            continue
        for item in node.value:
            faults.extend(_item_faults(item, pip=key == "dependencies"))
    return faults


def _item_faults(item: Node, *, pip: bool) -> list[tuple[Node, str]]:
    inner = item.children.get("pip")
    if pip and inner is not None and len(item.children) == 1:
        if not isinstance(inner.value, list):
            return [(inner, f"{messages.NOT_LIST} Found {inner.shown()}; give '- name==version' lines")]
        return [fault for package in inner.value for fault in _item_faults(package, pip=False)]
    if isinstance(item.value, str) and item.value.strip():
        return []
    return [(item, f"{messages.NOT_TEXT} Found {item.shown()}; give a package, such as python=3.11")]


def requirements(text: str) -> tuple[str, ...]:
    """Return the lines of a requirements file, continued lines joined, comments and empty lines left out."""
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (_COMMENT.sub("", line).strip() for line in joined.splitlines())
    return tuple(line for line in lines if line)

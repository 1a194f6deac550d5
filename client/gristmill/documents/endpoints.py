"""A batch endpoint's file: the current form, and the 2021 preview's with its deployments inline.

Source: "CLI (v2) batch endpoint YAML schema" of Azure Machine Learning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gristmill.deployment import preview
from gristmill.deployment.nodes import Node
from gristmill.deployment.report import Report
from gristmill.deployment.sections import Given
from gristmill.documents import deployments
from gristmill.documents.endpoint_schema import ENDPOINT
from gristmill.documents.opening import Opened, opened
from gristmill.documents.requirement import require

#: The keys that only the preview's form has, beside `type: batch`.
_OF_2021 = ("type", "traffic", "deployments")


@dataclass(frozen=True, kw_only=True)
class EndpointFile:
    """What an endpoint's file describes."""

    #: The endpoint in the current form.
    endpoint: dict[str, Any]
    #: The deployments that stand in a file of 2021, each as `load_deployment_document` returns it.
    deployments: tuple[dict[str, Any], ...] = ()


def load_endpoint(
    source: Path | str | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    folder: Path | None = None,
    local: bool = True,
) -> EndpointFile:
    """Return an endpoint, and the deployments in its file if that is of the 2021 form (`type: batch`).

    There `traffic: {d: 100}` makes d the default deployment. The parameters are those of `load_deployment_document`.

    Raises:
        InvalidDocument: the document cannot be used; it lists every fault.

    """
    document = opened(source, what="endpoint", folder=folder, local=local).set(overrides).told(name=name)
    inside: list[dict[str, Any]] = []
    if _is_of_2021(document.root):
        inside = _inline(document)
        document = document.with_root(_modern(document.root, document.report))
    given = ENDPOINT.read(document.root, document.report)
    require(given, "name", "Give it in the file, or as --name", document.report)
    _check_default(given, inside, document.report)
    document.close()
    return EndpointFile(endpoint=given.plain(), deployments=tuple(inside))


def _is_of_2021(root: Node) -> bool:
    kind = root.children.get("type")
    return kind is not None and isinstance(kind.value, str) and kind.value.strip().lower() == "batch"


def _inline(document: Opened) -> list[dict[str, Any]]:
    found = [deployments.inline(document, node) for node in preview.inline(document.root, document.report)]
    inside = [item for item in found if item is not None]
    names = [item.get("name") for item in inside]
    for name in sorted({str(name) for name in names if name and names.count(name) > 1}):
        document.report.add(document.root.children["deployments"], f"{name} stands twice; give each its own name")
    return inside


def _modern(root: Node, report: Report) -> Node:
    """Return an endpoint of 2021 in the current form, without its deployments."""
    chosen = preview.active(root, report)
    children = {key: child for key, child in root.children.items() if key not in _OF_2021}
    if chosen is not None and "defaults" in children:
        report.add(chosen, "defaults and traffic both say which deployment is the default; give one of them")
    elif chosen is not None:
        children["defaults"] = Node(field=chosen.field, value={"deployment_name": chosen}, line=chosen.line)
    return dataclasses.replace(root, value=children)


def _check_default(given: Given, inside: Sequence[Mapping[str, Any]], report: Report) -> None:
    """Note a default deployment that is none of those in the same file."""
    defaults = given.section("defaults")
    name = defaults.get("deployment_name", "")
    names = [str(item.get("name", "")) for item in inside]
    if inside and name and name not in names:
        report.add(defaults.at("deployment_name"), f"{name} is not among the file's deployments: {', '.join(names)}")

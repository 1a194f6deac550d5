"""Which generation of Azure's YAML a document is, and what is done with it.

`type: model` (2023 on) is read as it is. Without `type` and `settings` it is the flat form of 2021-11 to 2022, whose
settings stand at the root: they are moved under `settings`; or the preview form of 2021, see `preview`. Pipeline
deployments, and endpoints without a deployment, are refused as a whole: nothing else said about them would help.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from gristmill.deployment import overrides as sets
from gristmill.deployment import preview
from gristmill.deployment.nodes import Node
from gristmill.deployment.report import Report
from gristmill.deployment.schema import SETTINGS

#: Keys that may stand at the root in every form.
_ALSO_AT_ROOT: Final = frozenset({"environment_variables"})
_FLAT: Final = frozenset(key.name for key in SETTINGS.keys) - _ALSO_AT_ROOT
_OF_ENDPOINTS: Final = ("deployments", "traffic")
_OTHER_KINDS: Final = {"batch", "online", "managed", "kubernetes"}


def in_current_form(root: Node, overrides: Sequence[str], report: Report) -> Node | None:
    """Return a document of any generation in the current form, with every `--set` applied; None: it has none."""
    if "deployments" in root.children:
        deployment = preview.chosen(sets.applied(root, overrides, report), report)
        return deployment and inline(deployment, report)
    return _of_flat(root, overrides, report) if is_flat(root) else sets.applied(root, overrides, report)


def inline(deployment: Node, report: Report) -> Node:
    """Return a deployment that stands in an endpoint's file in the current form."""
    return _of_flat(deployment, (), report) if is_flat(deployment) else deployment


def _of_flat(root: Node, overrides: Sequence[str], report: Report) -> Node:
    return preview.modern(lifted(sets.applied(lifted(root), overrides, report)), report)


def is_flat(root: Node) -> bool:
    """Whether the document's settings stand at its root."""
    return not {"type", "settings"} & root.children.keys()


def lifted(root: Node) -> Node:
    """Return a flat document in the current form; what `--set` put beneath settings wins over the file's."""
    flat = {name: child for name, child in root.children.items() if name in _FLAT}
    if not flat:
        return root
    rest = {name: child for name, child in root.children.items() if name not in _FLAT}
    settings = rest.get("settings", Node(field="settings", value={}, line=root.line))
    if not isinstance(settings.value, dict):
        return root
    for name, child in flat.items():
        there = settings.children.get(name)
        if there is None or child.origin:
            settings = dataclasses.replace(settings, value={**settings.children, name: child})
    return dataclasses.replace(root, value={**rest, "settings": settings})


def foreign(root: Node, report: Report) -> bool:
    """Note that the document is of a kind that is not read at all; False: it is a model deployment."""
    kind = root.children.get("type")
    word = kind.value.strip().lower() if kind and isinstance(kind.value, str) else ""
    old = next((root.children[key] for key in _OF_ENDPOINTS if key in root.children), None)
    if kind and word == "pipeline":
        report.add(kind, "pipeline deployments are not run; Gristmill scores models: write type: model")
    elif old or (kind and word in _OTHER_KINDS):
        report.add(
            old or kind or root,
            "this is an endpoint without a deployment; a deployment's file has name, endpoint_name, type: model, "
            "model, code_configuration, environment, compute, resources, settings",
        )
    else:
        return False
    return True

"""The preview form of 2021, in the current one's words: an endpoint with its deployments inline, paths in mappings.

Values keep the field and the line that the file has, so a fault names what stands there.

Source: the first public preview of Azure's batch endpoints (`az ml endpoint create --type batch`).
"""

from __future__ import annotations

import dataclasses
from typing import Final

from gristmill.deployment import messages
from gristmill.deployment.kinds import Integer
from gristmill.deployment.nodes import Node
from gristmill.deployment.report import Refused, Report

#: What the one deployment has that is asked when none is named.
ALL_TRAFFIC: Final = 100

_SHARE: Final = Integer(0, ALL_TRAFFIC)
_COMPUTE: Final = ("target", "instance_count")


def modern(root: Node, report: Report) -> Node:
    """Return a deployment of 2021 in the current form; one that is in it already comes back as it is."""
    changes = {"model": _model, "code_configuration": _code_configuration, "environment": _environment}
    for key, change in changes.items():
        child = root.children.get(key)
        if child is not None and child.children:
            root = _with(root, key, change(child))
    return _compute(root, report)


def _with(node: Node, key: str, child: Node) -> Node:
    return dataclasses.replace(node, value={**node.children, key: child})


def _without(node: Node, *keys: str) -> Node:
    return dataclasses.replace(node, value={key: child for key, child in node.children.items() if key not in keys})


def _model(model: Node) -> Node:
    if "path" in model.children or "local_path" not in model.children:
        return model
    return _with(_without(model, "local_path"), "path", model.children["local_path"])


def _code_configuration(code: Node) -> Node:
    inner = code.children.get("code")
    if inner is None or inner.children.keys() != {"local_path"}:
        return code
    return _with(code, "code", inner.children["local_path"])


def _environment(environment: Node) -> Node:
    """Return the environment with its image in place; `path` was the folder of what is read by other keys."""
    environment = _without(environment, "path")
    docker = environment.children.get("docker")
    if docker is None or docker.children.keys() != {"image"} or "image" in environment.children:
        return environment
    return _with(_without(environment, "docker"), "image", docker.children["image"])


def _compute(root: Node, report: Report) -> Node:
    compute = root.children.get("compute")
    if compute is None or not compute.children:
        return root
    root = _without(root, "compute")
    for key, child in compute.children.items():
        if key not in _COMPUTE:
            report.add(child, f"{messages.UNKNOWN_FIELD} Keys here: {', '.join(_COMPUTE)}")
    if "target" in compute.children:
        root = _with(root, "compute", compute.children["target"])
    else:
        report.place(f"{messages.MISSING} Give azureml:<name>", field=f"{compute.field}.target", line=compute.line)
    count = compute.children.get("instance_count")
    return root if count is None else _with_count(root, count, report)


def _with_count(root: Node, count: Node, report: Report) -> Node:
    resources = root.children.get("resources", Node(field="resources", value={}, line=count.line))
    if not isinstance(resources.value, dict):
        return root
    there = resources.children.get("instance_count")
    if there is not None and not (there.origin or count.origin):
        report.add(count, f"{messages.INSTANCE_COUNT_TWICE} Give resources.instance_count alone")
    if there is not None and there.origin:
        return root
    return _with(root, "resources", _with(resources, "instance_count", count))


def inline(endpoint: Node, report: Report) -> list[Node]:
    """Return the deployments that stand in an endpoint's file, as a list or by name; each knows both its names."""
    holder = endpoint.children.get("deployments")
    if holder is None:
        return []
    if isinstance(holder.value, list):
        found = [item for item in holder.value if _is_mapping(item, report)]
    elif isinstance(holder.value, dict):
        found = [_named(key, item) for key, item in holder.children.items() if _is_mapping(item, report)]
    else:
        report.add(holder, f"{messages.NOT_LIST} Found {holder.shown()}; give '- name: <deployment>' items")
        return []
    name = endpoint.children.get("name")
    return [_of_endpoint(item, name) for item in found]


def _is_mapping(item: Node, report: Report) -> bool:
    if not isinstance(item.value, dict):
        report.add(item, f"{messages.NOT_MAPPING} Found {item.shown()}; give a deployment's keys beneath it")
    return isinstance(item.value, dict)


def _named(key: str, item: Node) -> Node:
    name = Node(field=item.field, value=key, line=item.line, text=key)
    return item if "name" in item.children else _with(item, "name", name)


def _of_endpoint(item: Node, name: Node | None) -> Node:
    return item if name is None or "endpoint_name" in item.children else _with(item, "endpoint_name", name)


def active(endpoint: Node, report: Report) -> Node | None:
    """Return the name of the deployment that `traffic` makes the default, with the place of its share.

    A share is 0 or 100, and at most one deployment has 100; anything else is noted.
    """
    traffic = endpoint.children.get("traffic")
    if traffic is None:
        return None
    if not isinstance(traffic.value, dict):
        report.add(traffic, f"{messages.NOT_MAPPING} Found {traffic.shown()}; give <deployment>: 100")
        return None
    chosen = [_as_name(key, share) for key, share in traffic.children.items() if _share(share, report) == ALL_TRAFFIC]
    for second in chosen[1:]:
        report.add(second, f"{chosen[0].value} has {ALL_TRAFFIC} already; one deployment at most can have it")
    return chosen[0] if chosen else None


def _as_name(key: str, share: Node) -> Node:
    return dataclasses.replace(share, value=key, text=key)


def _share(node: Node, report: Report) -> int:
    try:
        share = _SHARE.read(node, report)
    except Refused as refused:
        report.add(node, refused.message)
        return 0
    if share not in {0, ALL_TRAFFIC}:
        report.add(node, f"{share} cannot be; a batch deployment has all of an endpoint's jobs (100) or none (0)")
    return share


def chosen(endpoint: Node, report: Report) -> Node | None:
    """Return the one deployment of an endpoint's file that a job can mean; None: which is not clear, and noted."""
    candidates = inline(endpoint, report)
    name = active(endpoint, report)
    if name is not None:
        wanted = [item for item in candidates if _name_of(item) == str(name.value).lower()]
    else:
        wanted = candidates
    if len(wanted) == 1:
        return wanted[0]
    if not report.faults:
        names = ", ".join(_name_of(item) or "(no name)" for item in candidates) or "none"
        place = name or endpoint.children["deployments"]
        report.add(
            place, f"one deployment is needed, here stand: {names}; say which with traffic: {{<deployment>: 100}}"
        )
    return None


def _name_of(item: Node) -> str:
    name = item.children.get("name")
    return name.value.lower() if name is not None and isinstance(name.value, str) else ""

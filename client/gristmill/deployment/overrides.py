"""`--set settings.mini_batch_size=50`: changes to a document before it is validated, so that all checks see them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Final

from gristmill.deployment import messages
from gristmill.deployment.nodes import Node, Unreadable, beneath
from gristmill.deployment.reading import parse_scalar
from gristmill.deployment.report import Refused, Report

#: A key beneath which secrets stand, be it misspelt: environment variables, credentials.
_OF_SECRETS: Final = re.compile("env.*var|cred|secret|passw|token|_key", re.IGNORECASE)


def applied(root: Node, overrides: Sequence[str], report: Report) -> Node:
    """Return the document with every `key.key=value` set; those that cannot be are noted."""
    for text in overrides:
        try:
            root = _apply(root, text)
        except (Refused, Unreadable) as error:
            report.place(error.message, origin=_origin(text))
    return root


def _origin(text: str) -> str:
    """Return what a message names; what may be a secret is left out."""
    name, sign, value = text.partition("=")
    return f"--set {name}{sign}{'***' if value and _OF_SECRETS.search(name) else value}"


def _apply(root: Node, text: str) -> Node:
    name, sign, value = text.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not sign or not all(keys):
        raise Refused("write key=value, with dots between keys: settings.mini_batch_size=50")
    scalar, written = parse_scalar(value)
    return _put(root, keys, Node(field=name, value=scalar, text=written, origin=_origin(text)))


def _put(node: Node, keys: list[str], leaf: Node) -> Node:
    if not keys:
        return dataclasses.replace(leaf, field=node.field)
    if node.value is not None and not isinstance(node.value, dict):
        raise Refused(_no_mapping(node))
    key, *rest = keys
    place = Node(field=beneath(node.field, key), value={}, origin=leaf.origin)
    child = _put(node.children.get(key, place), rest, leaf)
    return dataclasses.replace(node, value={**node.children, key: child})


def _no_mapping(node: Node) -> str:
    if _OF_SECRETS.search(node.field):
        return f"{node.field} is a single value, nothing can be set beneath it"
    if isinstance(node.value, str):
        return f"{messages.SET_BENEATH_REFERENCE} {node.field} is {node.shown()}; set {node.field} itself"
    return f"{node.field} is {node.shown()}, nothing can be set beneath it"

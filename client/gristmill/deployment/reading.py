"""YAML text to nodes with lines, safely: no objects are built, aliases cannot explode, a key stands once.

A key is the text that the file shows, so `on:` stays "on"; a scalar keeps its text beside its value, so that an
environment variable of `1.10` does not become "1.1".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from gristmill.deployment.nodes import MOST_LEVELS, MOST_VALUES, Node, Scalar, Unreadable, beneath, short, whole, within
from gristmill.deployment.report import Report

#: Bytes that a deployment, conda or requirements file may have.
MOST_BYTES: Final = 1 << 20

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = _TAG + "merge"
#: Tags whose scalars become values; a timestamp stays the text that it is.
_TYPED: Final = frozenset(_TAG + name for name in ("int", "float", "bool", "null"))
_TEXTS: Final = frozenset(_TAG + name for name in ("str", "timestamp", "value"))
_CONTAINERS: Final = frozenset(_TAG + name for name in ("map", "seq"))


def read_text(path: Path) -> str:
    """Return the text of a small UTF-8 file.

    Raises:
        Unreadable: there is no such file, it is too large, or it is not UTF-8.

    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except IsADirectoryError:
        raise Unreadable("is a folder; give the YAML file in it") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MOST_BYTES:
        raise Unreadable(f"is larger than {MOST_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable("not UTF-8; save the file with that encoding", line=line) from None


def parse(text: str, report: Report) -> Node:
    """Return a YAML document's root, a mapping; a key that stands twice is noted in the report.

    Raises:
        Unreadable: the text is no YAML, or not one mapping.

    """
    loader, root = _compose(text)
    if root is None:
        raise Unreadable("the file is empty; it must be a YAML mapping")
    node = _Builder(loader, report).build(root, field="", line=root.start_mark.line + 1)
    if not isinstance(node.value, dict):
        raise Unreadable(f"found {node.shown()} where a YAML mapping (key: value) is needed", line=node.line)
    return node


def parse_scalar(text: str) -> tuple[Scalar, str]:
    """Return the value, and the text, of a plain or quoted YAML scalar; any other text stands for itself.

    Raises:
        Unreadable: a quoted text that does not end, or a number that is none.

    """
    if text[:1] in {"'", '"'}:
        loader, root = _compose(text)
        if not isinstance(root, yaml.ScalarNode):
            raise Unreadable("only a single value can be set")
    else:
        loader = yaml.SafeLoader("")
        tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        root = yaml.ScalarNode(tag, text)
    node = _Builder(loader, Report()).build(root, field="", line=None)
    assert not isinstance(node.value, (dict, list))
    return node.value, node.text


def _compose(text: str) -> tuple[yaml.SafeLoader, yaml.Node | None]:
    try:
        loader = yaml.SafeLoader(text)
        return loader, loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(_syntax(error, text), line=mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(f"a character that YAML does not allow (code {error.character})", line=line) from None
    except RecursionError:
        raise Unreadable(f"nested deeper than {MOST_LEVELS} levels") from None
    except (ValueError, OverflowError) as error:  # an escape beyond Unicode: "\UFFFFFFFF"
        raise Unreadable(f"not YAML: {error}") from None


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark or error.context_mark
    problem = " ".join((error.problem or error.context or "not YAML").split())
    if mark is None:
        return f"not YAML: {problem}"
    column = f"column {mark.column + 1}: "
    lines = text.splitlines()[mark.line : mark.line + 1]
    if lines and "\t" in lines[0][: mark.column + 1]:
        return f"{column}a tab; indent with spaces"
    return f"{column}not YAML: {problem}; a value with special characters needs quotes"


def _tag(node: yaml.Node) -> str:
    return short(str(node.tag).replace(_TAG, "!!"))


class _Builder:
    """Turns composed YAML nodes into ours, within a budget of values."""

    def __init__(self, loader: yaml.SafeLoader, report: Report) -> None:
        self._loader = loader
        self._report = report
        self._left = MOST_VALUES

    def build(self, node: yaml.Node, *, field: str, line: int | None, depth: int = 0) -> Node:
        self._spend(depth, line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, field, line)
        if node.tag not in _CONTAINERS:
            raise Unreadable(f"the tag {_tag(node)} is not known here", field=field, line=line)
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.build(item, field=f"{field}[{at}]", line=item.start_mark.line + 1, depth=depth + 1)
                for at, item in enumerate(node.value)
            ]
            return Node(field=field, value=items, line=line)
        return Node(field=field, value=self._mapping(node, field, depth), line=line)

    def _spend(self, depth: int, line: int | None) -> None:
        self._left -= 1
        if self._left < 0:
            raise Unreadable(f"more than {MOST_VALUES} values once its aliases are resolved")
        if depth > MOST_LEVELS:
            raise Unreadable(f"nested deeper than {MOST_LEVELS} levels", line=line)

    def _mapping(self, node: yaml.Node, field: str, depth: int) -> dict[str, Node]:
        merged: dict[str, Node] = {}
        own: dict[str, Node] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                merged = {**self._merge(value_node, field, line, depth), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise Unreadable("a key must be a text, not a list or a mapping", field=field, line=line)
            key = key_node.value
            whole(key, field=field, line=line)
            path = beneath(field, key)
            if key in own:
                self._report.place(f"the key stands twice, first in line {own[key].line}", field=path, line=line)
                continue
            own[key] = self.build(value_node, field=path, line=line, depth=depth + 1)
        return {**merged, **own}

    def _merge(self, node: yaml.Node, field: str, line: int, depth: int) -> dict[str, Node]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Node] = {}
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise Unreadable("'<<' can only merge mappings", field=field, line=line)
            merged = {**self.build(source, field=field, line=line, depth=depth + 1).children, **merged}
        return merged

    def _scalar(self, node: yaml.ScalarNode, field: str, line: int | None) -> Node:
        text = str(node.value)
        whole(text, field=field, line=line)
        if node.tag in _TEXTS:
            return Node(field=field, value=text, line=line, text=text)
        if node.tag not in _TYPED:
            raise Unreadable(f"the tag {_tag(node)} is not known here", field=field, line=line)
        try:
            value: Scalar = self._loader.construct_object(node)
            within(value)
        except (ValueError, KeyError, IndexError, OverflowError):
            raise Unreadable(f"{short(text)!r} cannot be read as a value", field=field, line=line) from None
        return Node(field=field, value=value, line=line, text=text)

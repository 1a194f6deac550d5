"""From a file or a mapping to nodes, with what the command line says on top: the way in that every kind shares."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gristmill.deployment import overrides as sets
from gristmill.deployment.nodes import Node, Unreadable, from_python, short
from gristmill.deployment.reading import parse, read_text
from gristmill.deployment.report import Report
from gristmill.errors import InvalidDocument


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A document that can be read as a tree, and its faults so far."""

    root: Node
    #: What a message calls it: the file's path, or a word for a mapping.
    source: str
    #: Folder of its relative paths; None: its paths are kept as they are.
    folder: str | None
    report: Report

    def with_root(self, root: Node) -> Opened:
        """Return it with another tree."""
        return dataclasses.replace(self, root=root)

    def set(self, overrides: Sequence[str]) -> Opened:
        """Return it with every `key.key=value` set; those that cannot be are noted."""
        return self.with_root(sets.applied(self.root, overrides, self.report))

    def told(self, **arguments: str | None) -> Opened:
        """Return it with what options of the command line give (`name="x"` for --name x); they win over the file."""
        return self.with_root(told(self.root, **arguments))

    def close(self, error: type[InvalidDocument] = InvalidDocument) -> None:
        """Raise all faults.

        Raises:
            InvalidDocument: there is at least one; the class is `error`.

        """
        self.report.close(self.source, error)


def told(root: Node, **arguments: str | None) -> Node:
    """Return a mapping with the arguments that are given, each in place of the file's value."""
    given = {
        key: Node(field=key, value=text, text=text, origin=f"--{key.replace('_', '-')} {short(text)}")
        for key, text in arguments.items()
        if text is not None
    }
    return dataclasses.replace(root, value={**root.children, **given})


def opened(
    source: Path | str | Mapping[str, Any],
    *,
    what: str,
    folder: Path | None = None,
    local: bool = True,
    error: type[InvalidDocument] = InvalidDocument,
) -> Opened:
    """Return a YAML file, or a mapping in its place, as nodes.

    A file's paths are relative to its folder, a mapping's to `folder` or else to the working folder; without `local`
    paths are kept as they are. `what` names a mapping in messages.

    Raises:
        InvalidDocument: it is no mapping of plain values, or cannot be read; the class is `error`.

    """
    report = Report()
    name = what if isinstance(source, Mapping) else str(source)
    try:
        root = from_python(source) if isinstance(source, Mapping) else parse(read_text(Path(source)), report)
    except Unreadable as problem:
        report.unreadable(problem)
        raise error(name, report.faults) from None
    base = _base(source, folder) if local else None
    return Opened(root=root, source=name, folder=base, report=report)


def _base(source: Path | str | Mapping[str, Any], folder: Path | None) -> str:
    if folder is None:
        folder = Path() if isinstance(source, Mapping) else Path(source).parent
    return os.path.abspath(folder)  # noqa: PTH100 - links stay

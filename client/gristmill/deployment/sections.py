"""A mapping with known keys: reads those given, and refuses the others by name with the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gristmill.deployment import messages
from gristmill.deployment.kinds import Kind, refuse_null
from gristmill.deployment.nodes import Node, short
from gristmill.deployment.references import Reference
from gristmill.deployment.report import Refused, Report

T = TypeVar("T")

#: How alike two keys must be for "did you mean".
_ALIKE: Final = 0.75


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of a section, as it is checked and as the reference page shows it."""

    name: str
    kind: Kind
    meaning: str
    #: What holds when the key is not given, in words.
    default: str = ""
    #: Whether it is Gristmill's own and unknown to Azure.
    ours: bool = False
    #: Whether it is only taken so that what was shown can be given back; no document carries it on.
    dropped: bool = False


@dataclass(frozen=True)
class Given:
    """What a document says of one section."""

    node: Node
    #: Values in the spec's form, of the keys that are given and sound.
    values: Mapping[str, Any]

    def has(self, key: str) -> bool:
        """Whether the document has the key, be its value sound or not."""
        return key in self.node.children

    def sound(self, key: str) -> bool:
        """Whether the key is given with a value that can be used."""
        return key in self.values

    def get(self, key: str, default: T) -> T:
        """Return the key's value, the default where it is not given or not sound."""
        value: T = self.values.get(key, default)
        return value

    def at(self, key: str) -> Node:
        """Return where the key stands; the section itself where it does not."""
        return self.node.children.get(key, self.node)

    def section(self, key: str) -> Given:
        """Return the section under the key, empty where it is not given."""
        value = self.values.get(key)
        return value if isinstance(value, Given) else Given(Node(field=key, value={}, line=self.node.line), {})

    def plain(self) -> dict[str, Any]:
        """Return the values that are given and sound, without the places, as the document's form has them."""
        return {key: _plain(value) for key, value in self.values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Given):
        return value.plain()
    if isinstance(value, Reference):
        return value.text
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Section:
    """The kind of value that is a mapping with known keys."""

    keys: tuple[Key, ...]
    #: What to say of a key that used to exist, or belongs into another document.
    hints: Mapping[str, str] = field(default_factory=dict)
    words: str = "mapping"
    limits: str = ""
    #: Path under which the reference page lists the keys; "" for the root.
    path: str = ""

    def read(self, node: Node, report: Report, /) -> Given:
        """Return what is given; each value that cannot be used is reported by itself."""
        refuse_null(node)
        if not isinstance(node.value, dict):
            raise Refused(f"{messages.NOT_MAPPING} Found {node.shown()}; give key: value lines beneath it")
        known = {key.name: key for key in self.keys}
        values = {}
        for name, child in node.value.items():
            if name not in known:
                report.add(child, f"{messages.UNKNOWN_FIELD} {self._way_out(name)}")
                continue
            try:
                value = known[name].kind.read(child, report)
            except Refused as refused:
                report.add(child, refused.message)
                continue
            if not known[name].dropped:
                values[name] = value
        return Given(node, values)

    def _way_out(self, name: str) -> str:
        if name in self.hints:
            return self.hints[name]
        names = [key.name for key in self.keys]
        alike = difflib.get_close_matches(short(name).lower(), names, n=1, cutoff=_ALIKE)
        if alike:
            return f"Did you mean {alike[0]}?"
        return f"Keys here: {', '.join(names)}"

    def walk(self) -> Iterator[tuple[Section, Key]]:
        """Yield every key of this section and of those beneath, in the reference page's order."""
        for key in self.keys:
            yield self, key
        for key in self.keys:
            inner = getattr(key.kind, "section", key.kind)
            if isinstance(inner, Section):
                yield from inner.walk()


@dataclass(frozen=True)
class TextOr:
    """A text (a reference, a path), or a mapping with known keys in its place."""

    text: Kind
    section: Section

    @property
    def words(self) -> str:
        """Both."""
        return f"{self.text.words} or {self.section.words}"

    @property
    def limits(self) -> str:
        """The text's; the mapping has its own table."""
        return self.text.limits

    def read(self, node: Node, report: Report, /) -> Any:
        """Return the text's value, or a `Given`."""
        refuse_null(node)
        return (self.section if isinstance(node.value, dict) else self.text).read(node, report)

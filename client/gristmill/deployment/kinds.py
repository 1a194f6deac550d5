"""What a value may be: each kind reads a node, refuses it in one sentence, and says in words what it takes.

The words are the reference page's columns "type" and "range", so page and check cannot part.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gristmill.deployment import messages
from gristmill.deployment.nodes import Node
from gristmill.deployment.report import Refused, Report

#: The greatest integer of Azure's schema (32 bits).
GREATEST: Final = 2**31 - 1

_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")
_TRUTH: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Kind(Protocol):
    """One kind of value."""

    @property
    def words(self) -> str:
        """The reference page's "type"."""

    @property
    def limits(self) -> str:
        """The reference page's "range"; "" where any value of the type will do."""

    def read(self, node: Node, report: Report, /) -> Any:
        """Return the value as the spec has it.

        Raises:
            Refused: it cannot be used.

        """


def refuse_null(node: Node) -> None:
    """Refuse a key without a value, as marshmallow does.

    Raises:
        Refused: the value is null.

    """
    if node.value is None:
        raise Refused(f"{messages.NULL} Give a value or leave the key out")


@dataclass(frozen=True)
class Integer:
    """A whole number, also as text ("10") or as a float without a fraction."""

    least: int
    most: int = GREATEST
    words: str = "integer"

    @property
    def limits(self) -> str:
        """Both ends, the upper one only where it means something."""
        return f"{self.least} or more" if self.most >= GREATEST else f"{self.least} to {self.most}"

    def read(self, node: Node, _report: Report, /) -> int:
        """Return the number."""
        refuse_null(node)
        number = _whole(node.value)
        if number is None:
            raise Refused(f"{messages.NOT_INTEGER} Found {node.shown()}; give a whole number, {self.limits}")
        if not self.least <= number <= self.most:
            limits = self.limits if number < self.least else f"{self.least} to {self.most}"
            raise Refused(f"{number} is out of range; give a whole number, {limits}")
        return number


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < 10**19 else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**19:
        return int(value)
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


@dataclass(frozen=True)
class Text:
    """A text; `rule` returns it as the spec has it, or refuses it."""

    rule: Callable[[str], Any] | None = None
    limits: str = ""
    words: str = "string"
    #: What to write in place of a mapping, where the 2021 form had one.
    of_2021: str = ""

    def read(self, node: Node, _report: Report, /) -> Any:
        """Return the text, or what the rule makes of it."""
        refuse_null(node)
        if self.of_2021 and isinstance(node.value, dict):
            raise Refused(f"{messages.NOT_TEXT} A mapping is the 2021 form; write {self.of_2021}")
        if not isinstance(node.value, str):
            raise Refused(f"{messages.NOT_TEXT} Found {node.shown()}{_quotes(node)}")
        return self.rule(node.value) if self.rule else node.value


def _quotes(node: Node) -> str:
    return "; give a text" if isinstance(node.value, (dict, list)) else f'; in quotes it is a text: "{node.text}"'


@dataclass(frozen=True)
class Version:
    """A version: a text or a number, kept as it was written; `rule` returns it as it is kept, or refuses it."""

    rule: Callable[[str], str] | None = None
    limits: str = ""
    words: str = "string or number"

    def read(self, node: Node, _report: Report, /) -> str:
        """Return the version's text."""
        refuse_null(node)
        if isinstance(node.value, (dict, list, bool)) or not node.text:
            raise Refused(f"{messages.NOT_TEXT} Found {node.shown()}; give a version, such as 1")
        return self.rule(node.text) if self.rule else node.text


@dataclass(frozen=True)
class Choice:
    """One of a set of words, in any case, and also in the wire's form (`AppendRow` for append_row)."""

    allowed: tuple[str, ...]
    words: str = "string"

    @property
    def limits(self) -> str:
        """The words, as the page shows them."""
        return ", ".join(f"`{word}`" for word in self.allowed)

    def read(self, node: Node, _report: Report, /) -> str:
        """Return the word in the spec's spelling."""
        refuse_null(node)
        plain = {word.replace("_", ""): word for word in self.allowed}
        found = node.value.replace("_", "").lower() if isinstance(node.value, str) else None
        if found not in plain:
            value = node.text if isinstance(node.value, (int, float)) else str(node.plain())[:40]
            sentence = messages.NOT_IN_SET.format(value=value, allowed=list(self.allowed))
            raise Refused(f"{' '.join(sentence.split())} Write one of these")
        return plain[found]


@dataclass(frozen=True)
class Boolean:
    """true or false, also as a text (yes, no, on, off)."""

    words: str = "boolean"
    limits: str = ""

    def read(self, node: Node, _report: Report, /) -> bool:
        """Return the truth value."""
        refuse_null(node)
        value = _TRUTH.get(node.value.lower()) if isinstance(node.value, str) else node.value
        if not isinstance(value, bool):
            raise Refused(f"{messages.NOT_BOOLEAN} Found {node.shown()}; give true or false")
        return value


@dataclass(frozen=True)
class Texts:
    """A mapping of texts; numbers, truth values and dates are taken as they were written."""

    words: str = "mapping of strings"
    limits: str = ""
    #: Refuses a pair that cannot be used; its value must not be shown (it may be a secret).
    rule: Callable[[str, str], None] | None = None

    def read(self, node: Node, report: Report, /) -> dict[str, str]:
        """Return the texts; each one that cannot be used is reported by itself."""
        refuse_null(node)
        if not isinstance(node.value, dict):
            raise Refused(f"{messages.NOT_MAPPING} Found {node.shown()}; give key: value lines")
        texts = {}
        for key, child in node.value.items():
            try:
                texts[key] = self._text(key, child)
            except Refused as refused:
                report.add(child, refused.message)
        return texts

    def _text(self, key: str, child: Node) -> str:
        if child.value is None or isinstance(child.value, (dict, list)):
            raise Refused(f'{messages.NOT_TEXT} Found {child.shown()}; give a text, "" for an empty one')
        if self.rule:
            self.rule(key, child.text)
        return child.text


@dataclass(frozen=True)
class Hushed:
    """A text that may be a secret: no message shows it."""

    words: str = "string"
    limits: str = ""

    def read(self, node: Node, _report: Report, /) -> str:
        """Return the text."""
        refuse_null(node)
        if not isinstance(node.value, str):
            raise Refused(f"{messages.NOT_TEXT} Give a text, in quotes if it looks like a number")
        return node.value


@dataclass(frozen=True)
class TextOrList:
    """A text, or a list of texts in its place."""

    words: str = "string or list"
    limits: str = ""

    def read(self, node: Node, report: Report, /) -> str | list[str]:
        """Return the text, or the texts; each item that is none is reported by itself."""
        if not isinstance(node.value, list):
            text: str = Text().read(node, report)
            return text
        texts = []
        for item in node.value:
            if isinstance(item.value, str):
                texts.append(item.value)
            else:
                report.add(item, f"{messages.NOT_TEXT} Found {item.shown()}; give a text")
        return texts


@dataclass(frozen=True)
class Loose:
    """A mapping of anything."""

    words: str = "mapping"
    limits: str = ""

    def read(self, node: Node, _report: Report, /) -> Any:
        """Return it as it is."""
        refuse_null(node)
        if not isinstance(node.value, dict):
            raise Refused(f"{messages.NOT_MAPPING} Found {node.shown()}; give key: value lines")
        return node.plain()


@dataclass(frozen=True)
class Ignored:
    """Something that Azure's schema takes and that has no effect here."""

    words: str = "any"
    limits: str = ""

    def read(self, node: Node, _report: Report, /) -> Any:
        """Return it as it is."""
        return node.plain()

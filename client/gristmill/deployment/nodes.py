"""A document as a tree that remembers where each value stands, so that a fault can name its field and line.

YAML files, Python mappings and `--set` texts all become `Node`s; what validates them sees no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

#: How much of a value or a key is shown in a message.
SHOWN_CHARACTERS: Final = 80

#: How deep a document may nest, and how many values it may hold once its aliases are resolved.
MOST_LEVELS: Final = 40
MOST_VALUES: Final = 20_000

#: Bits of the greatest integer that a document may hold.
MOST_BITS: Final = 64

Scalar = str | int | float | bool | None


class Unreadable(Exception):
    """A document is no tree of plain values; caught within this package and made a fault."""

    def __init__(self, message: str, *, line: int | None = None, field: str = "") -> None:
        """Take what is wrong, and where."""
        super().__init__(message)
        self.message = message
        self.line = line
        self.field = field


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One value of a document, and where it came from."""

    #: Dotted path as the document has it; "" for the whole.
    field: str
    value: dict[str, Node] | list[Node] | Scalar
    #: Line of its key (of the item itself in a list), counted from 1; None where there is no file.
    line: int | None = None
    #: A scalar as it was written: `1.10` where the value is 1.1.
    text: str = ""
    #: The `--set` text that put it there; "" for what the document itself says.
    origin: str = ""

    @property
    def children(self) -> dict[str, Node]:
        """The values of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def plain(self) -> Any:
        """Return the value without the places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def shown(self) -> str:
        """Return the value as a message shows it: short, in one line."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        if self.value is None:
            return "nothing"
        return short(repr(self.value) if isinstance(self.value, str) else self.text)


def short(text: str) -> str:
    """Return the text cut to what a message may show."""
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def beneath(field: str, key: str) -> str:
    """Return the dotted path of `key` under `field`; a key that would break the line is shown escaped."""
    shown = short(key if key and key.isprintable() else repr(key))
    return f"{field}.{shown}" if field else shown


def from_python(value: object, *, field: str = "", depth: int = 0) -> Node:
    """Return a Python mapping as nodes: mappings, lists, tuples, texts, numbers, booleans, None, paths and enums.

    Raises:
        Unreadable: something in it is of another type, or it nests too deep.

    """
    if depth > MOST_LEVELS:
        raise Unreadable(f"nested deeper than {MOST_LEVELS} levels", field=field)
    if isinstance(value, Mapping):
        children = {
            _key(key, field): from_python(item, field=beneath(field, str(key)), depth=depth + 1)
            for key, item in value.items()
        }
        return Node(field=field, value=children)
    if isinstance(value, (list, tuple)):
        items = [from_python(item, field=f"{field}[{at}]", depth=depth + 1) for at, item in enumerate(value)]
        return Node(field=field, value=items)
    return _scalar(value, field)


def _key(key: object, field: str) -> str:
    if not isinstance(key, str):
        raise Unreadable(f"the key {short(repr(key))} is not a text", field=field)
    return key


def _scalar(value: object, field: str) -> Node:
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool) or value is None:
        return Node(field=field, value=value, text={True: "true", False: "false", None: "null"}[value])
    if isinstance(value, (int, float)):
        try:
            within(value)
        except ValueError as error:
            raise Unreadable(str(error), field=field) from None
        return Node(field=field, value=value, text=repr(value))
    if isinstance(value, str):
        whole(value, field=field)
        return Node(field=field, value=value, text=value)
    raise Unreadable(f"a {type(value).__name__} has no place in a deployment", field=field)


def whole(text: str, *, field: str = "", line: int | None = None) -> None:
    """Refuse a text with half a surrogate pair: it can be written to no file.

    Raises:
        Unreadable: it has one.

    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise Unreadable("the text holds half a character (a lone surrogate)", field=field, line=line)


def within(value: object) -> None:
    """Refuse an integer that no other program could read back.

    Raises:
        ValueError: it has more than 64 bits.

    """
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ValueError(f"a number of more than {MOST_BITS} bits")

"""Where the faults of one document are gathered, so that the user hears of all of them at once."""

from __future__ import annotations

import re
from typing import Final

from gristmill.deployment.nodes import Node, Unreadable
from gristmill.errors import Fault, InvalidDeployment, InvalidDocument

#: What an address may carry beside the place: a user with a password, and a query with a signature.
_USER: Final = re.compile(r"://[^/?@\s'\"]*@")
_QUERY: Final = re.compile(r"(://[^?\s'\"]*)\?[^\s'\"]*")


class Refused(Exception):
    """One value cannot be used; caught within this package and made a fault of its field."""

    def __init__(self, message: str) -> None:
        """Take what is wrong with the value and how to mend it."""
        super().__init__(message)
        self.message = message


class Report:
    """The faults found so far."""

    def __init__(self) -> None:
        """Begin with none."""
        self._faults: list[Fault] = []

    def add(self, node: Node, message: str) -> None:
        """Note a fault of a value."""
        self.place(message, field=node.field, line=node.line, origin=node.origin)

    def place(self, message: str, *, field: str = "", line: int | None = None, origin: str = "") -> None:
        """Note a fault of a field that has no value, or of the document as a whole."""
        text = f"{message} (from {origin})" if origin else message
        self._faults.append(Fault(field=field, message=_printable(text), line=line))

    def unreadable(self, error: Unreadable) -> None:
        """Note what kept the document from being read."""
        self.place(error.message, field=error.field, line=error.line)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults, in the file's order; those without a line last."""
        return tuple(sorted(self._faults, key=lambda fault: (fault.line is None, fault.line or 0)))

    def close(self, source: str, error: type[InvalidDocument] = InvalidDeployment) -> None:
        """Raise what was found.

        Raises:
            InvalidDocument: there is at least one fault; the class is `error`.

        """
        if self._faults:
            raise error(source, self.faults)


def _printable(text: str) -> str:
    """Return the text in one line that a terminal cannot trip over, without the secrets of an address."""
    text = _QUERY.sub(r"\1?***", _USER.sub("://***@", text))
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)

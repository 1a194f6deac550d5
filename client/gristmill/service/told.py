"""What of a log was told already: a new connection begins at the file's start, or somewhere before its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: Characters of a log's end that are kept for the comparison; a server goes back less far.
_KEPT: Final = 2**18


class Told:
    """One log file's text, so far as it was told."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._tail = ""
        #: What the connection may bring again; None until it has brought its first text.
        self._again: str | None = ""

    def reconnect(self) -> None:
        """Expect that what was told comes again, from somewhere on."""
        self._again = None

    def new(self, text: str) -> str:
        """Return what of the connection's next text was not told yet."""
        again = self._overlap(text) if self._again is None else self._again
        if again.startswith(text):
            self._again = again[len(text) :]
            return ""
        fresh = text.removeprefix(again) if text.startswith(again) else text
        self._again = ""
        self._tail = _last(self._tail + fresh)
        return fresh

    def _overlap(self, text: str) -> str:
        """Return the longest end of what was told that the text begins with, or that begins with the text."""
        for start in _line_starts(self._tail):
            end = self._tail[start:]
            if text.startswith(end) or end.startswith(text):
                return end
        return ""


def _line_starts(text: str) -> Iterator[int]:
    start = 0
    while start < len(text):
        yield start
        start = text.find("\n", start) + 1
        if not start:
            return


def _last(text: str) -> str:
    """Return a text's end from the beginning of a line on."""
    if len(text) <= _KEPT:
        return text
    cut = text.find("\n", len(text) - _KEPT - 1) + 1
    return text[cut or len(text) - _KEPT :]

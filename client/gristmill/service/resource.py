"""A document of the server as an object: its keys are attributes, and it is still the plain document."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any, Self

_CELL = "<tr><th style='text-align: left'>{}</th><td style='text-align: left'>{}</td></tr>"


class Resource(Mapping[str, Any]):
    """Attribute access over a plain dict, which it shares: `endpoint.defaults.deployment_name = "blue"` changes it.

    `resource["name"]`, `dict(resource)`, `get()`, `items()` and `==` are those of the dict; a key that is called like
    one of these is had by `resource["items"]` alone.
    """

    __slots__ = ("_document", "_etag")

    def __init__(self, document: Mapping[str, Any] | None = None, /, *, etag: str = "") -> None:
        """Take the document, which is shared if it is a dict, and the version that the server showed it as."""
        shared = document if isinstance(document, dict) else dict(document or {})
        object.__setattr__(self, "_document", shared)
        object.__setattr__(self, "_etag", etag)

    def __getitem__(self, key: str) -> Any:
        """Return the plain value under a key."""
        return self._plain()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Put a value under a key."""
        self._plain()[key] = plain(value)

    def __getattr__(self, name: str) -> Any:
        """Return the value under a key; what is a mapping in it is a `Resource` again."""
        if name.startswith("_"):
            raise AttributeError(name)
        document = self._plain()
        if name not in document:
            has = ", ".join(document) or "nothing"
            raise AttributeError(f"no {name!r} in this document; it has: {has}")
        return _wrapped(document[name])

    def __setattr__(self, name: str, value: Any) -> None:
        """Put a value under a key."""
        if name in Resource.__slots__:
            object.__setattr__(self, name, value)
            return
        self._plain()[name] = plain(value)

    def __delattr__(self, name: str) -> None:
        """Remove a key."""
        if name not in self._plain():
            raise AttributeError(f"no {name!r} in this document")
        del self._plain()[name]

    def __contains__(self, key: object) -> bool:
        """Whether there is such a key."""
        return key in self._plain()

    def __iter__(self) -> Iterator[str]:
        """Go through the keys."""
        return iter(self._plain())

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._plain())

    def __eq__(self, other: object) -> bool:
        """Whether the other is, or holds, the same document."""
        if isinstance(other, Resource):
            return self._plain() == other._plain()
        return self._plain() == other if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __dir__(self) -> list[str]:
        """Return what can be completed: the keys, and what a Resource can do."""
        return [*self._plain(), *object.__dir__(self)]

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        """Let it be copied and pickled as its document."""
        return type(self), (self._plain(),)

    def __repr__(self) -> str:
        """Return the document as Python would write it."""
        return f"{type(self).__name__}({json.dumps(self._plain(), indent=2, ensure_ascii=False, default=str)})"

    def _repr_html_(self) -> str:
        """Return a table of the document, for a notebook."""
        rows = (_CELL.format(html.escape(str(key)), _cell(value)) for key, value in self._plain().items())
        return f"<table>{''.join(rows)}</table>"

    def _plain(self) -> dict[str, Any]:
        document: dict[str, Any] = object.__getattribute__(self, "_document")
        return document


def plain(value: Any) -> Any:
    """Return a value without any `Resource` in it, as JSON has it."""
    if isinstance(value, Resource):
        return plain(dict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _wrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return Resource(value)
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [_wrapped(item) for item in value]
    return value


def _cell(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return f"<pre>{html.escape(json.dumps(value, indent=2, ensure_ascii=False, default=str))}</pre>"
    return html.escape("" if value is None else str(value))

"""What a caller gives for a resource, as the document that is sent: a Resource, a mapping, or a YAML file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from gristmill.service.resource import Resource, plain
from gristmill.service.uploads import Uploads, Use, is_reference

#: What a resource may be given as.
Source = Resource | Mapping[str, Any] | str | Path

#: Reads a YAML file or a mapping into a document with absolute local paths.
Reader = Callable[[Any], dict[str, Any]]

#: Where documents have paths, and what the files there are for.
Places = Iterable[tuple[str, Use]]
DEPLOYMENT: Final = (("model", Use.MODEL), ("model.path", Use.MODEL), ("code_configuration.code", Use.CODE))
MODEL: Final = (("path", Use.MODEL),)
DATA: Final = (("path", Use.INPUT),)
ENVIRONMENT: Final = (("build.path", Use.CODE),)

#: What stands in every document that the server showed; it is the server's to say.
_SHOWN: Final = "creation_context"


def document_of(source: Source, read: Reader, uploads: Uploads, places: Places = ()) -> dict[str, Any]:
    """Return the document of a source as the server is to have it, its local files brought there.

    In what the server showed, absolute paths are the server's own and stay as they are.

    Raises:
        Mistake: the source cannot be used, or a path of it names nothing.

    """
    if isinstance(source, Resource) and _SHOWN in source:
        document: dict[str, Any] = plain(source)
        shown = True
    else:
        document = dict(read(plain(source) if isinstance(source, (Resource, Mapping)) else source))
        shown = False
    for dotted, use in places:
        _bring(document, dotted.split("."), use, uploads, shown=shown)
    return document


def _bring(document: dict[str, Any], keys: list[str], use: Use, uploads: Uploads, *, shown: bool) -> None:
    """Replace the local path under the keys, if there is one."""
    key, *rest = keys
    value = document.get(key)
    if rest:
        if isinstance(value, dict):
            document[key] = inner = dict(value)
            _bring(inner, rest, use, uploads, shown=shown)
        return
    if not isinstance(value, str) or not value or is_reference(value):
        return
    if shown and Path(value).is_absolute():
        return
    document[key] = uploads.bring(value, use)

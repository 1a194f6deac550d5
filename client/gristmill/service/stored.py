"""A document of the server under its address: read, written with its version, deleted, listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gristmill.errors import ServerFailed
from gristmill.service.http import Answer, Http, Params
from gristmill.service.resource import Resource
from gristmill.service.sources import Source


class Stored:
    """What all groups of operations do with their documents."""

    def __init__(self, http: Http) -> None:
        """Take the server."""
        self._http = http

    def read(self, path: str) -> Resource:
        """Return what stands there, with its version.

        Raises:
            ResourceNotFound: nothing does.

        """
        return self._resource(self._http.get(path))

    def write(
        self, path: str, document: Mapping[str, Any], source: Source, *, params: Params | None = None
    ) -> Resource:
        """Make or replace what stands there; return what the server made of it.

        What was read is written on the version that was read. A source that was written has its version from then on.

        Raises:
            PreconditionFailed: somebody else changed it since the source was read.

        """
        etag = object.__getattribute__(source, "_etag") if isinstance(source, Resource) else ""
        headers = {"if-match": etag} if etag else None
        resource = self._resource(self._http.send("PUT", path, document=document, params=params, headers=headers))
        if isinstance(source, Resource):
            object.__setattr__(source, "_etag", object.__getattribute__(resource, "_etag"))
        return resource

    def remove(self, path: str) -> None:
        """Delete what stands there.

        Raises:
            ResourceNotFound: nothing does.
            Conflict: something needs it.

        """
        self._http.send("DELETE", path)

    def pages(self, path: str, *, params: Params | None = None) -> Iterator[Resource]:
        """Go through a list."""
        for document in self._http.pages(path, params=params):
            yield Resource(document)

    def post(self, path: str, document: Mapping[str, Any] | None = None, *, again: bool = False) -> Resource:
        """Ask for something to be done there; return what the server says of it."""
        return self._resource(self._http.send("POST", path, document=document or {}, again=again))

    def _resource(self, answer: Answer) -> Resource:
        if not isinstance(answer.document, dict):
            raise ServerFailed(f"{self._http.url}: answered no document; is this a Gristmill server?")
        return Resource(answer.document, etag=answer.etag)

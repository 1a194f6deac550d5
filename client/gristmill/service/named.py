"""Datastores and computes: things with a name alone, handled in one way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from gristmill.service.http import Http, place
from gristmill.service.poller import Poller
from gristmill.service.resource import Resource
from gristmill.service.sources import Source, document_of
from gristmill.service.stored import Stored
from gristmill.service.uploads import Uploads


class Named(ABC):
    """What is done with resources of one kind."""

    #: What the server calls the kind.
    collection: ClassVar[str]

    def __init__(self, http: Http, uploads: Uploads) -> None:
        """Take the server and its place for files."""
        self._stored, self._uploads = Stored(http), uploads

    def get(self, name: str) -> Resource:
        """Return the one of that name.

        Raises:
            ResourceNotFound: there is none.

        """
        return self._stored.read(place(self.collection, name))

    def list(self) -> Iterator[Resource]:
        """Go through all of them."""
        return self._stored.pages(place(self.collection))

    def create_or_update(self, source: Source) -> Resource:
        """Make or replace one, from a Resource, a mapping, or the path of a YAML file.

        Raises:
            Mistake: it cannot be used.
            PreconditionFailed: somebody else changed it since the Resource was read.

        """
        document = document_of(source, self.load, self._uploads)
        return self._stored.write(place(self.collection, str(document.get("name") or "")), document, source)

    def begin_create_or_update(self, source: Source) -> Poller[Resource]:
        """Do as `create_or_update`; what came of it is the poller's result."""
        return Poller(self.create_or_update(source))

    def delete(self, name: str) -> None:
        """Delete the one of that name.

        Raises:
            ResourceNotFound: there is none.
            Conflict: something needs it.

        """
        self._stored.remove(place(self.collection, name))

    def begin_delete(self, name: str) -> Poller[None]:
        """Do as `delete`."""
        self.delete(name)
        return Poller(None)

    @abstractmethod
    def load(self, source: Any) -> dict[str, Any]:
        """Return the document of a YAML file or a mapping."""

"""Models, data and environments: things with a name and versions, all handled in one way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from gristmill.errors import Mistake
from gristmill.service.http import Http, place
from gristmill.service.resource import Resource
from gristmill.service.sources import Places, Source, document_of
from gristmill.service.stored import Stored
from gristmill.service.uploads import Uploads


class Assets(ABC):
    """What is done with assets of one kind."""

    #: What the server calls the kind.
    collection: ClassVar[str]

    #: Where its documents have paths.
    places: ClassVar[Places] = ()

    def __init__(self, http: Http, uploads: Uploads) -> None:
        """Take the server and its place for files."""
        self._stored, self._uploads = Stored(http), uploads

    def get(self, name: str, version: str | int | None = None, label: str | None = None) -> Resource:
        """Return one version: the one given, the one with a label, or the latest.

        Raises:
            ResourceNotFound: there is none.

        """
        if version is not None and label is not None:
            raise Mistake("version and label: give one of them")
        if version is not None:
            return self._stored.read(place(self.collection, name, "versions", str(version)))
        return self._stored.read(place(self.collection, name, "labels", label or "latest"))

    def list(self, name: str | None = None, *, archived: str = "exclude") -> Iterator[Resource]:
        """Go through the latest versions of all names, or all versions of one name.

        Args:
            name: which; None: all.
            archived: `exclude`, `only` or `include` what is archived.

        """
        where = place(self.collection) if name is None else place(self.collection, name, "versions")
        return self._stored.pages(where, params={"archived": archived})

    def create_or_update(self, asset: Source) -> Resource:
        """Make a version, the next one if the document names none; from a Resource, a mapping, or a YAML file's path.

        Local files that the server does not see are sent to it, each content once.

        Raises:
            Mistake: it cannot be used.

        """
        document = document_of(asset, self.load, self._uploads, self.places)
        name, version = str(document.get("name") or ""), document.get("version")
        if version in {None, ""}:
            return self._stored.post(place(self.collection, name), document)
        return self._stored.write(place(self.collection, name, "versions", str(version)), document, asset)

    def archive(self, name: str, version: str | int | None = None, label: str | None = None) -> None:
        """Leave a version, or with neither version nor label all of them, out of lists; references to it still work."""
        self._move(name, version, label, "archive")

    def restore(self, name: str, version: str | int | None = None, label: str | None = None) -> None:
        """Let a version, or with neither version nor label all of them, be in lists again."""
        self._move(name, version, label, "restore")

    def delete(self, name: str, version: str | int) -> None:
        """Delete a version.

        Raises:
            ResourceNotFound: there is none.

        """
        self._stored.remove(place(self.collection, name, "versions", str(version)))

    @abstractmethod
    def load(self, source: Any) -> dict[str, Any]:
        """Return the document of a YAML file or a mapping, its local paths absolute."""

    def _move(self, name: str, version: str | int | None, label: str | None, action: str) -> None:
        if label is not None:
            version = self.get(name, version, label)["version"]
        below = () if version is None else ("versions", str(version))
        self._stored.post(place(self.collection, name, *below, action), again=True)

"""Versioned assets: data, environments, models. What a version means never changes; what is said of it may.

    <collection>/<name>/<version>     one stored document a version
    body: {"document": {...}, "creation_context": {...}, "archived": bool, ...what the kind adds}

The number of a deleted version is not given again to something else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, TypeAlias

from gristmill.errors import Conflict, Mistake, ResourceNotFound
from gristmill_scheduler.resources.names import check_name, is_name
from gristmill_scheduler.resources.records import Body, Record, Records
from gristmill_scheduler.resources.shown import Shown, ShownList
from gristmill_storage.store import shown
from gristmill_storage.workspace import Workspace

#: The label that every asset has: its version that was created last.
LATEST: Final = "latest"

RecordList: TypeAlias = list[Record]

#: Which of the archived ones a list holds.
Archived: TypeAlias = Literal["exclude", "only", "include"]

#: How often the next version is looked for because somebody else took it.
_TRIES: Final = 100


class Assets(ABC):
    """The assets of one kind."""

    #: The collection, which is also the name in addresses: "data".
    collection: ClassVar[str]
    #: What one is called in messages: "data asset".
    word: ClassVar[str]
    #: Keys of the document that make a version what it is; another value of one is another version.
    content: ClassVar[tuple[str, ...]]

    def __init__(self, workspace: Workspace) -> None:
        """Take the workspace that keeps them."""
        self._workspace = workspace

    @abstractmethod
    def _body(self, name: str, version: str, document: Mapping[str, Any]) -> Body:
        """Return what is stored of a document: {"document": its normal form, ...}.

        Raises:
            Mistake: it cannot be used.

        """

    def put(
        self, name: str, version: str, document: Mapping[str, Any], *, expected: int | None = None, by: str = ""
    ) -> Shown:
        """Make a version, or change what is said of it (description, tags, properties).

        Raises:
            Conflict: the version is there with another content.
            Mistake: the document, the name or the version cannot be used.
            PreconditionFailed: another version of the document than the expected one is there.

        """
        check_name("name", name)
        check_name("version", version)
        if version == LATEST:
            raise Mistake(f"version: {LATEST} is a label; give a number, or leave the version out")
        body = self._body(name, version, document)

        def change(found: Record | None) -> Body:
            if found is None:
                return {**body, "archived": False}
            self._refuse_other(name, found, body)
            return {**body, "archived": found.body.get("archived", False)}

        return self._shown(name, self._records(name).write(version, change, expected=expected, by=by))

    def add(self, name: str, document: Mapping[str, Any], *, by: str = "") -> Shown:
        """Make the next version: the greatest number so far and one.

        Raises:
            Mistake: the document or the name cannot be used.

        """
        check_name("name", name)
        for _ in range(_TRIES):
            try:
                return self.put(name, self._next(name), document, expected=0, by=by)
            except Conflict:
                continue
        raise Conflict(f"{self.word} {name}: too many others make a version at once; try again")

    def get(self, name: str, version: str) -> Shown:
        """Return a version.

        Raises:
            ResourceNotFound: it is not there.

        """
        return self._shown(name, self.record(name, version))

    def record(self, name: str, version: str) -> Record:
        """Return a version as it is stored.

        Raises:
            ResourceNotFound: it is not there.

        """
        if not is_name(name):
            raise ResourceNotFound(self._missing(shown(name), shown(version)))
        return self._records(name).get(version)

    def labelled(self, name: str, label: str) -> Shown:
        """Return the version that has a label: `latest`, which is the one created last that is not archived.

        Raises:
            ResourceNotFound: there is no such asset or label.

        """
        if label != LATEST:
            raise ResourceNotFound(f"{self.word} {name}: there is no label {label!r}; the only one is {LATEST}")
        live = _wanted(self._versions(name), "exclude")
        if not live:
            raise ResourceNotFound(self._missing(name, ""))
        return self._shown(name, max(live, key=_age))

    def list(self, *, archived: Archived = "exclude") -> ShownList:
        """Return the latest version of each asset, sorted by name, with `latest_version`."""
        found = []
        for name in self._workspace.collections(self.collection):
            versions = _wanted(self._versions(name), archived)
            if versions:
                latest = max(versions, key=_age)
                shown = self._shown(name, latest)
                shown.document["latest_version"] = latest.name
                found.append(shown)
        return found

    def versions(self, name: str, *, archived: Archived = "exclude") -> ShownList:
        """Return the versions of an asset, the newest first.

        Raises:
            ResourceNotFound: there is no asset of that name.

        """
        versions = self._versions(name)
        if not versions:
            raise ResourceNotFound(self._missing(name, ""))
        return [self._shown(name, each) for each in sorted(_wanted(versions, archived), key=_age, reverse=True)]

    def archive(self, name: str, version: str | None, archived: bool, *, by: str = "") -> ShownList:
        """Hide a version (None: all of them) from lists and from `latest`, or show it again.

        Raises:
            ResourceNotFound: it is not there.

        """
        versions = [each.name for each in self._versions(name)] if version is None else [version]
        if not versions:
            raise ResourceNotFound(self._missing(shown(name), ""))
        return [self._mark(name, each, archived=archived, by=by) for each in versions]

    def _mark(self, name: str, version: str, *, archived: bool, by: str) -> Shown:
        self.record(name, version)

        def change(found: Record | None) -> Body:
            if found is None:
                raise ResourceNotFound(self._missing(name, version))
            return {**found.body, "archived": archived}

        return self._shown(name, self._records(name).write(version, change, by=by))

    def delete(self, name: str, version: str, *, expected: int | None = None, by: str = "") -> None:
        """Delete a version; its number is not given again.

        Raises:
            ResourceNotFound: it is not there.
            PreconditionFailed: another version of the document than the expected one is there.

        """
        self.record(name, version)
        self._records(name).retire(version, expected=expected, by=by)

    def _records(self, name: str) -> Records:
        documents = self._workspace.documents(self.collection, name)
        return Records(documents, missing=lambda version: self._missing(name, version))

    def _versions(self, name: str) -> RecordList:
        return [*self._records(name).all()] if is_name(name) else []

    def _next(self, name: str) -> str:
        numbers = [int(version) for version in self._records(name).taken() if version.isdecimal()]
        return str(max(numbers, default=0) + 1)

    def _missing(self, name: str, version: str) -> str:
        what = f"{self.word} {name}:{version}" if version else f"{self.word} {name}"
        return f"{what}: there is none on this server; make it first, or look at the list of those there are"

    def _refuse_other(self, name: str, found: Record, body: Body) -> None:
        for key in self.content:
            there, given = found.document.get(key), body["document"].get(key)
            if there != given:
                raise Conflict(
                    f"{self.word} {name}:{found.name}: it is there with another {key}, and what a version means never "
                    "changes; leave the version out, and the next one is made"
                )

    def _shown(self, name: str, record: Record) -> Shown:
        document = {
            "id": f"/{self.collection}/{name}/versions/{record.name}",
            "name": name,
            "version": record.name,
            **record.document,
            "archived": bool(record.body.get("archived")),
            "creation_context": record.context,
        }
        return Shown(document=document, version=record.version, created=record.created)


def _wanted(records: list[Record], archived: Archived) -> list[Record]:
    if archived == "include":
        return records
    return [record for record in records if bool(record.body.get("archived")) is (archived == "only")]


def _age(record: Record) -> tuple[str, int, str]:
    """Return what sorts versions by when they were created; of two of the same moment the greater one is later."""
    number = int(record.name) if record.name.isdecimal() else 0
    return record.context.get("created_at", ""), number, record.name

"""Versioned JSON documents on any store: the server's memory, without a database.

A document is a folder; each version is a file of its own, and the greatest is the current one. A change is the
creation of the next version, which stores let one writer win. Two versions are kept; older ones are removed.

That removal is the difficulty: a writer that was held up between looking and creating may find a number free again
whose first holder was removed meanwhile, and would take a write for done that nobody will ever read. So each version
names itself and those before it (`id`, `after`), and whoever has created one looks again: when the current version is
two or more ahead, it must name this one among those before it. Where it does not, the write never happened.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby, starmap
from typing import Any, Final

from gristmill.counts import counted
from gristmill.errors import (
    AlreadyExists,
    Conflict,
    Corrupt,
    Mistake,
    NotFound,
    PreconditionFailed,
    ResourceNotFound,
    StorageFailed,
)
from gristmill_storage.documents import read_document
from gristmill_storage.store import Store

#: Versions of a document that are kept, the current one included.
KEEP: Final = 2

#: How many versions before it a version names: how many changes a held up writer can sleep through and still be sure.
_NAMED: Final = 64

#: How often a document is looked for whose current version is removed again and again before it is read.
_LOOKS: Final = 100

#: Documents that are read from a store elsewhere at once (its drivers keep ten connections), and that are asked for
#: before the first of them is handed on.
_READERS: Final = 10
_READ_AHEAD: Final = 200

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")

_FILE: Final = re.compile(r"([0-9]{8,})\.json")

_LISTED: Final = re.compile(r"([^/]+)/([0-9]{8,})\.json")


@dataclass(frozen=True, kw_only=True)
class Versioned:
    """A document as it stands."""

    #: The document.
    body: dict[str, Any]
    #: Counted from 1; it never goes back, not even when the document is deleted and made again.
    version: int


@dataclass(frozen=True, kw_only=True)
class _Version:
    """What a version's file holds."""

    number: int
    #: None: the document is deleted.
    body: dict[str, Any] | None
    #: A random word: who wrote it; "" in a file that somebody wrote by hand.
    id: str = ""
    #: The words of the versions before, the latest first.
    after: tuple[str, ...] = ()
    #: Earlier versions that still lie beside it.
    older: tuple[int, ...] = ()

    def as_bytes(self) -> bytes:
        """Return the file."""
        state = {"deleted": True} if self.body is None else {"body": self.body}
        return json.dumps(
            {"id": self.id, "after": self.after, **state}, allow_nan=False, separators=(",", ":")
        ).encode()


@dataclass(frozen=True)
class Documents:
    """The documents of one collection.

    Raises, in all methods: Mistake for a name that cannot be one; Corrupt, with the file, for a version that is no
    document of ours; StorageFailed where the store fails.
    """

    #: The workspace.
    store: Store
    #: Names with `/` between them: "batch-deployments/my-endpoint".
    collection: str
    #: The collection's folder in the store.
    folder: str = field(init=False)

    def __post_init__(self) -> None:
        """Check the collection's names."""
        for part in self.collection.split("/"):
            checked_name(part)
        object.__setattr__(self, "folder", f"documents/{self.collection}")

    def find(self, name: str) -> Versioned | None:
        """Return a document; None where there is none, or it is deleted."""
        current = self._current(checked_name(name))
        return _shown(current) if current else None

    def get(self, name: str) -> Versioned:
        """Return a document.

        Raises:
            ResourceNotFound: there is none, or it is deleted.

        """
        found = self.find(name)
        if found is None:
            raise self._missing(name)
        return found

    def put(self, name: str, body: dict[str, Any], *, expected: int | None = None) -> Versioned:
        """Make a document, or the next version of one, and return it as `get` would.

        Args:
            name: The document's name.
            body: What JSON can hold.
            expected: 0: there must be none; a version: that must be the current one; None: whatever is there.

        Raises:
            Conflict: there is one already, and `expected` is 0.
            PreconditionFailed: the current version is not the expected one.
            StorageFailed: also where so much was changed meanwhile that nobody can say whether this change was seen.

        """
        version = self._change(checked_name(name), body, expected)
        return Versioned(body=json.loads(json.dumps(body)), version=version)

    def delete(self, name: str, *, expected: int | None = None) -> None:
        """Delete a document: its next version says that there is none.

        Raises:
            ResourceNotFound: there is none.
            PreconditionFailed: the current version is not the expected one.

        """
        self._change(checked_name(name), None, expected)

    def names(self) -> list[str]:
        """Return the names of all documents, sorted."""
        return [name for name, _ in self.all()]

    def all(self) -> Iterator[tuple[str, Versioned]]:
        """Yield each document with its name, sorted by name."""
        listed = sorted(self._listed())
        for (name, _), current in zip(listed, self._read_all(listed), strict=True):
            if current and (found := _shown(current)):
                yield name, found

    def versions(self) -> dict[str, int]:
        """Return the current version of each document, deleted ones included, by one listing."""
        return dict(self._listed())

    def _change(self, name: str, body: dict[str, Any] | None, expected: int | None) -> int:
        while True:
            now = self._predecessor(name, expected)
            self._refuse(name, now, expected, deleting=body is None)
            number = now.number + 1 if now else 1
            after = (now.id, *now.after)[:_NAMED] if now else ()
            version = _Version(number=number, body=body, id=uuid.uuid4().hex[:12], after=after)
            if self._create(name, version) and self._landed(name, version):
                self._prune(name, [old for old in (now.older if now else ()) if old <= number - KEEP])
                return number

    def _predecessor(self, name: str, expected: int | None) -> _Version | None:
        """Return the current version; one that cannot be read as a stranger, so that it can be written over."""
        try:
            return self._current(name)
        except Corrupt:
            numbers = self._numbers(name)
            if expected == 0 or not numbers:
                raise
            return _Version(number=numbers[-1], body={}, older=numbers[:-1])

    def _refuse(self, name: str, now: _Version | None, expected: int | None, *, deleting: bool) -> None:
        lives = now is not None and now.body is not None
        if expected is None:
            if deleting and not lives:
                raise self._missing(name)
        elif expected == 0 and not deleting:
            if lives:
                raise Conflict(f"{self.collection}/{name}: is there already")
        elif now is None or not lives:
            raise PreconditionFailed(f"{self.collection}/{name}: version {expected} was expected, and there is none")
        elif now.number != expected:
            raise PreconditionFailed(
                f"{self.collection}/{name}: version {expected} was expected, and it is {now.number}; look at it again"
            )

    def _create(self, name: str, version: _Version) -> bool:
        """Return whether the version's file is ours."""
        try:
            data = version.as_bytes()
        except (TypeError, ValueError, RecursionError) as error:
            raise Mistake(f"{self.collection}/{name}: holds what JSON cannot: {error}") from error
        path = self._path(name, version.number)
        try:
            self.store.create(path, data)
        except AlreadyExists:
            # A store's own retry, whose first try won and whose answer got lost, looks just so.
            with suppress(NotFound):
                return self.store.read(path) == data
            return False
        return True

    def _landed(self, name: str, version: _Version) -> bool:
        """Return whether a version that was just created is one of the document's; see the module's word on it."""
        number, ahead = version.number, 0
        for _ in range(_LOOKS):
            if self._is_last(name, number):
                return True
            now = self._current(name)
            ahead = now.number - number if now else 0
            if now is None or ahead <= 0:
                continue  # the two looks differ: files came and went while they were listed
            if ahead > len(now.after):
                break
            if now.after[ahead - 1] == version.id:
                return True
            self._prune(name, [number])
            return False
        raise StorageFailed(
            f"{self.collection}/{name}: so much was changed while version {number} was written "
            f"({counted(ahead, 'version')}) that nobody can say whether it was among them; look at it again"
        )

    def _is_last(self, name: str, number: int) -> bool:
        """Return whether a version is the greatest, for sure."""
        numbers = self._numbers(name)
        if not numbers or numbers[-1] != number:
            return False
        # Files that are removed while they are listed may be missed, and those that took their place as well.
        # Beside the one before it, or twice in a row, a version is not alone by such a chance.
        return number - 1 in numbers or self._numbers(name)[-1:] == (number,)

    def _prune(self, name: str, numbers: list[int]) -> None:
        with suppress(StorageFailed):
            for number in numbers:
                self.store.delete(self._path(name, number))

    def _current(self, name: str) -> _Version | None:
        """Return the current version, a tombstone included."""
        for _ in range(_LOOKS):
            # A folder whose two files are both removed while they are listed looks empty: hence the second look.
            numbers = self._numbers(name) or self._numbers(name)
            if not numbers:
                return None
            with suppress(NotFound):
                return replace(self._read(name, numbers[-1]), older=numbers[:-1])
        raise StorageFailed(f"{self.store.url}/{self.folder}/{name}: changes faster than it can be read")

    def _read_all(self, listed: list[tuple[str, int]]) -> Iterator[_Version | None]:
        """Yield the versions of so many documents, in their order; of a store that is elsewhere, read side by side."""
        if self.store.local_path(self.folder) is not None:
            yield from starmap(self._read_or_look, listed)
            return
        with ThreadPoolExecutor(_READERS, thread_name_prefix="documents") as pool:
            # Not all of them at once: who stops listening waits for few, and few lie here unread.
            for start in range(0, len(listed), _READ_AHEAD):
                names, numbers = zip(*listed[start : start + _READ_AHEAD], strict=True)
                yield from pool.map(self._read_or_look, names, numbers)

    def _read_or_look(self, name: str, number: int) -> _Version | None:
        try:
            return self._read(name, number)
        except NotFound:
            return self._current(name)

    def _read(self, name: str, number: int) -> _Version:
        path = self._path(name, number)
        document = read_document(self.store, path)
        body = None if document.get("deleted") is True else document.get("body", ())
        after = document.get("after", [])
        if not isinstance(body, dict | None) or not isinstance(after, list):
            raise Corrupt(f"{self.store.url}/{path}: is no version of a document")
        return _Version(number=number, body=body, id=str(document.get("id", "")), after=tuple(map(str, after)))

    def _numbers(self, name: str) -> tuple[int, ...]:
        start = f"{self.folder}/{name}/"
        files = (entry.path.removeprefix(start) for entry in self.store.list(start, recursive=False))
        return tuple(sorted(int(match[1]) for file in files if (match := _FILE.fullmatch(file))))

    def _listed(self) -> Iterator[tuple[str, int]]:
        """Yield each document's name with its greatest version, deleted ones included, by one listing."""
        start = f"{self.folder}/"
        files = (_LISTED.fullmatch(entry.path.removeprefix(start)) for entry in self.store.list(start))
        for name, versions in groupby(filter(None, files), key=lambda match: match[1]):
            yield name, max(int(match[2]) for match in versions)

    def _path(self, name: str, number: int) -> str:
        return f"{self.folder}/{name}/{number:08d}.json"

    def _missing(self, name: str) -> ResourceNotFound:
        return ResourceNotFound(f"{self.collection}/{name}: there is none")


def checked_name(name: str) -> str:
    """Return a document's or a collection's name as it is, if it can be one.

    Raises:
        Mistake: it cannot.

    """
    if not _NAME.fullmatch(name):
        raise Mistake(
            f"name {name!r}: begin with a letter or a digit, go on with letters, digits, '_', '.', '-'; 255 at most"
        )
    return name


def _shown(version: _Version) -> Versioned | None:
    return None if version.body is None else Versioned(body=version.body, version=version.number)

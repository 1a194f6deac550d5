"""A document with who made it and when: read, made or replaced, and deleted by compare-and-swap.

    {"document": what the user gave, in its normal form, "creation_context": {...}, ...what the resource itself adds}

A reader passes over keys that it does not know: a newer server may have written them. A document that is `retired`
leaves {"gone": true} in its place: it is not there, and yet its name is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from gristmill.errors import Conflict, PreconditionFailed, ResourceNotFound
from gristmill_scheduler.resources.names import is_name
from gristmill_storage.store import shown
from gristmill_storage.workspace import Documents, Versioned

#: How often a change is made anew because somebody else was quicker.
_TRIES: Final = 100

#: Seconds by which each further try waits longer, up to ten times that.
_PAUSE: Final = 0.002

Body: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One stored document."""

    name: str
    body: Body
    version: int
    created: bool = False

    @property
    def document(self) -> Body:
        """What the user gave, in its normal form."""
        document: Body = self.body.get("document", {})
        return document

    @property
    def context(self) -> dict[str, str]:
        """Who made and changed it, and when."""
        context: dict[str, str] = self.body.get("creation_context", {})
        return context


class Records:
    """The documents of one collection."""

    def __init__(
        self, documents: Documents, *, missing: Callable[[str], str], lives: Callable[[Body], bool] | None = None
    ) -> None:
        """Take the collection, what to say of a name that is not in it, and what tells whether a document counts."""
        self._documents = documents
        self._missing = missing
        self._lives = lives or (lambda body: not body.get("gone"))

    def find(self, name: str) -> Record | None:
        """Return a document; None where there is none."""
        return self._living(name, self._documents.find(name)) if is_name(name) else None

    def get(self, name: str) -> Record:
        """Return a document.

        Raises:
            ResourceNotFound: there is none of that name.

        """
        found = self.find(name)
        if found is None:
            raise ResourceNotFound(self._missing(shown(name)))
        return found

    def names(self) -> list[str]:
        """Return the names of those that are there, sorted."""
        return [record.name for record in self.all()]

    def taken(self) -> list[str]:
        """Return the names of those that are there, and of those that were retired."""
        return self._documents.names()

    def all(self) -> Iterator[Record]:
        """Yield every document, sorted by name."""
        for name, found in self._documents.all():
            if self._lives(found.body):
                yield _record(name, found)

    def write(
        self, name: str, change: Callable[[Record | None], Body], *, expected: int | None = None, by: str = ""
    ) -> Record:
        """Make or replace a document.

        Args:
            name: Its name.
            change: Returns the new body from what is there; called anew when somebody else was quicker.
            expected: The version that must be there; 0: none; None: whatever is there.
            by: Who does it.

        Raises:
            Conflict: it is there, and `expected` is 0; or too many others write it at once.
            PreconditionFailed: another version than the expected one is there.

        """
        for attempt in range(_TRIES):
            stored = self._documents.find(name)
            found = self._living(name, stored)
            try:
                body = {**change(found), "creation_context": _context(found, by)}
                written = self._documents.put(name, body, expected=_awaited(stored, found, expected))
            except (Conflict, PreconditionFailed):
                if expected is not None or self._documents.find(name) == stored:
                    raise
                time.sleep(_PAUSE * min(attempt, 10))
                continue
            return _record(name, written, created=found is None)
        raise Conflict(f"{name}: too many others change it at once; try again")

    def delete(self, name: str, *, expected: int | None = None) -> None:
        """Delete a document.

        Raises:
            ResourceNotFound: there is none of that name.
            PreconditionFailed: another version than the expected one is there.

        """
        self.get(name)
        self._documents.delete(name, expected=expected)

    def _living(self, name: str, stored: Versioned | None) -> Record | None:
        return _record(name, stored) if stored and self._lives(stored.body) else None

    def retire(self, name: str, *, expected: int | None = None, by: str = "") -> None:
        """Delete a document so that its name stays taken.

        Raises:
            ResourceNotFound: there is none of that name.
            PreconditionFailed: another version than the expected one is there.

        """
        self.get(name)
        self.write(name, lambda _found: {"gone": True}, expected=expected, by=by)


def _awaited(stored: Versioned | None, found: Record | None, expected: int | None) -> int:
    """Return the version that the store must have for a change to be made; what does not count counts as none."""
    if expected is None or (expected == 0 and found is None):
        return stored.version if stored else 0
    return expected


def _record(name: str, found: Versioned, *, created: bool = False) -> Record:
    return Record(name=name, body=found.body, version=found.version, created=created)


def _context(found: Record | None, by: str) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    first = found.context if found else {}
    return {
        "created_at": first.get("created_at", now),
        "created_by": first.get("created_by", by),
        "last_modified_at": now,
        "last_modified_by": by,
    }

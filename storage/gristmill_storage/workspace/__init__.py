"""A workspace: one folder on any store with all that the server knows, so that the server itself can be lost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gristmill_storage.store import Store
from gristmill_storage.workspace.departures import Departures, Step
from gristmill_storage.workspace.documents import Documents, Versioned, checked_name
from gristmill_storage.workspace.uploads import Uploads, tree_in

__all__ = ["Departures", "Documents", "Step", "Uploads", "Versioned", "Workspace", "tree_in"]


@dataclass(frozen=True)
class Workspace:
    """Where the server keeps its documents, its clients' uploads, and the outputs of jobs."""

    #: The folder.
    store: Store

    @property
    def url(self) -> str:
        """The folder's address."""
        return self.store.url

    @cached_property
    def uploads(self) -> Uploads:
        """What clients have uploaded."""
        return Uploads(self.store)

    def documents(self, *collection: str) -> Documents:
        """Return the documents of a collection: `documents("batch-deployments", "my-endpoint")`.

        Raises:
            Mistake: a name that cannot be one.

        """
        return Documents(self.store, "/".join(map(checked_name, collection)))

    def collections(self, *prefix: str) -> list[str]:
        """Return the names of the collections below one, sorted; also of those whose documents are all deleted.

        Raises:
            Mistake: a name that cannot be one.

        """
        start = "/".join(("documents", *map(checked_name, prefix))) + "/"
        paths = (entry.path.removeprefix(start).split("/") for entry in self.store.list(start))
        return sorted({path[0] for path in paths if len(path) > 2})  # noqa: PLR2004 - name, document, version

"""Which uploads something names for good: a deployment, a data asset, a registered model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Final

from gristmill_scheduler.resources.endpoints import DEPLOYMENTS
from gristmill_scheduler.resources.places import Located
from gristmill_scheduler.resources.references import References
from gristmill_storage.registration import Registry
from gristmill_storage.workspace import Documents, Workspace, tree_in

#: What may be a tree's name, wherever it stands: what is none does no harm.
_TREE: Final = re.compile(r"[0-9a-f]{64}")

#: The collections whose documents name uploads.
_COLLECTIONS: Final = (DEPLOYMENTS, "data", "environments")


class Naming:
    """Tells what is named in a workspace and in its registry of models."""

    def __init__(self, workspace: Workspace, references: References, registry: Registry, *, uri: str) -> None:
        """Take the workspace, what resolves addresses, and the registry with its address ("": there is none)."""
        self._workspace = workspace
        self._references = references
        self._registry = registry
        #: Tells the registry from others; "": there is none.
        self.registry = hashlib.sha256(uri.encode()).hexdigest()[:16] if uri else ""

    def locate_model(self, text: str) -> Located:
        """Return where a model lies that is about to be registered; an upload is noted to be that.

        Raises:
            GristmillError: as `References.uri`.

        """
        found = self._references.uri(text, kind="model")
        if tree := tree_in(found.origin):
            self._workspace.uploads.note_registered(tree, self.registry)
        return found

    def by_documents(self) -> set[str]:
        """Return the trees that documents of the workspace name.

        Raises:
            Corrupt: one of them cannot be read, and may name any.
            StorageFailed: the store fails.

        """
        return {tree for text in self._texts() for tree in _TREE.findall(text)}

    def by_models(self) -> set[str]:
        """Return the trees that are models of the registry.

        Raises:
            GristmillError: it cannot be asked.

        """
        if not self.registry:
            return set()
        contents = (version.content for version in self._registry.versions())
        return {tree for content in contents for tree in _TREE.findall(f"{content.source} {content.path}")}

    def _texts(self) -> Iterator[str]:
        for documents in self._collections():
            for _, found in documents.all():
                yield json.dumps(found.body)

    def _collections(self) -> Iterator[Documents]:
        for collection in _COLLECTIONS:
            for name in self._workspace.collections(collection):
                yield self._workspace.documents(collection, name)

"""`client.datastores`: roots of stores under a name."""

from __future__ import annotations

from typing import Any, ClassVar

from gristmill.documents import load_datastore
from gristmill.service.named import Named


class Datastores(Named):
    """What is done with datastores."""

    collection: ClassVar[str] = "datastores"

    def load(self, source: Any) -> dict[str, Any]:
        """Return the document of a YAML file or a mapping."""
        return load_datastore(source)

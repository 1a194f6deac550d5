"""`client.compute`: pools of nodes."""

from __future__ import annotations

from typing import Any, ClassVar

from gristmill.documents import load_compute
from gristmill.service.named import Named


class Computes(Named):
    """What is done with computes."""

    collection: ClassVar[str] = "computes"

    def load(self, source: Any) -> dict[str, Any]:
        """Return the document of a YAML file or a mapping."""
        return load_compute(source)

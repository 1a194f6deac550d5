"""`client.environments`: what Python a script needs."""

from __future__ import annotations

from typing import Any, ClassVar

from gristmill.service.assets import Assets
from gristmill.service.reading import load_plain


class Environments(Assets):
    """What is done with environments."""

    collection: ClassVar[str] = "environments"

    def load(self, source: Any) -> dict[str, Any]:
        """Return the document of a YAML file or a mapping."""
        return load_plain(source)

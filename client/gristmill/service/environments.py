"""`client.environments`: what Python a script needs."""

from __future__ import annotations

from typing import Any, ClassVar

from gristmill.documents import load_environment
from gristmill.service import sources
from gristmill.service.assets import Assets


class Environments(Assets):
    """What is done with environments."""

    collection: ClassVar[str] = "environments"
    places: ClassVar[sources.Places] = sources.ENVIRONMENT

    def load(self, source: Any) -> dict[str, Any]:
        """Return the document of a YAML file or a mapping."""
        return load_environment(source)

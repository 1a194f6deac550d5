"""`client.models`: what is scored with."""

from __future__ import annotations

from typing import Any, ClassVar

from gristmill.documents import load_model
from gristmill.service import sources
from gristmill.service.assets import Assets
from gristmill.service.sources import Places


class Models(Assets):
    """What is done with models."""

    collection: ClassVar[str] = "models"
    places: ClassVar[Places] = sources.MODEL

    def load(self, source: Any) -> dict[str, Any]:
        """Return the document of a YAML file or a mapping."""
        return load_model(source)

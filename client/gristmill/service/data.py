"""`client.data`: inputs under a name."""

from __future__ import annotations

from typing import Any, ClassVar

from gristmill.documents import load_data
from gristmill.service import sources
from gristmill.service.assets import Assets
from gristmill.service.sources import Places


class Data(Assets):
    """What is done with data."""

    collection: ClassVar[str] = "data"
    places: ClassVar[Places] = sources.DATA

    def load(self, source: Any) -> dict[str, Any]:
        """Return the document of a YAML file or a mapping."""
        return load_data(source)

"""The small JSON documents of a job's folder, read with care: what a disk or a hand has made of them is not trusted."""

from __future__ import annotations

import json
from typing import Any

from gristmill.errors import Corrupt
from gristmill_storage.store import Store


def read_document(folder: Store, path: str) -> dict[str, Any]:
    """Return a JSON object of a job's folder.

    Raises:
        NotFound: it is not there.
        Corrupt: it is no JSON object.

    """
    try:
        document = json.loads(folder.read(path))
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{folder.url}/{path}: is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Corrupt(f"{folder.url}/{path}: is no JSON object")
    return document

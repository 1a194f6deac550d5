"""Reads a YAML file or a mapping into the document that is sent: a mapping whose local path is absolute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gristmill.errors import Mistake
from gristmill.service.uploads import is_reference


def load_plain(source: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """Return the document of a YAML file or a mapping; its `path` is relative to the file, or to the working folder.

    Raises:
        Mistake: it cannot be read, or is no mapping.

    """
    folder = Path() if isinstance(source, Mapping) else Path(source).expanduser().parent
    document = dict(source) if isinstance(source, Mapping) else _read(Path(source).expanduser())
    path = document.get("path")
    if isinstance(path, (str, Path)) and str(path) and not is_reference(str(path)):
        document["path"] = str((folder / Path(path).expanduser()).absolute())
    return document


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Mistake(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise Mistake(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise Mistake(f"{path}: holds no mapping; write key: value lines")
    return document

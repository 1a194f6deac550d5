"""Whether this Python is the one that a model was saved with, as far as MLflow would warn of it.

MLflow looks for that in the list of every file of every installed package, which takes as long as many a model does to
load. Models pin versions: mostly a look at these is enough to know that there is nothing to warn of.
"""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

#: A pinned version with nothing about it to think over: no wildcard, no extra, no marker.
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==([0-9][\w.+!]*)")

#: The Python's version in an `MLmodel` file.
_PYTHON = re.compile(r"^\s+python_version:\s*['\"]?(\d+\.\d+)(?:\.\S*)?['\"]?\s*$", re.MULTILINE)


def as_saved(folder: str, mlflow: Any) -> bool:
    """Return whether MLflow (the module) would find nothing amiss with the model in this folder; False: it may."""
    try:
        lines = _lines(Path(folder, "requirements.txt"))
        pythons = _PYTHON.findall(Path(folder, "MLmodel").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return {".".join(platform.python_version_tuple()[:2])} == set(pythons) and all(_has(line, mlflow) for line in lines)


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _has(line: str, mlflow: Any) -> bool:
    pin = _PIN.fullmatch(line)
    if pin is None:
        return False
    if pin.group(1) == "mlflow":  # its light edition goes by another name
        return bool(getattr(mlflow, "__version__", "") == pin.group(2))
    try:
        return metadata.version(pin.group(1)) == pin.group(2)
    except Exception:  # noqa: BLE001 - what is installed badly is for MLflow to tell
        return False

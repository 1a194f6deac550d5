"""What is told of the Python that runs a deployment's scorers, and when it is the worker's own."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gristmill import spec


@dataclass(frozen=True, kw_only=True)
class ScorerPython:
    """The Python that runs a deployment's scorers."""

    executable: Path
    #: "3.8.18"
    python: str
    #: The worker's own, or one that was built.
    origin: Literal["worker", "built"]
    #: The built environment's name in the cache, a hash of what it holds; "" for the worker's own.
    key: str = ""
    #: Why this one, in one sentence for the log.
    why: str


def own(why: str) -> ScorerPython:
    """Return the worker's own."""
    return ScorerPython(executable=Path(sys.executable), python=platform.python_version(), origin="worker", why=why)


def nothing(environment: spec.Environment | None) -> str:
    """Return why the worker's own Python runs a deployment that asks for nothing that can be built."""
    named = environment and (environment.reference or environment.image)
    if named:
        return f"the worker's own: {named} is recorded, and nothing can be built from it here"
    return "the worker's own: the deployment asks for no other"

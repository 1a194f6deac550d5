"""Conda's part: which program brings its packages, and what it is given."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gristmill_workers.environments.asked import Asked

#: What brings conda's packages, in the order of preference.
_TOOLS: Final = ("micromamba", "mamba", "conda")


def conda_tool(environment: Mapping[str, str]) -> str:
    """Return the program that brings conda's packages; "" where there is none."""
    found = (shutil.which(name, path=environment.get("PATH", "")) for name in _TOOLS)
    return next(filter(None, found), "")


def without_conda(asked: Asked) -> str:
    """Return what to say where conda's packages are asked for and nothing brings them."""
    packages = ", ".join(package.text for package in asked.conda)
    return (
        f"{asked.source}: {packages}: these are conda packages, and none of {', '.join(_TOOLS)} is on PATH; "
        "move them into the pip: section (as name==version), or install micromamba on this machine"
    )


def conda_command(program: str, prefix: Path, file: Path) -> list[str | Path]:
    """Return the command that makes an environment of a file."""
    verb = ["env", "create"] if Path(program).name == "conda" else ["create", "--yes"]
    return [program, *verb, "--prefix", prefix, "--file", file]


def conda_document(asked: Asked, lines: list[str]) -> dict[str, Any]:
    """Return the environment's document, made flat; `lines` are pip's."""
    dependencies: list[Any] = [asked.python.text, *(package.text for package in asked.conda), "pip"]
    if lines:
        dependencies.append({"pip": lines})
    return {"channels": list(asked.channels), "dependencies": dependencies}

"""What a job is given and leaves, in MLClient's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a job scores."""

    #: `uri_folder` or `uri_file`; None: what is there, or what the data asset says.
    type: str | None = None
    #: Local path, public URL, `azureml:name:version`, `azureml:name@label`, `azureml://datastores/<d>/paths/<p>`.
    path: str | Path | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a job's results go."""

    #: Azure knows `uri_file` alone.
    type: str = "uri_file"
    #: `azureml://datastores/<d>/paths/<p>/<file>`, a URL, or a path that the server may write to.
    path: str | Path | None = None


#: What may stand for an `Input`.
InputLike = Input | Mapping[str, Any] | str | Path

#: What may stand for an `Output`.
OutputLike = Output | Mapping[str, Any] | str | Path


def as_input(given: Any) -> Input:
    """Return what was given as an `Input`: an object with MLClient's attributes, a mapping, or a path alone."""
    if isinstance(given, Input):
        return given
    if isinstance(given, (str, Path)):
        return Input(path=given)
    return Input(type=_part(given, "type"), path=_part(given, "path"))


def as_output(given: Any) -> Output:
    """Return what was given as an `Output`, as `as_input` does."""
    if isinstance(given, Output):
        return given
    if isinstance(given, (str, Path)):
        return Output(path=given)
    return Output(type=_part(given, "type") or "uri_file", path=_part(given, "path"))


def _part(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)

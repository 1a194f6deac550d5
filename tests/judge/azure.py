"""Azure's own verdict on a file: its loaders, and what its command checks before it sends anything.

Runs in an environment of its own, with azure-ai-ml and nothing of ours.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import azure.ai.ml as sdk
import yaml
from azure.ai.ml._utils._endpoint_utils import validate_scoring_script
from azure.ai.ml.entities._endpoint._endpoint_helpers import validate_endpoint_or_deployment_name
from azure.ai.ml.entities._load_functions import load_model_batch_deployment, load_pipeline_component_batch_deployment

#: How much of a message is kept.
CHARACTERS = 120

#: The fields of a refusal, in the sentence around them.
_FIELDS = re.compile(r"Validation for \w+ failed: \{ (.*?) \}( Visit| The easiest|$)")


def verdict(kind: str, path: Path) -> str:
    """Return "accepted", or "refused: " and the first line of what is wrong."""
    quiet = io.StringIO()
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            LOADERS[kind](path)
    except Exception as error:  # noqa: BLE001 - whatever it raises, the file is refused
        return f"refused: {_first(error, path)}"
    return "accepted"


def _first(error: Exception, path: Path) -> str:
    text = " ".join(str(getattr(error, "message", None) or error).split()).replace(str(path.parent), ".")
    fields = _FIELDS.search(text)
    return (fields[1] if fields else text)[:CHARACTERS] or type(error).__name__


def _endpoint(path: Path) -> None:
    validate_endpoint_or_deployment_name(sdk.load_batch_endpoint(path).name)


def _deployment(path: Path) -> None:
    kind = _type(path)
    load: Callable[..., Any] = sdk.load_batch_deployment
    if kind == "model":
        load = load_model_batch_deployment
    elif kind == "pipeline":
        load = load_pipeline_component_batch_deployment
    deployment = load(path)
    if kind == "pipeline":
        return
    deployment._validate()
    code = deployment.code_configuration
    if code is not None:
        # Before its files are sent, the operation parses the script.
        validate_scoring_script(deployment)


def _type(path: Path) -> str:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    kind = document.get("type") if isinstance(document, dict) else None
    return kind.lower() if isinstance(kind, str) else ""


LOADERS: dict[str, Callable[[Path], Any]] = {
    "endpoint": _endpoint,
    "deployment": _deployment,
    "model": sdk.load_model,
    "data": sdk.load_data,
    "environment": sdk.load_environment,
    "compute": sdk.load_compute,
    "datastore": sdk.load_datastore,
}

"""Models in a registry: asked for by their references, and kept in the cache, once for all jobs.

cache/models/<key>/ holds a model under its own name; it appears when all of it is there.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Final

from gristmill import spec
from gristmill.settings import ProcessSettings
from gristmill_storage.registry import identity, resolve_model
from gristmill_workers.fetching import FETCH_SECONDS, MODEL, Log, lock_of, unfinished_of, waiting
from gristmill_workers.once import locked

#: Holds the place of what a registry gave, within its folder of the cache: a folder, or the one file in it.
_PLACE: Final = ".place"

#: References that always mean the same model: a version's number, or a run.
_FIXED: Final = re.compile(r"^runs:/|[:/]\d+$")


def resolved(model: spec.Model, scratch: Path, settings: ProcessSettings, log: Log) -> Path:
    """Return the path of what a reference stands for: kept for all jobs where it can only ever be the same.

    Raises:
        MissingExtra: MLflow is not installed.
        ModelNotFound: the registry has no such model.
        StorageFailed: it cannot be reached.

    """
    if not _FIXED.search(model.reference):
        return _resolve(model, scratch / "registry", settings, log)
    server = settings.environment.get("MLFLOW_TRACKING_URI", "")
    key = hashlib.sha256(json.dumps([model.reference, server, identity(server)]).encode()).hexdigest()[:24]
    folder = settings.cache / MODEL.folder / key
    with locked(lock_of(folder), seconds=FETCH_SECONDS, waiting=waiting(f"model {model.reference}", log)):
        if folder.is_dir():
            return folder / (folder / _PLACE).read_text()
        unfinished = unfinished_of(folder)
        found = _resolve(model, unfinished, settings, log)
        if not found.is_relative_to(unfinished):
            return found  # the registry's files are on this machine
        (unfinished / _PLACE).write_text(str(found.relative_to(unfinished)))
        unfinished.rename(folder)
        return folder / found.relative_to(unfinished)


def _resolve(model: spec.Model, folder: Path, settings: ProcessSettings, log: Log) -> Path:
    """Ask the registry for a model; what it fetches goes into the folder, under the name that it was registered by."""
    log(f"asking the registry for the model {model.reference}")
    destination = folder / "model"
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir(parents=True)
    return resolve_model(model, destination, tracking_uri=settings.environment.get("MLFLOW_TRACKING_URI") or None)

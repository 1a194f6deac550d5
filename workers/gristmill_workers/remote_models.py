"""Models that are not on this machine: fetched from a URL or from a registry, into the cache, once for all jobs.

cache/models/<key>/ holds a model under its own name; it appears when all of it is there.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from gristmill import spec
from gristmill.errors import ModelNotFound, StorageFailed
from gristmill.settings import ProcessSettings
from gristmill_storage.files import Entry, Store, open_store, scheme
from gristmill_storage.registry import identity, resolve_model
from gristmill_workers.once import locked

#: Seconds that another process may take to fetch the model that this one wants too.
_FETCH_SECONDS: Final = 3600.0

#: Bytes at each end of a file that tell one model from another at the same address.
_PROBE: Final = 65536

#: Holds the place of what a registry gave, within its folder of the cache: a folder, or the one file in it.
_PLACE: Final = ".place"

#: References that always mean the same model: a version's number, or a run.
_FIXED: Final = re.compile(r"^runs:/|[:/]\d+$")

Log = Callable[[str], None]


def fetched(url: str, settings: ProcessSettings, log: Log) -> Path:
    """Return the path of what is at a URL, from the cache or fetched now.

    Raises:
        ModelNotFound: there is nothing.
        StorageFailed: it cannot be fetched.

    """
    store, name = _parent_and_name(url)
    place = f"{store.url.rstrip('/')}/{name}"
    files = _files(store, name, place)
    key = _fingerprint(place, store, files)
    folder = settings.cache / "models" / key
    with locked(folder.with_name(f"{key}.lock"), seconds=_FETCH_SECONDS, waiting=_waiting(place, log)):
        if not folder.is_dir():
            log(f"fetching the model {place}: {len(files)} files, {sum(each.size for each in files)} bytes")
            _fetch(store, files, folder)
    return folder / name


def _waiting(what: str, log: Log) -> Callable[[], None]:
    return lambda: log(f"another process is fetching the model {what}: waiting for it")


def _parent_and_name(url: str) -> tuple[Store, str]:
    """Return the store above a file or folder, and its name there; a web address' query goes with the store."""
    if scheme(url) in ("http", "https"):
        parts = urlsplit(url)
        folder, _, name = parts.path.rstrip("/").rpartition("/")
        return open_store(urlunsplit(parts._replace(path=folder))), unquote(name)
    folder, _, name = url.rstrip("/").rpartition("/")
    return open_store(folder), name


def _files(store: Store, name: str, place: str) -> list[Entry]:
    """Return the files of a model, in the store above it."""
    if name and store.exists(name):
        return [Entry(path=name, size=store.size(name))]
    files = list(store.list(name)) if name else []
    if not files:
        raise ModelNotFound(f"model.path: there is nothing at {place}; give the address of a file or folder")
    return files


def _fingerprint(place: str, store: Store, files: list[Entry]) -> str:
    """Return a hash that another model at the same address does not have.

    Sizes are not enough: weights that were trained anew are as large as before. Their ends differ: archives keep
    their checksums there.
    """
    digest = hashlib.sha256(place.encode())
    for entry in files:
        digest.update(json.dumps([entry.path, entry.size]).encode())
        for start in sorted({0, max(0, entry.size - _PROBE)}):
            digest.update(store.read_range(entry.path, start, _PROBE))
    return digest.hexdigest()[:24]


def _fetch(store: Store, files: list[Entry], folder: Path) -> None:
    """Copy files into a folder that appears when all of them are there."""
    unfinished = folder.with_name(folder.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for entry in files:
        path = unfinished / PurePosixPath(entry.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download(entry.path, path)
        if path.stat().st_size != entry.size:
            raise StorageFailed(f"{store.url}/{entry.path} changed while it was fetched; start the job again")
    unfinished.rename(folder)


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
    folder = settings.cache / "models" / key
    waiting = _waiting(model.reference, log)
    with locked(folder.with_name(f"{key}.lock"), seconds=_FETCH_SECONDS, waiting=waiting):
        if folder.is_dir():
            return folder / (folder / _PLACE).read_text()
        unfinished = folder.with_name(folder.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
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

"""Making a deployment's model ready: where scripts and MLflow find its files.

AZUREML_MODEL_DIR is a folder that holds the registered file or folder under its own name: `--path deployment/model`
is at `$AZUREML_MODEL_DIR/model/...`. A model of this machine is not copied: the folder is a tree of links. One at a
URL, or in a registry, is fetched into the cache once for all jobs.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import yaml

from gristmill import spec
from gristmill.errors import Mistake, ModelNotFound, StorageFailed
from gristmill.settings import ProcessSettings
from gristmill_storage.files import Entry, Store, is_local, normalize, open_store, scheme
from gristmill_workers.once import locked

#: Folders with more files than this are linked as a whole, not file by file.
_MIRROR: Final = 20_000

#: Bytes up to which a file that cannot be hard-linked is copied.
_COPIED: Final = 64 * 1024 * 1024

#: Seconds that another process may take to fetch the model that this one wants too.
_FETCH_SECONDS: Final = 3600.0

#: Bytes at each end of a file that tell one model from another at the same address.
_PROBE: Final = 65536

#: References that always mean the same model: a version's number, or a run.
_FIXED: Final = re.compile(r"^runs:/|[:/]\d+$")

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """Where a deployment's model is on this machine."""

    #: What AZUREML_MODEL_DIR is to be; None without a model.
    azureml_model_dir: Path | None
    #: The folder of the `MLmodel` file; None where it is no MLflow model.
    mlflow_path: Path | None


def prepare_model(deployment: spec.Deployment, *, scratch: Path, settings: ProcessSettings, log: Log) -> ModelFolder:
    """Make a deployment's model ready on this machine.

    Args:
        deployment: The deployment.
        scratch: The instance's own folder, which the tree of links goes into.
        settings: The process's settings.
        log: Called with each line that a reader of the job's log should see.

    Raises:
        ModelNotFound: there is no model where the deployment says.
        Mistake: it is none that can be scored without a script.
        StorageFailed: it cannot be fetched.

    """
    model = deployment.model
    no_code = deployment.code_configuration is None
    if model is None:
        if no_code:
            raise ModelNotFound("model: none is given, and no scoring script either; give one of the two")
        return ModelFolder(azureml_model_dir=None, mlflow_path=None)
    path = _on_this_machine(model, scratch, settings, log)
    folder = scratch / "model"
    _link(path, folder / path.name)
    wanted = no_code or model.type is not spec.ModelType.CUSTOM
    mlflow_path = path if wanted and is_mlflow(path) else None
    if no_code or model.type is spec.ModelType.MLFLOW:
        _check_mlflow(path, mlflow_path, no_code=no_code)
    return ModelFolder(azureml_model_dir=folder, mlflow_path=mlflow_path)


def is_mlflow(path: Path) -> bool:
    """Return whether a folder is an MLflow model."""
    return (path / "MLmodel").is_file()


def has_python_function(path: Path) -> bool:
    """Return whether an MLflow model can be loaded as `python_function`, whatever made it.

    Raises:
        Mistake: its `MLmodel` file cannot be read.

    """
    try:
        document = yaml.safe_load((path / "MLmodel").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Mistake(f"model: {path / 'MLmodel'} cannot be read: {' '.join(str(error).split())}") from error
    flavors = document.get("flavors") if isinstance(document, dict) else None
    return isinstance(flavors, dict) and "python_function" in flavors


def _check_mlflow(path: Path, mlflow_path: Path | None, *, no_code: bool) -> None:
    """Refuse what is to be used as an MLflow model and cannot be."""
    if mlflow_path is None:
        inside = sorted(found.parent.name for found in path.glob("*/MLmodel"))
        hint = f"; did you mean its folder {inside[0]!r}?" if inside else ""
        advice = hint or "; give the folder of an MLflow model, or a scoring script (code_configuration)"
        raise ModelNotFound(f"model: {path} holds no MLmodel file{advice}")
    if no_code and not has_python_function(mlflow_path):
        raise Mistake(
            f"model: {path} has no python_function flavor, so nothing but a scoring script can use it; "
            "give code_configuration, or save the model with one"
        )


def _on_this_machine(model: spec.Model, scratch: Path, settings: ProcessSettings, log: Log) -> Path:
    """Return the path of a model's file or folder, fetched if it is elsewhere."""
    if not model.path:
        return _resolved(model, scratch, settings, log)
    if not is_local(model.path):
        return _fetched(model.path, settings, log)
    path = Path(normalize(model.path, Path.cwd()))
    if not path.exists():
        raise ModelNotFound(
            f"model.path: {path} does not exist on this machine; give a path that every node sees, or a URL"
        )
    return path


def _link(path: Path, place: Path) -> None:
    """Make a file or folder appear at another place: folders are made, files are hard links where they can be.

    A link to the folder itself would do for glob and open, but os.walk and pathlib's rglob pass links by; and what a
    script writes beside its model stays out of the user's folder. MLflow refuses files whose real path leads out of
    the model's folder: so hard links, and copies of a model's few small files where the folder is on another disk.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.exists():
        return
    if not path.is_dir() or _larger(path, _MIRROR):
        place.symlink_to(path.absolute(), target_is_directory=path.is_dir())
        return
    unfinished = place.with_name(place.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    _mirror(path.absolute(), unfinished)
    unfinished.rename(place)


def _mirror(folder: Path, place: Path) -> None:
    place.mkdir()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _mirror(folder / entry.name, place / entry.name)
            else:
                _link_file(Path(entry.path), place / entry.name)


def _link_file(path: Path, place: Path) -> None:
    """Give a file a second place: by a hard link, else by a copy if it is small, else by a link by name."""
    with contextlib.suppress(OSError):
        place.hardlink_to(path.resolve())
        return
    if path.is_file() and path.stat().st_size <= _COPIED:
        shutil.copyfile(path, place)
    else:
        place.symlink_to(path)


def _larger(folder: Path, limit: int) -> bool:
    """Return whether a folder holds more files and folders than a limit, counting no further than that."""
    counts = itertools.accumulate(len(folders) + len(files) for _, folders, files in os.walk(folder))
    return any(count > limit for count in counts)


def _fetched(url: str, settings: ProcessSettings, log: Log) -> Path:
    """Return the path of what is at a URL, from the cache or fetched now."""
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


def _resolved(model: spec.Model, scratch: Path, settings: ProcessSettings, log: Log) -> Path:
    """Return the path of what a reference stands for: kept for all jobs where it can only ever be the same."""
    if not _FIXED.search(model.reference):
        return _resolve(model, scratch / "registry", settings, log)
    server = settings.environment.get("MLFLOW_TRACKING_URI", "")
    key = hashlib.sha256(json.dumps([model.reference, server]).encode()).hexdigest()[:24]
    folder = settings.cache / "models" / key
    waiting = _waiting(model.reference, log)
    with locked(folder.with_name(f"{key}.lock"), seconds=_FETCH_SECONDS, waiting=waiting):
        if folder.is_dir():
            return next(folder.iterdir())
        unfinished = folder.with_name(folder.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        found = _resolve(model, unfinished, settings, log)
        if not found.is_relative_to(unfinished):
            return found  # the registry's files are on this machine
        unfinished.rename(folder)
        return folder / found.relative_to(unfinished)


def _resolve(model: spec.Model, folder: Path, settings: ProcessSettings, log: Log) -> Path:
    """Ask the registry for a model; what it fetches goes into the folder, under the model's name."""
    from gristmill_storage.registry import resolve_model  # noqa: PLC0415 - MLflow is an extra

    log(f"asking the registry for the model {model.reference}")
    destination = folder / (model.name or "model")
    destination.mkdir(parents=True, exist_ok=True)
    return resolve_model(model, destination, tracking_uri=settings.environment.get("MLFLOW_TRACKING_URI") or None)

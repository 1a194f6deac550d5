"""Models in an MLflow registry or tracking server: the one place, with the no-code scorer, that knows MLflow.

The references and what they stand for:

    models:/name/3, models:/name/latest, models:/name/Production, models:/name@alias     a registered version
    azureml:name:3, azureml:name@latest, azureml:name@label, azureml:name                 the same, in Azure's words
    models:/m-<id>                                                                        a logged model of MLflow 3
    runs:/<run>/path, mlflow-artifacts:/path                                              artifacts of a run

The client is asked by its own address, never by MLflow's process-wide one: jobs of one node do not disturb each other.
MLflow is imported when a model is asked for: it takes seconds.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gristmill import spec
from gristmill.errors import MissingExtra, ModelNotFound, StorageFailed

_REGISTERED = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/]+)|/(?P<version>[^/@]+))(?:/(?P<path>.+))?$")
_AZURE = re.compile(r"azureml:(?P<name>[^/:@]+)(?:@(?P<alias>[^/:@]+)|:(?P<version>[^/:@]+))?$")
_LOGGED = "models:/m-"
_LATEST = "latest"

#: MLflow's codes that say: there is no such thing.
_ABSENT = frozenset(["RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND", "ENDPOINT_NOT_FOUND"])


@dataclass(frozen=True, kw_only=True)
class _Registered:
    """A registered model's version, as a reference names it."""

    name: str
    #: "" where `version` says which.
    alias: str = ""
    #: A number, `latest`, or a stage.
    version: str = _LATEST
    #: Path inside the model's folder; "": all of it.
    path: str = ""


def resolve_model(model: spec.Model, destination: Path, *, tracking_uri: str | None) -> Path:
    """Download the model that `model.reference` names; return the folder of its files, or its one file.

    `destination` is made, or is an empty folder; it becomes that folder, or holds that file.
    `tracking_uri` None: MLflow's own choice (MLFLOW_TRACKING_URI).

    Raises:
        MissingExtra: MLflow is not installed.
        ModelNotFound: nothing is registered under the reference, or it is none that MLflow can resolve.
        StorageFailed: the registry or its store cannot be reached, or refused.

    """
    reference = model.reference
    wanted = _parse(reference)
    mlflow = _mlflow(reference)
    with _translated(reference, mlflow, tracking_uri):
        client = mlflow.MlflowClient(tracking_uri, registry_uri=tracking_uri)
        address = _located(client, _registered(client, wanted) if wanted else reference)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".fetching-", dir=destination.parent) as scratch,
        _translated(reference, mlflow, tracking_uri),
    ):
        fetched = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=scratch, tracking_uri=tracking_uri)
        return _place(Path(fetched), destination)


def _parse(reference: str) -> _Registered | None:
    """Return what a reference into the registry names; None for other artifacts."""
    if reference.startswith(("runs:/", "mlflow-artifacts:/", _LOGGED)):
        return None
    match = _REGISTERED.match(reference.rstrip("/")) or _AZURE.match(reference)
    if match:
        return _Registered(**{key: value for key, value in match.groupdict().items() if value})
    raise ModelNotFound(
        f"model: {reference} is no reference that an MLflow registry resolves (azureml:NAME:VERSION, "
        "models:/NAME/VERSION, models:/NAME@ALIAS, runs:/RUN/PATH); give the model's path by --model PATH"
    )


def _mlflow(reference: str) -> ModuleType:
    try:
        import mlflow  # noqa: PLC0415 - an optional extra, and seconds to import
        import mlflow.artifacts  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra(f"model: {reference} (MLflow's registry)", "mlflow") from error
    return mlflow


def _registered(client: Any, wanted: _Registered) -> str:
    """Return the address of a registered version's files."""
    address = str(client.get_model_version_download_uri(wanted.name, _version(client, wanted))).rstrip("/")
    return f"{address}/{wanted.path}" if wanted.path else address


def _located(client: Any, address: str) -> str:
    """Return the address of files, where a logged model stands for them."""
    if not address.startswith(_LOGGED):
        return address.rstrip("/")
    identifier, _, path = address.removeprefix("models:/").rstrip("/").partition("/")
    place = str(client.get_logged_model(identifier).artifact_location).rstrip("/")
    return f"{place}/{path}" if path else place


def _version(client: Any, wanted: _Registered) -> str:
    if wanted.alias and wanted.alias != _LATEST:
        return str(client.get_model_version_by_alias(wanted.name, wanted.alias).version)
    if wanted.version.isdecimal():
        return wanted.version
    quoted = wanted.name.replace("'", "\\'")
    found = [
        int(entry.version)
        for entry in client.search_model_versions(f"name='{quoted}'")
        if wanted.version.lower() in (_LATEST, str(entry.current_stage).lower())
    ]
    if not found:
        raise _Nothing
    return str(max(found))


class _Nothing(Exception):
    """The registry answered, and has no such version."""


@contextmanager
def _translated(reference: str, mlflow: ModuleType, tracking_uri: str | None) -> Iterator[None]:
    """Turn what MLflow raises within into our errors; no secret of the server's address is repeated."""
    try:
        yield
    except (_Nothing, FileNotFoundError) as error:
        raise _not_found(reference, mlflow, tracking_uri) from error
    except mlflow.exceptions.MlflowException as error:
        plain = type(error) is not mlflow.tracking.registry.UnsupportedModelRegistryStoreURIException
        if plain and getattr(error, "error_code", "") in _ABSENT:
            raise _not_found(reference, mlflow, tracking_uri) from error
        raise _unreachable(reference, mlflow, tracking_uri, error) from error
    except OSError as error:
        raise _unreachable(reference, mlflow, tracking_uri, error) from error


def _not_found(reference: str, mlflow: ModuleType, tracking_uri: str | None) -> ModelNotFound:
    server = _server(mlflow, tracking_uri)
    return ModelNotFound(
        f"model: {reference} is not in the registry {server}; "
        "register it there, or give the model's path by --model PATH"
    )


def _unreachable(reference: str, mlflow: ModuleType, tracking_uri: str | None, error: Exception) -> StorageFailed:
    reason = _redacted(str(error).strip().partition("\n")[0])
    server = _server(mlflow, tracking_uri)
    return StorageFailed(
        f"model: {reference} cannot be had from the registry {server}: {reason}; "
        "set MLFLOW_TRACKING_URI, or give the model's path by --model PATH"
    )


def _server(mlflow: ModuleType, tracking_uri: str | None) -> str:
    return _redacted(tracking_uri or str(mlflow.get_tracking_uri()))


def _redacted(text: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//***@", text)


def _place(fetched: Path, destination: Path) -> Path:
    """Make what was fetched the destination's content."""
    if fetched.is_dir():
        destination.mkdir(exist_ok=True)
        for entry in fetched.iterdir():
            shutil.move(entry, destination / entry.name)
        return destination
    destination.mkdir(exist_ok=True)
    return Path(shutil.move(fetched, destination / fetched.name))

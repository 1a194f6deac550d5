"""Models in an MLflow registry or tracking server: the one place, with the no-code scorer, that knows MLflow.

The references and what they stand for:

    models:/name/3, models:/name/latest, models:/name/Production, models:/name@alias     a registered version
    azureml:name:3, azureml:name@latest, azureml:name@label, azureml:name                 the same, in Azure's words
    models:/m-<id>                                                                        a logged model of MLflow 3
    runs:/<run>/path, mlflow-artifacts:/path                                              artifacts of a run

MLflow numbers versions itself. Where a user asks for another number, or a word, that is a tag of the version's
(`gristmill.version`), and Azure's words go by it; `models:/` always means MLflow's number.

The client is asked by its own address, never by MLflow's process-wide one: jobs of one node do not disturb each other.
MLflow is imported when a model is asked for: it takes seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from gristmill import spec
from gristmill.errors import MissingExtra, Mistake, ModelNotFound, StorageFailed
from gristmill_storage.files import is_local, normalize

T = TypeVar("T")

_REGISTERED = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/]+)|/(?P<version>[^/@]+))(?:/(?P<path>.+))?$")
_AZURE = re.compile(r"azureml:(?P<name>[^/:@]+)(?:@(?P<alias>[^/:@]+)|:(?P<version>[^/:@]+))?$")
_LOGGED = "models:/m-"
#: What always leads to the version that was created last.
LATEST: Final = "latest"

#: Tag of a version whose number a user chose.
VERSION_TAG: Final = "gristmill.version"
#: Tag, "true", of one that is hidden and never the latest.
ARCHIVED_TAG: Final = "gristmill.archived"

#: What a model's folder is called whose own name is not known.
_UNNAMED: Final = "model"

#: What begins the address of a database in a file.
_SQLITE: Final = "sqlite:///"

#: MLflow's codes that say: there is no such thing.
_ABSENT = frozenset(["RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND", "ENDPOINT_NOT_FOUND"])


@dataclass(frozen=True, kw_only=True)
class _Registered:
    """A registered model's version, as a reference names it."""

    name: str
    #: "" where `version` says which.
    alias: str = ""
    #: A number, `latest`, or a stage.
    version: str = LATEST
    #: Path inside the model's folder; "": all of it.
    path: str = ""
    #: Whether the version is meant in Azure's words.
    azure: bool = False


def resolve_model(model: spec.Model, destination: Path, *, tracking_uri: str | None) -> Path:
    """Download the model that `model.reference` names; return the folder of its files, or its one file.

    Both have the name that they were registered under (a model folder's name counts: AZUREML_MODEL_DIR holds it), and
    are put into `destination`, which is made, or is an empty folder.
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
        client = _client(mlflow, tracking_uri) if tracking_uri else _own_client(mlflow, reference)
        address = _located(client, _registered(client, wanted) if wanted else reference)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".fetching-", dir=destination.parent) as scratch,
        _translated(reference, mlflow, tracking_uri),
    ):
        fetched = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=scratch, tracking_uri=tracking_uri)
        return _place(Path(fetched), destination, _own_name(address))


def _parse(reference: str) -> _Registered | None:
    """Return what a reference into the registry names; None for other artifacts."""
    if reference.startswith(("runs:/", "mlflow-artifacts:/", _LOGGED)):
        return None
    match = _REGISTERED.match(reference.rstrip("/")) or _AZURE.match(reference)
    if match:
        given = {key: value for key, value in match.groupdict().items() if value}
        return _Registered(**given, azure=match.re is _AZURE)
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
    """Return MLflow's number of a version."""
    if wanted.alias and wanted.alias != LATEST:
        return str(client.get_model_version_by_alias(wanted.name, wanted.alias).version)
    if wanted.version.isdecimal() and not wanted.azure:
        return wanted.version
    found = [int(entry.version) for entry in versions(client, wanted.name) if _is_meant(entry, wanted)]
    if not found:
        raise Absent
    # Of two that go by the same number the older one keeps its name.
    return str(max(found) if wanted.version.lower() == LATEST else min(found))


def _is_meant(entry: Any, wanted: _Registered) -> bool:
    if wanted.version.lower() == LATEST:
        return bool(entry.tags.get(ARCHIVED_TAG) != "true")
    own = entry.tags.get(VERSION_TAG)
    if wanted.azure and wanted.version in (own, None if own else str(entry.version)):
        return True
    stage: str = entry.current_stage or ""
    return wanted.version.lower() == stage.lower()


def versions(client: Any, name: str = "") -> Iterator[Any]:
    """Yield the versions of a model, or of all models, as MLflow tells of them; without their aliases."""
    return _pages(client.search_model_versions, name)


def aliases(client: Any, name: str = "") -> dict[tuple[str, str], list[str]]:
    """Return the aliases that lead to versions of a model, or of all models, by name and MLflow's number."""
    found: dict[tuple[str, str], list[str]] = {}
    for model in _pages(client.search_registered_models, name):
        for alias, number in dict(model.aliases or {}).items():
            found.setdefault((model.name, str(number)), []).append(alias)
    return found


def _pages(search: Callable[..., Any], name: str) -> Iterator[Any]:
    quoted = name.replace("'", "\\'")
    token = None
    while True:
        page = search(f"name='{quoted}'" if name else "", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


class Absent(Exception):
    """The registry answered, and has no such thing."""


def ask(act: Callable[[Any], T], *, tracking_uri: str) -> T:
    """Return what `act` does with a client of the registry at an address.

    Raises:
        Absent: the registry has no such thing.
        MissingExtra: MLflow is not installed.
        Mistake: the registry refuses what it was given.
        StorageFailed: it cannot be reached, or failed.

    """
    mlflow = _mlflow("models in a registry")
    try:
        return act(_client(mlflow, tracking_uri))
    except mlflow.exceptions.MlflowException as error:
        code = getattr(error, "error_code", "")
        reason = redacted(str(error).strip().partition("\n")[0])
        if code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            raise Absent(reason) from error
        if code in ("INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS"):
            raise Mistake(f"model: the registry {redacted(tracking_uri)} refuses it: {reason}") from error
        raise StorageFailed(f"the registry {redacted(tracking_uri)} failed: {reason}") from error
    except OSError as error:
        raise StorageFailed(f"the registry {redacted(tracking_uri)} failed: {redacted(str(error))}") from error


def locate(reference: str, *, tracking_uri: str) -> tuple[str, str]:
    """Return the address of the files that a reference stands for, and the run that made them ("": none that is known).

    Raises:
        Absent: there is no such thing; the others as `ask` does.
        ModelNotFound: it is no reference that a registry resolves.

    """
    wanted = _parse(reference)
    if wanted is None and reference.startswith("runs:/"):
        run, _, path = reference.removeprefix("runs:/").lstrip("/").partition("/")
        place = ask(lambda client: str(client.get_run(run).info.artifact_uri), tracking_uri=tracking_uri)
        return f"{place.rstrip('/')}/{path}".rstrip("/"), run

    def look(client: Any) -> str:
        return _located(client, _registered(client, wanted) if wanted else reference)

    return ask(look, tracking_uri=tracking_uri), ""


def number_of(reference: str, *, tracking_uri: str) -> tuple[str, str] | None:
    """Return name and MLflow's number of the version that a reference into the registry means; None for another one.

    Raises:
        Absent: there is none; the others as `locate` does.

    """
    wanted = _parse(reference)
    if wanted is None:
        return None
    number = ask(lambda client: _version(client, wanted), tracking_uri=tracking_uri)
    ask(lambda client: client.get_model_version(wanted.name, number), tracking_uri=tracking_uri)
    return wanted.name, number


#: Clients by address: to make one of a database is to look whether all its tables are there.
_clients: dict[str, Any] = {}
_connecting = threading.Lock()


def _client(mlflow: ModuleType, tracking_uri: str) -> Any:
    """Return the client of an address; a database in a file is made if it is not there."""
    with _connecting:
        found = _clients.get(tracking_uri)
        if found is None:
            with _alone(tracking_uri):
                _make_tables(tracking_uri)
                found = _clients[tracking_uri] = mlflow.MlflowClient(tracking_uri, registry_uri=tracking_uri)
        return found


def _own_client(mlflow: ModuleType, reference: str) -> Any:
    """Return the client of MLflow's own choice; where that is a file, it is not made: it would be the working folder's.

    Raises:
        ModelNotFound: nothing is there.

    """
    address = str(mlflow.get_tracking_uri())
    path = _database(address) or (Path(normalize(address, Path.cwd())) if is_local(address) else None)
    if path is not None and not path.exists():
        raise ModelNotFound(
            f"model: {reference} is a reference into a registry, and MLFLOW_TRACKING_URI names none; "
            "set it, or give the model's path by --model PATH"
        )
    return mlflow.MlflowClient()


def _make_tables(tracking_uri: str) -> None:
    """Make the tables of a database in a file, unless they are there, with its runs' files beside it."""
    root = artifact_root(tracking_uri)
    if root is not None:
        with contextlib.suppress(ImportError):  # the client says what is missing
            from mlflow.store.tracking import sqlalchemy_store  # noqa: PLC0415 - an optional extra

            sqlalchemy_store.SqlAlchemyStore(tracking_uri, root)  # type: ignore[no-untyped-call]


def artifact_root(tracking_uri: str) -> str | None:
    """Return the address where the runs of a database in a file keep their files; None: the server decides.

    MLflow takes the working folder of whoever makes an experiment, unless it is told another.
    """
    database = _database(tracking_uri)
    return None if database is None else database.with_name("artifacts").as_uri()


def _database(tracking_uri: str) -> Path | None:
    """Return the path of a database in a file; None for another address."""
    if not tracking_uri.startswith(_SQLITE):
        return None
    return Path(tracking_uri.removeprefix(_SQLITE)).absolute()


@contextmanager
def _alone(tracking_uri: str) -> Iterator[None]:
    """Let one process at a time make the tables of a database in a file."""
    path = _lock_of(tracking_uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as lock:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read():
            lock.write(uuid.uuid4().hex)
        yield


def identity(tracking_uri: str) -> str:
    """Return what tells a registry in a file from an earlier one at the same address; "" for any other."""
    path = _lock_of(tracking_uri)
    try:
        return path.read_text("ascii") if path else ""
    except (OSError, ValueError):
        return ""


def _lock_of(tracking_uri: str) -> Path | None:
    database = _database(tracking_uri)
    return database and database.with_name(f"{database.name}.lock")


@contextmanager
def _translated(reference: str, mlflow: ModuleType, tracking_uri: str | None) -> Iterator[None]:
    """Turn what MLflow raises within into our errors; no secret of the server's address is repeated."""
    try:
        yield
    except (Absent, FileNotFoundError) as error:
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
    reason = redacted(str(error).strip().partition("\n")[0])
    server = _server(mlflow, tracking_uri)
    return StorageFailed(
        f"model: {reference} cannot be had from the registry {server}: {reason}; "
        "set MLFLOW_TRACKING_URI, or give the model's path by --model PATH"
    )


def _server(mlflow: ModuleType, tracking_uri: str | None) -> str:
    return redacted(tracking_uri or str(mlflow.get_tracking_uri()))


def redacted(text: str) -> str:
    """Return a text without the names and passwords of addresses in it."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)


def _own_name(address: str) -> str:
    """Return the name that a model's file or folder was registered under."""
    name = unquote(urlsplit(address).path).rstrip("/").rpartition("/")[2]
    # MLflow 3 keeps each logged model's files in a folder that it calls so, whatever they were called.
    return _UNNAMED if name in ("", "artifacts") else name


def _place(fetched: Path, destination: Path, name: str) -> Path:
    """Put what was fetched into the destination."""
    destination.mkdir(exist_ok=True)
    return Path(shutil.move(fetched, destination / (name if fetched.is_dir() else fetched.name)))

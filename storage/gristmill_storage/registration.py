"""Puts versions of models into a registry, and tells of those that are there; `registry` asks it, and resolves them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gristmill.errors import Conflict, Mistake, PreconditionFailed, ResourceNotFound
from gristmill_storage.files import is_local, normalize
from gristmill_storage.registered import About, Content, Registered
from gristmill_storage.registry import (
    ARCHIVED_TAG,
    LATEST,
    VERSION_TAG,
    Absent,
    aliases,
    artifact_root,
    ask,
    locate,
    number_of,
    versions,
)

#: What begins the tags that are ours; the others are the user's.
_OURS: Final = "gristmill."
_PROPERTY: Final = "gristmill.property."
_TYPE: Final = "gristmill.type"
_PATH: Final = "gristmill.path"
_STAGE: Final = "gristmill.stage"
_CREATED_BY: Final = "gristmill.created_by"
_CHANGED_BY: Final = "gristmill.changed_by"

#: The type of what was registered by MLflow's own means.
_MLFLOW: Final = "mlflow_model"

#: Tag of a model: the greatest number that a deleted version had.
_LAST: Final = "gristmill.last_version"

#: The experiment whose runs hold the files of models that were copied to a remote registry.
COPIES: Final = "gristmill-models"


class Registry:
    """The versions of models in MLflow's registry at an address. Safe to share between threads.

    All methods raise Mistake where no registry is configured or it refuses what it was given, MissingExtra without
    MLflow, StorageFailed where it cannot be reached.
    """

    def __init__(self, tracking_uri: str, *, copies: bool | None = None) -> None:
        """Take the address ("": none is configured); MLflow is imported at the first call.

        `copies`: whether local files are copied into the registry's own store; None: where it is on another machine.
        """
        self._uri = tracking_uri
        self._copies = urlsplit(tracking_uri).scheme in ("http", "https") if copies is None else copies
        # MLflow takes a version's number and its tags in two steps.
        self._changing = threading.Lock()

    def find(self, name: str, version: str) -> Registered | None:
        """Return a version; None where there is none."""
        same = [each for each in self._all(name) if each.version == version]
        return min(same, key=lambda each: each.number, default=None)

    def get(self, name: str, version: str) -> Registered:
        """Return a version.

        Raises:
            ResourceNotFound: there is none.

        """
        found = self.find(name, version)
        if found is None:
            raise missing(name, version)
        return found

    def versions(self, name: str = "") -> list[Registered]:
        """Return all versions of a model, or of all models, in no order."""
        return list(self._all(name))

    def labelled(self, name: str, label: str) -> Registered:
        """Return the version that has a label: `latest` (created last, not archived), or an alias.

        Raises:
            ResourceNotFound: there is none.

        """
        found = [each for each in self._all(name) if _has(each, label)]
        if not found:
            raise ResourceNotFound(f"model {name}: no version has the label {label!r}; see `gristmill model list`")
        return max(found, key=lambda each: each.age)

    def create(self, name: str, version: str | None, content: Content, about: About) -> Registered:
        """Register a version; None: the next number.

        Raises:
            Conflict: it is there.

        """
        last = self._ask(lambda client: _make(client, name))
        with self._changing:
            there = self.versions(name)
            if version is not None and any(each.version == version for each in there):
                raise _taken(name, version)
            wanted = version or str(max([last, *map(_number, there)]) + 1)
            source, run = content.source, content.run
            if self._copies and is_local(source):
                source, run = self._ask(lambda client: _copied(client, name, content, artifact_root(self._uri)))
            tags = {
                **_tags_of(about),
                VERSION_TAG: wanted,
                _TYPE: content.type,
                _PATH: content.path,
                _CREATED_BY: about.by,
            }
            made = self._ask(
                lambda client: client.create_model_version(
                    name, source, run_id=run or None, tags=tags, description=about.description
                )
            )
            return self._checked(name, wanted, int(made.version))

    def describe(self, name: str, version: str, about: About, *, expected: int | None = None) -> Registered:
        """Change what is said of a version.

        Raises:
            ResourceNotFound: there is none.
            PreconditionFailed: it was changed since `expected`, its `modified`.

        """
        with self._changing:
            found = self.get(name, version)
            check(found, expected)
            tags, before = _tags_of(about), _tags_of(found.about)

            def change(client: Any) -> None:
                for key in before.keys() - tags.keys():
                    client.delete_model_version_tag(name, str(found.number), key)
                for key in tags.keys() - {key for key, value in before.items() if tags.get(key) == value}:
                    client.set_model_version_tag(name, str(found.number), key, tags[key])
                # It also notes when.
                client.update_model_version(name, str(found.number), about.description)

            self._ask(change)
            return self.get(name, version)

    def delete(self, name: str, version: str, *, expected: int | None = None) -> None:
        """Delete a version; its number is not given again.

        Raises:
            ResourceNotFound: there is none.
            PreconditionFailed: it was changed since `expected`.

        """
        with self._changing:
            found = self.get(name, version)
            check(found, expected)

            def delete(client: Any) -> None:
                if _number(found) > _make(client, name):
                    client.set_registered_model_tag(name, _LAST, version)
                client.delete_model_version(name, str(found.number))

            self._ask(delete)

    def locate(self, reference: str) -> tuple[str, str]:
        """Return the address of the files that a reference (models:/, runs:/, azureml:) stands for, and their run.

        Raises:
            ResourceNotFound: there is no such model.

        """
        self._check()
        try:
            return locate(reference, tracking_uri=self._uri)
        except Absent:
            raise ResourceNotFound(f"model: {reference} is not in the registry; see `gristmill model list`") from None

    def number(self, reference: str) -> tuple[str, str] | None:
        """Return name and MLflow's number of the version that a reference means; None where it is none of a version.

        Raises:
            ResourceNotFound: there is none.

        """
        self._check()
        try:
            return number_of(reference, tracking_uri=self._uri)
        except Absent:
            raise ResourceNotFound(f"model: {reference} is not in the registry; see `gristmill model list`") from None

    def _check(self) -> None:
        if not self._uri:
            raise Mistake(
                "model: this server has no registry of models; set MLFLOW_TRACKING_URI for it, or start it by "
                "`gristmill up`; a deployment's model may be given by its path"
            )

    def _ask(self, act: Any) -> Any:
        self._check()
        return ask(act, tracking_uri=self._uri)

    def _all(self, name: str) -> Iterator[Registered]:
        entries, labels = self._ask(lambda client: (list(versions(client, name)), aliases(client, name)))
        yield from (_registered(entry, labels.get((entry.name, str(entry.version)), ())) for entry in entries)

    def _checked(self, name: str, version: str, number: int) -> Registered:
        """Return what was just made, unless another server made the same version a moment before."""
        same = [each for each in self.versions(name) if each.version == version]
        first = min(same, key=lambda each: each.number)
        if first.number != number:
            self._ask(lambda client: client.delete_model_version(name, str(number)))
            raise _taken(name, version)
        return first


def check(found: Registered | None, expected: int | None) -> None:
    """Refuse a change of what has been changed since.

    Raises:
        Conflict: it is there, and was to be new.
        PreconditionFailed: it is another than the expected one.

    """
    if expected is None or (found is None and expected == 0):
        return
    if found is None:
        raise PreconditionFailed("the model's version is gone; look at what is there")
    if expected == 0:
        raise Conflict(f"model {found.name}:{found.version} is there; change it without If-None-Match")
    if found.modified != expected:
        raise PreconditionFailed(f"model {found.name}:{found.version} was changed meanwhile; look at it, and try again")


def missing(name: str, version: str = "") -> ResourceNotFound:
    """Return the error of a model, or a version, that is not there."""
    what = f"{name}:{version}" if version else name
    return ResourceNotFound(f"model {what}: there is none on this server; see `gristmill model list`")


def _taken(name: str, version: str) -> Conflict:
    return Conflict(f"model {name}:{version} is there; leave the version out, and the next one is made")


def _number(version: Registered) -> int:
    return int(version.version) if version.version.isdecimal() else 0


def _has(version: Registered, label: str) -> bool:
    return not version.about.archived if label == LATEST else label in version.aliases


def _make(client: Any, name: str) -> int:
    """Make a model, unless it is there; return the greatest number that a deleted version had."""
    try:
        found = client.get_registered_model(name)
    except Exception as error:
        if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
            raise
        found = None
    if found is None:
        with contextlib.suppress(Exception):  # another was quicker, or the next call says what is wrong
            client.create_registered_model(name)
        found = client.get_registered_model(name)
    return int(found.tags.get(_LAST, "0"))


def _copied(client: Any, name: str, content: Content, root: str | None) -> tuple[str, str]:
    """Copy local files into the registry's store; return their address there, and the run that holds them.

    `root`: where its runs keep their files; None: the registry decides.
    """
    path = Path(normalize(content.source, Path("/")))
    experiment = client.get_experiment_by_name(COPIES)
    place = f"{root}/{COPIES}" if root else None
    where = experiment.experiment_id if experiment else client.create_experiment(COPIES, artifact_location=place)
    run = client.create_run(where, run_name=name)
    identifier = run.info.run_id
    if path.is_dir():
        client.log_artifacts(identifier, str(path), artifact_path=path.name)
    else:
        client.log_artifact(identifier, str(path))
    client.set_terminated(identifier)
    return f"{run.info.artifact_uri.rstrip('/')}/{path.name}", identifier


def _tags_of(about: About) -> dict[str, str]:
    ours = {_STAGE: about.stage, ARCHIVED_TAG: "true" if about.archived else "", _CHANGED_BY: about.by}
    return {
        **dict(about.tags),
        **{f"{_PROPERTY}{key}": value for key, value in about.properties.items()},
        **{key: value for key, value in ours.items() if value},
    }


def _registered(entry: Any, labels: Iterable[str]) -> Registered:
    """Return one of MLflow's versions, made here or by other means."""
    tags = dict(entry.tags)
    about = About(
        description=entry.description or "",
        tags={key: value for key, value in tags.items() if not key.startswith(_OURS)},
        properties={key.removeprefix(_PROPERTY): value for key, value in tags.items() if key.startswith(_PROPERTY)},
        stage=tags.get(_STAGE, ""),
        archived=tags.get(ARCHIVED_TAG) == "true",
        by=tags.get(_CHANGED_BY, ""),
    )
    source = str(entry.source)
    return Registered(
        name=entry.name,
        version=tags.get(VERSION_TAG, str(entry.version)),
        content=Content(
            source=source, type=tags.get(_TYPE, _MLFLOW), path=tags.get(_PATH, source), run=entry.run_id or ""
        ),
        about=about,
        created_by=tags.get(_CREATED_BY, entry.user_id or ""),
        created=int(entry.creation_timestamp),
        modified=int(entry.last_updated_timestamp or entry.creation_timestamp),
        number=int(entry.version),
        aliases=tuple(sorted(labels)),
    )

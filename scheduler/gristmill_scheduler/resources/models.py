"""Models, by name and version, in MLflow's registry: what is registered here is there for MLflow, and the other way.

A version's document is the registry's: where its files are, and what is said of it. What it means never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from gristmill.deployment.references import model_reference
from gristmill.documents import load_model
from gristmill.errors import Conflict, Mistake
from gristmill_scheduler.resources.names import check_name, is_name
from gristmill_scheduler.resources.places import Located, is_datastore
from gristmill_scheduler.resources.shown import Shown, ShownList
from gristmill_storage.files import is_local, normalize
from gristmill_storage.registered import About, Content, Registered
from gristmill_storage.registration import Registry, check, missing
from gristmill_storage.registry import LATEST

#: Which of the archived ones a list holds.
Archived: TypeAlias = Literal["exclude", "only", "include"]

#: Returns where an address leads that a request names (`References.uri` for models).
Locate = Callable[[str], Located]

#: The type of what does not say its own, as in Azure.
_CUSTOM: Final = "custom_model"
_MLFLOW: Final = "mlflow_model"

#: What begins the tags that are the registry's own.
_OURS: Final = "gristmill."

#: Keys that are shown and that nobody sets.
_SHOWN: Final = frozenset({"id", "version", "aliases", "archived", "latest_version", "creation_context"})

#: References to what is registered, or logged by a run, rather than to a place.
_REGISTERED: Final = ("azureml:", "models:/", "runs:/", "mlflow-artifacts:/", "/subscriptions/")

RegisteredList: TypeAlias = list[Registered]


class Models:
    """The models of a registry."""

    collection: Final = "models"
    word: Final = "model"

    def __init__(self, registry: Registry, *, locate: Locate) -> None:
        """Take the registry, and what tells where an address leads."""
        self._registry = registry
        self._locate = locate

    def put(
        self, name: str, version: str, document: Mapping[str, Any], *, expected: int | None = None, by: str = ""
    ) -> Shown:
        """Make a version, or change what is said of it (description, tags, properties, stage).

        Raises:
            Conflict: the version is there with another content.
            Mistake: the document, the name or the version cannot be used.
            PreconditionFailed: it was changed since the expected version of the document.

        """
        check_name("version", version)
        if version == LATEST:
            raise Mistake(f"version: {LATEST} is a label; give a number, or leave the version out")
        given = _read(name, document)
        found = self._registry.find(name, version)
        check(found, expected)
        if found is None:
            made = self._registry.create(name, version, self._content(given), _about(given, by=by))
            return _shown(made, created=True)
        self._refuse_other(found, given)
        about = _about(given, by=by, archived=found.about.archived)
        return _shown(self._registry.describe(name, version, about, expected=expected or None))

    def add(self, name: str, document: Mapping[str, Any], *, by: str = "") -> Shown:
        """Make the next version: the greatest number so far and one.

        Raises:
            Mistake: the document or the name cannot be used.

        """
        given = _read(name, document)
        return _shown(self._registry.create(name, None, self._content(given), _about(given, by=by)), created=True)

    def get(self, name: str, version: str) -> Shown:
        """Return a version.

        Raises:
            ResourceNotFound: it is not there.

        """
        return _shown(self._found(name, version))

    def labelled(self, name: str, label: str) -> Shown:
        """Return the version that has a label: an alias, or `latest`, which was created last and is not archived.

        Raises:
            ResourceNotFound: there is no such model or label.

        """
        if not is_name(name):
            raise missing(name)
        return _shown(self._registry.labelled(name, label))

    def list(self, *, archived: Archived = "exclude") -> ShownList:
        """Return the latest version of each model, sorted by name, with `latest_version`."""
        latest: dict[str, Registered] = {}
        for each in sorted(_wanted(self._registry.versions(), archived), key=lambda each: each.age):
            latest[each.name] = each
        found = [_shown(latest[name]) for name in sorted(latest)]
        for shown in found:
            shown.document["latest_version"] = shown.document["version"]
        return found

    def versions(self, name: str, *, archived: Archived = "exclude") -> ShownList:
        """Return the versions of a model, the newest first.

        Raises:
            ResourceNotFound: there is no model of that name.

        """
        found = sorted(self._all(name), key=lambda each: each.age, reverse=True)
        return [_shown(each) for each in _wanted(found, archived)]

    def archive(self, name: str, version: str | None, archived: bool, *, by: str = "") -> ShownList:
        """Hide a version (None: all of them) from lists and from `latest`, or show it again.

        Raises:
            ResourceNotFound: it is not there.

        """
        found = self._all(name) if version is None else [self._found(name, version)]
        marked = []
        for each in found:
            about = About(**{**vars(each.about), "archived": archived, "by": by})
            marked.append(_shown(self._registry.describe(name, each.version, about)))
        return marked

    def delete(self, name: str, version: str, *, expected: int | None = None, by: str = "") -> None:  # noqa: ARG002
        """Delete a version; its number is not given again.

        Raises:
            ResourceNotFound: it is not there.
            PreconditionFailed: it was changed since the expected version of the document.

        """
        self._found(name, version)
        self._registry.delete(name, version, expected=expected)

    def pin(self, reference: str) -> str:
        """Return a reference that always means the version that this one means now: azureml:m@latest -> azureml:m:3.

        What is no version's (`runs:/...`) is returned as it is.

        Raises:
            ResourceNotFound: there is no such model.

        """
        found = model_reference(reference)
        if found is None or not found.name or "registries/" in reference:
            return reference
        if reference.startswith("models:"):
            number = self._registry.number(reference)
            return reference if number is None else f"models:/{number[0]}/{number[1]}"
        version = found.version or LATEST
        if "@" in reference or "/labels/" in reference or version == LATEST:
            return f"azureml:{found.name}:{self._registry.labelled(found.name, version).version}"
        return f"azureml:{found.name}:{self._found(found.name, version).version}"

    def _found(self, name: str, version: str) -> Registered:
        if not (is_name(name) and is_name(version)):
            raise missing(name, version)
        return self._registry.get(name, version)

    def _all(self, name: str) -> RegisteredList:
        found = self._registry.versions(name) if is_name(name) else []
        if not found:
            raise missing(name)
        return found

    def _content(self, given: Mapping[str, Any]) -> Content:
        """Return where a document's files are.

        Raises:
            Mistake: there is none, or it is no MLflow model though the document says so.
            ResourceNotFound: it names something that is not there.

        """
        text, kind = str(given["path"]), str(given.get("type") or _CUSTOM)
        if text.startswith(_REGISTERED) and not is_datastore(text):
            pinned = self.pin(text)
            source, run = self._registry.locate(pinned)
            return Content(source=source, type=kind, path=pinned, run=run)
        located = self._locate(text)
        if kind == _MLFLOW and is_local(located.url):
            _check_mlflow(Path(normalize(located.url, Path("/"))), located.origin)
        return Content(source=located.url, type=kind, path=located.origin)

    def _refuse_other(self, found: Registered, given: Mapping[str, Any]) -> None:
        kind = given.get("type") or found.content.type
        same = given["path"] in (found.content.path, found.content.source)
        if kind == found.content.type and (same or self._content(given).source == found.content.source):
            return
        key = "path" if kind == found.content.type else "type"
        raise Conflict(
            f"model {found.name}:{found.version}: it is there with another {key}, and what a version means never "
            "changes; leave the version out, and the next one is made"
        )


def _read(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in its normal form.

    Raises:
        Mistake: it cannot be used.

    """
    check_name("name", name)
    plain = {key: value for key, value in document.items() if key not in _SHOWN}
    given = load_model(plain, name=name, local=False)
    for key in (*given.get("tags", {}), *given.get("properties", {})):
        if key.startswith(_OURS):
            raise Mistake(f"tags: {key!r}: what begins with {_OURS!r} is the server's own; give another name")
    return given


def _about(given: Mapping[str, Any], *, by: str, archived: bool = False) -> About:
    return About(
        description=str(given.get("description") or ""),
        tags={key: str(value) for key, value in (given.get("tags") or {}).items()},
        properties={key: str(value) for key, value in (given.get("properties") or {}).items()},
        stage=str(given.get("stage") or ""),
        archived=archived,
        by=by,
    )


def _check_mlflow(folder: Path, text: str) -> None:
    if not (folder / "MLmodel").is_file():
        raise Mistake(
            f"path: {text} is no MLflow model: there is no MLmodel file in it; give its folder, or type: {_CUSTOM}"
        )


def _wanted(versions: list[Registered], archived: Archived) -> list[Registered]:
    return [each for each in versions if archived == "include" or each.about.archived is (archived == "only")]


def _shown(found: Registered, *, created: bool = False) -> Shown:
    about, content = found.about, found.content
    document = {
        "id": f"/models/{found.name}/versions/{found.version}",
        "name": found.name,
        "version": found.version,
        "type": content.type,
        "path": content.path,
        "description": about.description,
        "tags": dict(about.tags),
        "properties": dict(about.properties),
        **({"stage": about.stage} if about.stage else {}),
        "aliases": list(found.aliases),
        "archived": about.archived,
        "creation_context": {
            "created_at": _time(found.created),
            "created_by": found.created_by,
            "last_modified_at": _time(found.modified),
            "last_modified_by": about.by or found.created_by,
        },
    }
    return Shown(document=document, version=found.modified, created=created)


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")

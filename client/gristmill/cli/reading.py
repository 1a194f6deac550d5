"""Makes the document that a command sends: of its YAML file, its flags and its `--set`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gristmill.addresses import absolute
from gristmill.cli.edits import Edits, put, reading
from gristmill.errors import Mistake
from gristmill.service.resource import Resource, plain

if TYPE_CHECKING:
    from gristmill.documents import EndpointFile

#: Flags that the readers of files take by name; the others are set as `--set` would.
_NAMING: Final = frozenset({"name", "endpoint_name", "version"})

#: Flags that name files: relative to the working folder, where a file's keys are relative to that file.
_PATHS: Final = frozenset({"path", "conda_file", "build.path"})

#: The readers in `gristmill.documents`.
_READERS: Final = {
    "deployment": "load_deployment_document",
    "model": "load_model",
    "data": "load_data",
    "environment": "load_environment",
    "datastore": "load_datastore",
    "compute": "load_compute",
}

#: Where documents of the server have paths.
_PLACES: Final = (("model",), ("model", "path"), ("code_configuration", "code"), ("path",))


def read(kind: str, file: str | None, flags: Mapping[str, Any], sets: Sequence[str], **more: Any) -> dict[str, Any]:
    """Return the document of a resource.

    Args:
        kind: one of those that have a reader, as "model".
        file: its YAML file; None: the flags are all there is.
        flags: values by key; they win over the file's. Those that are None were not given.
        sets: texts of `--set`.
        more: what else the kind's reader takes.

    Raises:
        InvalidDocument: what was given cannot be used; it lists every fault.

    """
    given = {key: value for key, value in flags.items() if value is not None}
    naming = {key: given.pop(key) for key in _NAMING & given.keys()}
    overrides = [f"{key}={_written(key, value)}" for key, value in given.items() if key != "tags"]
    overrides += [f"tags.{_quoted(text)}" for text in given.get("tags", ())]
    source: Path | dict[str, Any] = Path(file) if file else {}
    document: dict[str, Any] = _reader(kind)(source, overrides=[*overrides, *sets], **naming, **more)
    return document


def read_endpoint(file: str | None, name: str | None, sets: Sequence[str] = ()) -> EndpointFile:
    """Return an endpoint, and the deployments in its file if that is one of 2021; see `read`."""
    from gristmill.documents import load_endpoint  # noqa: PLC0415 - as below

    return load_endpoint(Path(file) if file else {}, overrides=sets, name=name)


def _reader(kind: str) -> Callable[..., Any]:
    # Reading YAML needs its parser, which most commands do not.
    from gristmill import documents  # noqa: PLC0415

    reader: Callable[..., Any] = getattr(documents, _READERS[kind])
    return reader


def _written(key: str, value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(_from_here(value) if key in _PATHS else value, ensure_ascii=False)
    return str(value)


def _from_here(path: str) -> str:
    from gristmill.documents.paths import is_address  # noqa: PLC0415 - as above

    return path if is_address(path) else absolute(path)


def _quoted(text: str) -> str:
    key, sign, value = text.partition("=")
    if not sign:
        raise Mistake(f"--tags {text}: write key=value")
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def changed(resource: Resource, given: Mapping[str, Any], *edits: Edits) -> Resource:
    """Return what the server showed with changes, to be written back as a change of that version.

    Args:
        resource: as the server showed it; it is changed.
        given: a document whose keys win over the server's; mappings in it are merged.
        edits: follow it, in order.

    Raises:
        Mistake: an edit does not fit.

    """
    before: dict[str, Any] = plain(resource)
    after = _merged(before, given)
    for edit in edits:
        after = edit.applied(after)
    for place in _PLACES:
        _mark(before, after, place)
    for key in before.keys() - after.keys():
        delattr(resource, key)
    for key, value in after.items():
        resource[key] = value
    return resource


def _merged(before: Any, given: Any) -> Any:
    if not (isinstance(before, Mapping) and isinstance(given, Mapping)):
        return given
    return {**before, **{key: _merged(before.get(key), value) for key, value in given.items()}}


def _mark(before: Mapping[str, Any], after: dict[str, Any], place: tuple[str, ...]) -> None:
    """Make a path that is new in a shown document an address of this machine: the paths shown are the server's own."""
    new, old = _at(after, place), _at(before, place)
    if isinstance(new, str) and new != old and Path(new).is_absolute():
        put(after, place, Path(new).as_uri())


def _at(document: Any, place: Sequence[str]) -> Any:
    for key in place:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def named(words: Sequence[str], option: str) -> dict[str, Any]:
    """Return named inputs or outputs: one JSON mapping, `@FILE` with one, or NAME=PATH words.

    Raises:
        Mistake: they are none of these.

    """
    text = " ".join(words)
    if text.startswith("@"):
        text = _text_of(text[1:], option)
    elif not text.lstrip().startswith("{"):
        return {name: {"path": path} for name, path in (_pair(word, option) for word in words)}
    found = reading(text)
    if not isinstance(found, dict):
        raise Mistake(f'{option}: not a JSON mapping: give {{"name": {{"type": "uri_folder", "path": "..."}}}}')
    return {name: value if isinstance(value, dict) else {"path": value} for name, value in found.items()}


def _pair(word: str, option: str) -> tuple[str, str]:
    name, sign, path = word.partition("=")
    if not sign or not name or not path:
        raise Mistake(f"{option} {word}: give a JSON mapping, @FILE with one, or NAME=PATH")
    return name, path


def _text_of(path: str, option: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Mistake(f"{option} @{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None

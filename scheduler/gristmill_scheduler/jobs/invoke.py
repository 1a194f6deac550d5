"""The body of an invocation, in every dialect that its callers speak, read into what it asks for.

Dialects: `{"properties": {"InputData": ...}}` of the REST samples in any case of its keys, what Azure's SDK sends, the
`dataset` of 2021, and Gristmill's own flat form. A model deployment takes one data input and one output, whatever
they are called; both names are told in messages and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gristmill.errors import Mistake
from gristmill.names import check_name
from gristmill.spec import InputType
from gristmill_scheduler.jobs.folding import fold, folded, text, texts
from gristmill_scheduler.jobs.overrides import is_override, overrides_of

#: Types of inputs as Azure's service calls them, by their folded names; only the first two can be scored.
_INPUTS: Final[dict[str, str]] = {
    "urifolder": "UriFolder",
    "urifile": "UriFile",
    "mltable": "MLTable",
    "tritonmodel": "TritonModel",
    "mlflowmodel": "MLFlowModel",
    "custommodel": "CustomModel",
    "literal": "Literal",
    "string": "Literal",
    "number": "Literal",
    "integer": "Literal",
    "boolean": "Literal",
}

_TYPES: Final[dict[str, InputType]] = {"urifolder": InputType.URI_FOLDER, "urifile": InputType.URI_FILE}

#: Keys of a body that say nothing about the job, and that clients send all the same.
_IGNORED: Final = frozenset(
    {"id", "type", "status", "provisioningstate", "endpointname", "endpoint", "islocal", "partitionkeys", "services"}
)


@dataclass(frozen=True, kw_only=True)
class Given:
    """An input or an output as it was given."""

    #: What its caller calls it; means nothing.
    name: str
    #: A path, a URL, or a reference.
    path: str
    #: Of an input that says it.
    type: InputType | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an invocation asks for."""

    input: Given
    #: None: a folder named by the job, in the default datastore.
    output: Given | None = None
    #: `key=value`, changes to the deployment for this job.
    overrides: tuple[str, ...] = ()
    #: "": that of the header, or else the endpoint's default.
    deployment: str = ""
    #: "": one is made.
    job_name: str = ""
    #: "": the endpoint's name.
    experiment_name: str = ""
    display_name: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)


def read_body(body: Any) -> Asked:
    """Return what a body asks for.

    Raises:
        Mistake: it cannot be done, or cannot be understood; the message names the key.

    """
    whole = fold(body, "body")
    if _is_wrapped(whole):
        inner = fold(whole.pop("properties"), "properties")
        whole = {**whole, **inner}
    return _Body(whole).read()


def _is_wrapped(whole: Mapping[str, Any]) -> bool:
    """Return whether the job is in `properties`, and not its own properties."""
    inner = whole.get("properties")
    return isinstance(inner, Mapping) and not any(key in whole for key in ("input", "inputs", "inputdata", "dataset"))


class _Body:
    """One body, read key by key; what nobody asked for in the end is refused."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._left = {key: value for key, value in given.items() if key not in _IGNORED and value is not None}

    def read(self) -> Asked:
        own = text(
            fold(self._take("properties") or {}, "properties").get("experimentname"), "properties.experimentName"
        )
        texts_of = {name: self._text(name) for name in ("displayname", "description", "deployment", "deploymentname")}
        name = self._text("jobname") or self._text("name")
        asked = Asked(
            input=self._input(),
            output=self._output(),
            overrides=tuple(self._overrides()),
            deployment=texts_of["deployment"] or texts_of["deploymentname"],
            job_name=check_name(name) if name else "",
            experiment_name=self._text("experimentname") or text(own, "properties.experimentName"),
            display_name=texts_of["displayname"],
            description=texts_of["description"],
            tags=texts(self._take("tags"), "tags"),
        )
        if self._left:
            raise Mistake(f"{min(self._left)}: is unknown in an invocation; give input, output_path, overrides, ...")
        return asked

    def _take(self, key: str) -> Any:
        return self._left.pop(key, None)

    def _text(self, key: str) -> str:
        return text(self._take(key), key).strip()

    def _input(self) -> Given:
        found = [*self._named("inputdata", "inputs"), *self._single("input")]
        dataset = self._take("dataset")
        if dataset is not None:
            found.append(_dataset(dataset))
        kind = self._text("inputtype")
        if not found:
            raise Mistake('input: none is given; a model deployment takes one, as {"input": {"path": "..."}}')
        if len(found) > 1:
            names = ", ".join(name for name, _ in found)
            raise Mistake(f"inputs: a model deployment takes exactly one data input; {len(found)} are given: {names}")
        (given,) = found
        return _input(given[0], given[1], kind)

    def _output(self) -> Given | None:
        found = [*self._named("outputdata", "outputs"), *self._single("output")]
        path, dataset = self._text("outputpath"), self._take("outputdataset")
        found += [("output_path", {"path": path})] if path else []
        found += [("output_dataset", _output_dataset(dataset))] if dataset is not None else []
        if len(found) > 1:
            names = ", ".join(name for name, _ in found)
            raise Mistake(f"outputs: a model deployment has one output, and {len(found)} are given: {names}")
        return _output(*found[0]) if found else None

    def _overrides(self) -> list[str]:
        changes = []
        for key in [key for key in self._left if is_override(key)]:
            value = self._take(key)
            changes += overrides_of({key: value}, "")
        for key in ("overrides", "paramsoverride"):
            value = self._take(key)
            changes += overrides_of(value, "overrides") if value is not None else []
        return changes

    def _named(self, *keys: str) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        for key in keys:
            value = self._take(key)
            if value is not None and not isinstance(value, Mapping):
                raise Mistake(f"{key}: {value!r} is no object; give each one under a name")
            found += [(str(name), item) for name, item in (value or {}).items()]
        return found

    def _single(self, key: str) -> list[tuple[str, Any]]:
        value = self._take(key)
        return [] if value is None else [(key, value)]


def _input(name: str, value: Any, kind: str) -> Given:
    if isinstance(value, (bool, int, float, list)):
        raise _unsupported("literal")
    given = {"path": value} if isinstance(value, str) else fold(value, name)
    said = kind or text(given.get("jobinputtype") or given.get("type") or given.get("inputtype"), f"{name}.type")
    path = text(given.get("uri") or given.get("path") or given.get("default"), f"{name}.uri").strip()
    if not said and folded(name) in _INPUTS:
        said = name
    if said and folded(said) not in _TYPES:
        raise _unsupported(said)
    if not said and not path and "value" in given:
        raise _unsupported("literal")
    if not path:
        raise Mistake(f"{name}: Input path can't be empty for batch endpoint invoke")
    return Given(name=name, path=path, type=_TYPES.get(folded(said)))


def _unsupported(kind: str) -> Mistake:
    named = _INPUTS.get(folded(kind), kind)
    return Mistake(
        f"The specified job input type '{named}JobInput' is not supported. "
        "The supported types are: UriFileJobInput, UriFolderJobInput."
    )


def _dataset(value: Any) -> tuple[str, Any]:
    """Return the input of the 2021 body: an address, a registered data set's id, or its name and version."""
    if isinstance(value, str):
        return "dataset", value
    given = fold(value, "dataset")
    path = given.get("path") or given.get("uri") or given.get("datasetid") or given.get("id")
    name, version = given.get("datasetname"), given.get("datasetversion")
    if path is None and name:
        path = f"azureml:{name}:{version}" if version else f"azureml:{name}@latest"
    return "dataset", {"path": path}


def _output(name: str, value: Any) -> Given:
    given = {"path": value} if isinstance(value, str) else fold(value, name)
    kind = text(given.get("joboutputtype") or given.get("type"), f"{name}.type")
    if kind and folded(kind) != "urifile":
        raise Mistake("Job output type must be 'uri_file'.")
    path = text(given.get("uri") or given.get("path"), f"{name}.uri").strip()
    if not path:
        raise Mistake(f"{name}: an output's path is empty; give a folder or a file, or leave the output out")
    return Given(name=name, path=path)


def _output_dataset(value: Any) -> dict[str, str]:
    """Return the output of the SDK's `output_dataset`: a datastore's id or name, and a path in it."""
    given = fold(value, "output_dataset")
    store = text(given.get("datastoreid") or given.get("datastore"), "output_dataset.datastoreId")
    name = store.rstrip("/").rpartition("/")[2].removeprefix("azureml:")
    if not name:
        raise Mistake("output_dataset.datastoreId: is empty; give a datastore's id or name")
    return {"path": f"azureml://datastores/{name}/paths/{text(given.get('path'), 'output_dataset.path').lstrip('/')}"}

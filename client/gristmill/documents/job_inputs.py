"""The file of `batch-endpoint invoke -f`: what a job scores, where its results go, and what it changes for itself.

Source: `az ml batch-endpoint invoke`, and the schema of the jobs that it begins.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gristmill.addresses import is_asset
from gristmill.deployment import messages, rules
from gristmill.deployment.kinds import Choice, Ignored, Integer, Kind, Text, Texts, refuse_null
from gristmill.deployment.nodes import Node
from gristmill.deployment.report import Refused, Report
from gristmill.deployment.schema import RETRY_SETTINGS, SETTINGS
from gristmill.deployment.sections import Given, Key, Section
from gristmill.documents import paths
from gristmill.documents.described import ACCEPTED, passed_over
from gristmill.documents.opening import Opened, opened

_LITERALS: Final = ("string", "number", "integer", "boolean")
_DATA: Final = ("uri_folder", "uri_file", "mltable", "custom_model", "mlflow_model", "triton_model")

INPUT: Final = Section(
    (
        Key(
            name="type",
            kind=Choice((*_DATA, *_LITERALS)),
            default="by what the path names",
            meaning="A model deployment scores a `uri_folder` or a `uri_file`.",
        ),
        Key(
            name="path",
            kind=Text(),
            meaning="File or folder, relative to the file; a URL; `azureml:<data>:<version>`; `azureml://datastores/...`.",
        ),
        Key(name="default", kind=Ignored("any"), meaning="A literal, in place of a path."),
        Key(name="mode", kind=Text(), meaning=ACCEPTED, dropped=True),
        Key(name="description", kind=Text(), meaning=ACCEPTED, dropped=True),
        Key(name="min", kind=Ignored("number"), meaning=ACCEPTED, dropped=True),
        Key(name="max", kind=Ignored("number"), meaning=ACCEPTED, dropped=True),
    ),
    path="inputs",
)

OUTPUT: Final = Section(
    (
        Key(name="type", kind=Choice(_DATA), default="`uri_file`", meaning="What the path names."),
        Key(name="path", kind=Text(), meaning="`azureml://datastores/<name>/paths/<path>`, a URL, or a folder."),
        Key(name="mode", kind=Text(), meaning=ACCEPTED, dropped=True),
        Key(name="description", kind=Text(), meaning=ACCEPTED, dropped=True),
    ),
    path="outputs",
)


@dataclass(frozen=True)
class Named:
    """A mapping of names to values that `one` reads."""

    #: What a value may be.
    one: Kind
    #: The table of a value's keys.
    section: Section
    words: str = "mapping by name"
    limits: str = ""

    def read(self, node: Node, report: Report, /) -> dict[str, Any]:
        """Return the values; each one that cannot be used is reported by itself."""
        refuse_null(node)
        if not isinstance(node.value, dict):
            raise Refused(f"{messages.NOT_MAPPING} Found {node.shown()}; give a name, and what it stands for beneath")
        found = {}
        for name, child in node.value.items():
            try:
                found[name] = self.one.read(child, report)
            except Refused as refused:
                report.add(child, refused.message)
        return found


class _OrLiteral:
    """An input: a mapping, or a literal alone."""

    words = "mapping or literal"
    limits = ""

    def read(self, node: Node, report: Report, /) -> Given | dict[str, Any]:
        """Return what is given of an input, or a literal with its type."""
        refuse_null(node)
        if isinstance(node.value, dict):
            return INPUT.read(node, report)
        if isinstance(node.value, list):
            raise Refused(f"{messages.NOT_MAPPING} Found a list; give type and path, or one value")
        return {"type": _literal(node.value), "default": node.value}


def _literal(value: object) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number"}
    return kinds.get(type(value), "string")


def _plain_name(what: str) -> Callable[[str], str]:
    """Return the rule for a name that may stand as a reference."""
    rule = rules.resource_name(what)
    return lambda text: rule(text.removeprefix("azureml:"))


COMPUTE: Final = Section(
    (
        Key(name="instance_count", kind=Integer(1), meaning="Instances of this job."),
        *(Key(name=name, kind=Ignored(), meaning=ACCEPTED, dropped=True) for name in ("target", "instance_type")),
    ),
    path="compute",
)

_RETRIES: Final = dataclasses.replace(RETRY_SETTINGS, path="retry_settings")
#: What stands beneath `settings` in a deployment stands at the root here.
_SETTINGS: Final = tuple(
    dataclasses.replace(key, kind=_RETRIES) if key.kind is RETRY_SETTINGS else key for key in SETTINGS.keys
)

JOB: Final = Section(
    (
        Key(name="inputs", kind=Named(_OrLiteral(), INPUT), meaning="What is scored; a model deployment takes one."),
        Key(name="outputs", kind=Named(OUTPUT, OUTPUT), meaning="Where the results go; a model deployment has one."),
        Key(
            name="endpoint",
            kind=Text(_plain_name("an endpoint")),
            meaning="The endpoint; `--name` wins over it.",
        ),
        Key(
            name="deployment",
            kind=Text(_plain_name("a deployment")),
            default="the endpoint's default",
            meaning="The deployment; `--deployment-name` wins over it.",
        ),
        Key(name="job_name", kind=Text(), default="a new name", meaning="Name of the job."),
        Key(name="experiment_name", kind=Text(), default="the endpoint's name", meaning="Name of its experiment."),
        Key(name="tags", kind=Texts(), meaning="For people."),
        Key(name="properties", kind=Texts(), meaning="For programs; carried along."),
        Key(name="compute", kind=COMPUTE, meaning="How many instances score."),
        *_SETTINGS,
        *RETRY_SETTINGS.keys,
        *passed_over("name", "type"),
    ),
    hints={
        "input": "Did you mean inputs? Each has a name there",
        "output": "Did you mean outputs? Each has a name there",
        "settings": "They belong at the file's root here",
    },
)


def load_job_inputs(
    source: Path | str | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    folder: Path | None = None,
    local: bool = True,
) -> dict[str, Any]:
    """Return what a job is begun with: each input `{type, path}` or `{type, default}`, each output `{type, path}`.

    Local paths are absolute; settings that the job changes for itself stand at the root. The parameters are those of
    `load_deployment_document`.

    Raises:
        InvalidDocument: the document cannot be used; it lists every fault.

    """
    document = opened(source, what="job", folder=folder, local=local).set(overrides)
    given = JOB.read(document.root, document.report)
    found = given.plain()
    for key in ("inputs", "outputs"):
        named: dict[str, Any] = given.get(key, {})
        for name, one in named.items():
            if isinstance(one, Given):
                found[key][name] = _placed(one, document, looked_at=key == "inputs")
    document.close()
    return found


def _placed(given: Given, document: Opened, *, looked_at: bool) -> dict[str, Any]:
    found = given.plain()
    if looked_at and given.has("path") == given.has("default"):
        document.report.add(given.node, "an input has a path, or a default that is its literal value; give one of them")
    if not given.sound("path"):
        return found
    try:
        found["path"] = _path(given.get("path", ""), document.folder, looked_at=looked_at)
    except Refused as refused:
        document.report.add(given.at("path"), refused.message)
    return found


def _path(text: str, folder: str | None, *, looked_at: bool) -> str:
    """Return where an input or an output is.

    Raises:
        Refused: there is no such input, or its path says nothing here.

    """
    try:
        path = paths.placed(text, folder)
    except Refused:
        if is_asset(text):
            return f"azureml:{text}"
        raise
    if not looked_at or not paths.is_here(path, folder) or os.path.exists(path):  # noqa: PTH110 - it raises
        return path
    if is_asset(text):
        return f"azureml:{text}"
    raise Refused(f"no such file or folder: {path}; a data asset is azureml:<name>:<version>")

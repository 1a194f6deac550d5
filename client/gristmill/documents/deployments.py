"""A batch deployment's document, from any generation of its YAML: what a server is sent, shows and keeps.

Where `gristmill.deployment` makes the one `spec.Deployment` that a job carries, this keeps the document in the file's
own words, in the current form: references stay references, and what is not given stays away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gristmill import spec
from gristmill.deployment import forms
from gristmill.deployment.building import Building
from gristmill.deployment.nodes import Node
from gristmill.deployment.report import Refused, Report
from gristmill.deployment.schema import ROOT
from gristmill.deployment.sections import Given
from gristmill.documents import self_contained
from gristmill.documents.opening import Opened, opened, told
from gristmill.errors import InvalidDeployment

_LOCAL: Final = "local"
_FILES: Final = ("conda_file", "requirements_file")


def load_deployment_document(
    source: Path | str | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    endpoint_name: str | None = None,
    folder: Path | None = None,
    local: bool = True,
    check_script: bool = True,
) -> dict[str, Any]:
    """Return a deployment in the current form: local paths absolute, environment files inline, names lower-cased.

    `overrides` are `--set` texts. `name` and `endpoint_name` win over the file's. Relative paths are relative to the
    file's folder, for a mapping to `folder` or else the working folder. Without `local` the document comes from
    another machine: its paths must be absolute or addresses (`upload:<tree>` too), and nothing is looked at. Without
    `check_script` the scoring script is not looked at either.

    Raises:
        InvalidDeployment: the document cannot be used; it lists every fault.

    """
    document = opened(source, what="deployment", folder=folder, local=local, error=InvalidDeployment)
    current = forms.in_current_form(document.root, overrides, document.report)
    found = None
    if current is not None:
        found = read(
            document.with_root(told(current, name=name, endpoint_name=endpoint_name)), check_script=check_script
        )
    document.close(InvalidDeployment)
    assert found is not None
    return found


def read(document: Opened, *, check_script: bool = True) -> dict[str, Any] | None:
    """Return the document of a tree in the current form; its faults are noted, None: it is of a foreign kind."""
    building = Building(folder=document.folder, check_script=check_script)
    built = building.read(document.root, document.report, require_names=True)
    return None if built is None else _written(*built, document.report)


def inline(document: Opened, deployment: Node) -> dict[str, Any] | None:
    """Return the document of a deployment that stands in an endpoint's file."""
    return read(document.with_root(forms.inline(deployment, document.report)))


def _written(given: Given, deployment: spec.Deployment, report: Report) -> dict[str, Any]:
    """Return what a document says, with what was found on this machine in the place of its paths."""
    document = {"type": "model", **given.plain()}
    if given.has("compute") and deployment.compute != _LOCAL:
        document["compute"] = f"azureml:{deployment.compute}"
    if isinstance(given.values.get("model"), Given) and deployment.model is not None:
        document["model"] |= _model(deployment.model)
    if deployment.code_configuration is not None:
        document["code_configuration"] = spec.to_json(deployment.code_configuration)
    if isinstance(given.values.get("environment"), Given) and deployment.environment is not None:
        document["environment"] = environment(given.section("environment"), deployment.environment, report)
    return {key.name: document[key.name] for key in ROOT.keys if key.name in document}


def _model(model: spec.Model) -> dict[str, Any]:
    kind = {} if model.type is None else {"type": model.type.value}
    return {"path": model.path or model.reference, **kind}


def environment(given: Given, found: spec.Environment, report: Report) -> dict[str, Any]:
    """Return an environment's keys with the content of its files in the place of their paths.

    What would not mean the same on another machine is noted.
    """
    document = {key: value for key, value in given.plain().items() if key not in _FILES}
    key = next((key for key in _FILES if given.sound(key)), "")
    try:
        if found.conda is not None:
            document["conda_file"] = self_contained.conda(found.conda, found.folder)
        elif found.requirements is not None:
            document["requirements_file"] = self_contained.lines(found.requirements, found.folder)
    except Refused as refused:
        report.add(given.at(key), refused.message)
    return document

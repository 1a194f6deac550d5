"""From `model:` (and `--model`, which stands in for it) to `spec.Model`.

Source: "Core syntax" and "CLI (v2) model YAML schema" of Azure Machine Learning.
"""

from __future__ import annotations

import os
from typing import Final

from gristmill import spec
from gristmill.deployment import messages
from gristmill.deployment.nodes import Node, short
from gristmill.deployment.references import Reference, is_url, kept_path, local_path, model_reference
from gristmill.deployment.report import Refused, Report
from gristmill.deployment.sections import Given

#: The file that makes a folder an MLflow model.
MLMODEL: Final = "MLmodel"

_NO_CODE: Final = (
    "without code_configuration only an MLflow model (a folder with an MLmodel file) can be scored; "
    "give code_configuration: code and scoring_script"
)


def read_model(root: Given, *, folder: str | None, stand_in: str | None, report: Report) -> spec.Model | None:
    """Return the deployment's model; None: it has none, or none that can be used (which is noted)."""
    written = root.values.get("model")
    section = written if isinstance(written, Given) else None
    kind = spec.ModelType(section.values["type"]) if section and section.sound("type") else None
    if stand_in is not None:
        node = Node(field="model", value=stand_in, text=stand_in, origin=f"--model {short(stand_in)}")
        return place_model(node, stand_in, folder=os.getcwd(), kind=kind, report=report)  # noqa: PTH109 - not resolved
    if isinstance(written, Reference):
        return spec.Model(reference=written.text, name=written.name, version=written.version)
    if section is None:
        return None
    if not section.has("path"):
        report.place(f"{messages.MISSING} Give the model's file or folder", field="model.path", line=section.node.line)
    if not section.sound("path"):
        return None
    node, text = section.at("path"), section.get("path", "")
    return place_model(node, text, folder=folder, kind=kind, report=report, given=section)


def place_model(
    node: Node,
    text: str,
    *,
    folder: str | None,
    kind: spec.ModelType | None,
    report: Report,
    given: Given | None = None,
) -> spec.Model | None:
    """Return the model at a path, an address or a reference, of the stated kind if there is one.

    `folder` is that of relative paths; None: paths are kept, and nothing is looked at. `given` says name and version.
    None comes back where the model cannot be used, which is noted.
    """
    name, version = (given.get("name", ""), given.get("version", "")) if given else ("", "")
    reference = model_reference(text)
    if reference or text.startswith("azureml://"):
        found = reference or Reference(text)
        return spec.Model(reference=text, name=name or found.name, version=version or found.version, type=kind)
    if is_url(text):
        return spec.Model(path=text, name=name, version=version, type=kind)
    try:
        path = _local(text, folder)
        kind = kind if folder is None else _kind_of_files(path, kind)
    except Refused as refused:
        report.add(node, refused.message)
        return None
    return spec.Model(path=path, name=name, version=version, type=kind)


def _local(text: str, folder: str | None) -> str:
    if text.startswith("azureml:"):
        raise Refused(f"{short(repr(text))} is no reference; write azureml:<name>:<version> or azureml:<name>@latest")
    return kept_path(text) if folder is None else local_path(text, folder)


def _kind_of_files(path: str, stated: spec.ModelType | None) -> spec.ModelType:
    """Return how a local model's files are laid out.

    Raises:
        Refused: there is nothing at the path, or no MLmodel file where one was promised.

    """
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where the name is too long
        raise Refused(f"no such file or folder: {path}")
    mlflow = os.path.isfile(os.path.join(path, MLMODEL))  # noqa: PTH113, PTH118 - as above
    if stated is spec.ModelType.MLFLOW and not mlflow:
        raise Refused(f"type: mlflow_model needs a folder with an MLmodel file; there is none in {path}")
    return stated or (spec.ModelType.MLFLOW if mlflow else spec.ModelType.CUSTOM)


def check_no_code(root: Given, model: spec.Model | None, *, stand_in: str | None, report: Report) -> None:
    """Note a deployment without a scoring script whose model cannot be scored without one."""
    if model is None:
        if stand_in is None and not root.has("model"):
            report.place(f"{messages.MISSING} Give a model, a scoring script, or both", field="model")
        return
    if model.type is spec.ModelType.TRITON:
        report.add(
            root.at("model"), "a triton_model cannot be scored without a scoring script; give code_configuration"
        )
    elif model.type is spec.ModelType.CUSTOM:
        report.add(root.at("model"), _NO_CODE)

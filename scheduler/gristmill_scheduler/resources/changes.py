"""What one job changes of its deployment: settings, instance count and variables, checked like the deployment's own.

The files that the deployment names are not looked at again: its spec was made when it was stored, and a job that
starts has what the deployment was then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gristmill import spec
from gristmill.deployment import build_deployment
from gristmill.errors import Mistake

#: What a job may change.
_CHANGEABLE: Final = ("settings", "resources", "environment_variables")

#: Stand in for what is not looked at again.
_SCRIPT: Final = {"code": "/code", "scoring_script": "script.py"}
_MODEL: Final = {"path": "/model", "type": "mlflow_model"}

#: Settings of the deployment that have no place beside one that a job sets, and so fall away.
_OUT_OF_PLACE: Final = {
    "settings.output_action": ("output_file_name", "output_format", "header", "delimiter"),
    "settings.output_format": ("header", "delimiter"),
}


def changed(
    deployment: spec.Deployment, document: Mapping[str, Any], overrides: Sequence[str], *, source: str
) -> spec.Deployment:
    """Return a deployment as one job wants it.

    Args:
        deployment: The deployment's spec.
        document: Its document, in the current form.
        overrides: `--set` texts beneath settings, resources and environment_variables.
        source: What messages call the deployment.

    Raises:
        InvalidDeployment: the changes cannot be used; it lists every fault.
        Mistake: a change that is the deployment's own affair.

    """
    for text in overrides:
        _check(text)
    built = build_deployment(
        _skeleton(deployment, document, overrides), source=source, folder=None, overrides=overrides
    )
    return replace(
        deployment,
        settings=built.settings,
        instance_count=built.instance_count,
        environment_variables=built.environment_variables,
    )


def _check(text: str) -> None:
    key = text.partition("=")[0].strip()
    if key.partition(".")[0] not in _CHANGEABLE:
        raise Mistake(
            f"{key[:80]}: cannot be changed for one job; settings, resources.instance_count and environment_variables "
            "can"
        )


def _skeleton(deployment: spec.Deployment, document: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    keys = {text.partition("=")[0].strip() for text in overrides}
    dropped = {name for key in keys for name in _OUT_OF_PLACE.get(key, ())}
    settings = {key: value for key, value in document.get("settings", {}).items() if key not in dropped}
    scored = {"model": _MODEL} if deployment.code_configuration is None else {"code_configuration": _SCRIPT}
    rest = {key: document[key] for key in ("resources", "environment_variables") if key in document}
    if "resources.instance_count" in keys:
        settings.pop("instance_count", None)
    return {"type": "model", **scored, **rest, "settings": settings}

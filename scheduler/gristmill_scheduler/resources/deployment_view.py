"""How a deployment is shown: its document with Azure's defaults filled in, in a form that can be given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gristmill import spec
from gristmill_scheduler.resources.records import Record
from gristmill_scheduler.resources.shown import Shown


def show_deployment(record: Record, *, endpoint: str) -> Shown:
    """Return a stored deployment as it is shown."""
    deployment = spec.from_json(spec.Deployment, record.body["deployment"])
    given = record.document
    document = {
        "id": f"/batchEndpoints/{endpoint}/deployments/{record.name}",
        "description": "",
        "tags": {},
        "properties": {},
        **given,
        "name": record.name,
        "endpoint_name": endpoint,
        "environment_variables": deployment.environment_variables,
        "compute": given.get("compute", deployment.compute),
        "error_threshold": deployment.settings.error_threshold,
        "resources": {**given.get("resources", {}), "instance_count": deployment.instance_count},
        "type": "model",
        "settings": _settings(given.get("settings", {}), deployment.settings),
        "provisioning_state": "Succeeded",
        "version": record.version,
        "creation_context": record.context,
    }
    return Shown(document=document, version=record.version, created=record.created)


def _settings(given: dict[str, Any], settings: spec.Settings) -> dict[str, Any]:
    shown = {
        "max_concurrency_per_instance": settings.max_concurrency_per_instance,
        "mini_batch_size": settings.mini_batch_size,
        "retry_settings": spec.to_json(settings.retry_settings),
        "output_action": settings.output_action.value,
        "output_file_name": settings.output_file_name,
        "error_threshold": settings.error_threshold,
        "logging_level": settings.logging_level,
    }
    if settings.output_action is spec.OutputAction.SUMMARY_ONLY:
        del shown["output_file_name"]
    # These two are shown at the root.
    own = {key: value for key, value in given.items() if key not in ("environment_variables", "instance_count")}
    return {**own, **shown}


def given_back(document: Mapping[str, Any], stored: Record | None) -> dict[str, Any]:
    """Return a document that was shown, and changed in one of the two places of its error_threshold, with that one."""
    settings = document.get("settings")
    if stored is None or not isinstance(settings, Mapping) or "id" not in document:
        return dict(document)
    before = spec.from_json(spec.Deployment, stored.body["deployment"]).settings.error_threshold
    if document.get("error_threshold") == before:
        return {key: value for key, value in document.items() if key != "error_threshold"}
    rest = {key: value for key, value in settings.items() if key != "error_threshold" or value != before}
    return {**document, "settings": rest}

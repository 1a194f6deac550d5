"""What a job's MLflow run says: made of the job's record and its progress, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from gristmill.addresses import local_path
from gristmill.spec import Deployment
from gristmill.states import JobStatus
from gristmill_scheduler.jobs.record import JobRecord
from gristmill_scheduler.jobs.shown import override
from gristmill_storage.store import without_secrets

#: Metrics by name at one moment.
Values = dict[str, float]
#: Milliseconds since the epoch, seconds since the job was submitted, and the metrics.
Point = tuple[int, int, Values]

_STATUSES: Final = {
    JobStatus.COMPLETED: "FINISHED",
    JobStatus.FAILED: "FAILED",
    JobStatus.CANCELED: "KILLED",
}

#: Settings of a deployment that become parameters, besides those that have a group of their own.
_SETTINGS: Final = (
    "mini_batch_size",
    "mini_batch_bytes",
    "max_concurrency_per_instance",
    "error_threshold",
    "output_action",
    "output_file_name",
    "output_format",
    "logging_level",
    "isolate_failures",
    "speculate",
    "priority",
)


def run_id_of(record: JobRecord) -> str:
    """Return what a job's run is found by, also on a tracking server that several workspaces share."""
    given = json.dumps([record.folder, record.name, record.job.submitted])
    return hashlib.sha256(given.encode()).hexdigest()[:32]


def run_document(record: JobRecord, *, parent: str = "") -> dict[str, Any]:
    """Return what is written when a job begins (`run` of `gristmill_storage.tracking_runs`).

    `parent`: the run of the job whose failed items this one scores again; "" for none.
    """
    return {
        "id": run_id_of(record),
        "experiment": record.experiment_name or record.endpoint,
        "name": record.display_name or record.name,
        "began": round(record.job.submitted * 1000),
        "tags": {**record.tags, **({"mlflow.parentRunId": parent} if parent else {}), **_tags(record)},
        "params": _params(record),
        "inputs": [_input(record)],
    }


def point(record: JobRecord, progress: Mapping[str, Any], now: float) -> Point:
    """Return the metrics of a coordinator's progress document, as they are at a moment (seconds since the epoch)."""
    batches, items = progress["mini_batches"], progress["items"]
    values = {
        "items_planned": items["planned"],
        "items_succeeded": items["succeeded"],
        "items_failed": items["failed"],
        "rows": progress["rows"],
        "items_per_second": progress["rate"],
        "mini_batches_planned": batches["planned"],
        "mini_batches_done": batches["done"],
        "retries": sum(progress["retries"].values()),
        "instances": progress["instances"],
    }
    return _at(record, now, {name: float(value) for name, value in values.items()})


def last_point(record: JobRecord) -> Point:
    """Return the metrics of a job that has ended: its summary's, where it has one."""
    result = record.result or {}
    summary: Mapping[str, Any] = result.get("document") or {}
    items, batches, attempts = (summary.get(name) or {} for name in ("items", "mini_batches", "attempts"))
    values = {
        "items_succeeded": items.get("succeeded"),
        "items_failed": items.get("failed"),
        "rows": summary.get("rows"),
        "mini_batches_done": batches.get("total"),
        "retries": sum(attempts["retried"].values()) if attempts.get("retried") is not None else None,
        **_group("errors", summary.get("errors_by_category")),
        **_group("seconds", summary.get("seconds")),
        **_group("throughput", summary.get("throughput")),
    }
    return _at(record, _ended(record), {name: float(value) for name, value in values.items() if value is not None})


def end_document(record: JobRecord) -> dict[str, Any]:
    """Return what is written when a job has ended (`end` of `gristmill_storage.tracking_runs`)."""
    result = record.result or {}
    error = result.get("error")
    addresses = {"summary.json": result.get("summary"), "errors.jsonl": result.get("errors")}
    return {
        "status": _STATUSES.get(record.status or JobStatus.FAILED, "FAILED"),
        "ended": round(_ended(record) * 1000),
        "tags": {
            "gristmill.status": str(record.status or JobStatus.FAILED),
            **({"gristmill.error": f"{error.get('class')}: {error.get('message')}"} if error else {}),
        },
        "artifacts": {name: address for name, address in addresses.items() if address},
    }


def _ended(record: JobRecord) -> float:
    return record.ended or record.job.submitted


def _at(record: JobRecord, now: float, values: Values) -> Point:
    return round(now * 1000), max(0, round(now - record.job.submitted)), values


def _group(name: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"{name}/{key}": value for key, value in (values or {}).items()}


def _tags(record: JobRecord) -> dict[str, str]:
    model = record.job.deployment.model
    tags = {
        "gristmill.job": record.name,
        "gristmill.endpoint": record.endpoint,
        "gristmill.deployment": record.deployment,
        "gristmill.deployment_version": str(record.deployment_version),
        "gristmill.model": (model.name or without_secrets(model.reference or model.path)) if model else "",
        "gristmill.model_version": model.version if model else "",
        "gristmill.compute": record.compute,
        "gristmill.output": without_secrets(record.job.output.folder),
        "gristmill.retry_of": record.job.retry_of,
        "gristmill.version": version("gristmill"),
        "mlflow.user": record.by,
        "mlflow.source.name": f"{record.endpoint}/{record.deployment}",
        "mlflow.source.type": "JOB",
        "mlflow.note.content": record.description,
    }
    return {name: value for name, value in tags.items() if value}


def _params(record: JobRecord) -> dict[str, str]:
    deployment = record.job.deployment
    settings = deployment.settings
    params = {
        **{name: getattr(settings, name) for name in _SETTINGS},
        "instance_count": deployment.instance_count,
        "retry_settings.max_retries": settings.retry_settings.max_retries,
        "retry_settings.timeout": settings.retry_settings.timeout,
        "scoring_script": deployment.code_configuration and deployment.code_configuration.scoring_script,
        "environment": _environment(deployment),
        "input": without_secrets(record.job.input.uri),
        "input_type": record.job.input.type,
    }
    overrides = dict(map(override, record.overrides))
    told = {**params, **{f"override.{key}": value for key, value in overrides.items()}}
    return {name: _text(value) for name, value in told.items() if value not in (None, "")}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _environment(deployment: Deployment) -> str:
    environment = deployment.environment
    if environment is None:
        return ""
    named = f"{environment.name}:{environment.version}" if environment.version else environment.name
    return named or environment.reference


def _input(record: JobRecord) -> dict[str, str]:
    """Return a job's input as a data set; nobody has read it yet, so that its digest is that of its address."""
    address = without_secrets(record.job.input.uri)
    origin = next((str(given.get("path") or "") for given in record.inputs.values()), "")
    path = local_path(address)
    kind = "local" if path is not None else address.partition("://")[0].lower()
    name = origin if origin.startswith("azureml:") else address.rstrip("/").rpartition("/")[2]
    return {
        "name": without_secrets(name or address)[:500],
        "digest": hashlib.sha256(address.encode()).hexdigest()[:16],
        "source_type": "http" if kind == "https" else kind,
        "source": json.dumps({"url" if kind in ("http", "https") else "uri": address}),
        "context": "scoring",
    }

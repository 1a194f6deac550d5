"""A job as users see it: one document, the same in every answer, of the job or of its one child."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from gristmill.spec import OutputAction, to_json
from gristmill.states import JobStatus
from gristmill_scheduler.jobs.record import JobRecord
from gristmill_storage.credentials import plain

#: What Azure calls a batch job's one step, and the end of that child's name.
CHILD: Final = "batchscoring"
CHILD_SUFFIX: Final = f"_{CHILD}"

_NOTHING: Final[dict[str, Any]] = {
    "items": {"succeeded": 0, "failed": 0},
    "mini_batches": {"planned": 0, "plan_closed": False, "done": 0},
    "rows": 0,
}


@dataclass(frozen=True, kw_only=True)
class Now:
    """Where a job stands that has not ended."""

    status: str
    detail: str = ""
    #: The coordinator's progress, where it is known.
    progress: Mapping[str, Any] | None = None
    #: "items", "mini_batches", "rows".
    counts: Mapping[str, Any] | None = None
    #: Seconds since the epoch.
    started: float | None = None


def document(record: JobRecord, now: Now | None) -> dict[str, Any]:
    """Return a job's document; `now` where it has not ended."""
    shown = {
        "id": f"/batchEndpoints/{record.endpoint}/jobs/{record.name}",
        "name": record.name,
        "display_name": record.display_name or record.name,
        "description": record.description,
        "type": "pipeline",
        **_asked(record),
        **(_running(now) if now is not None else _ended(record)),
        "folder": record.folder,
        "retry_of": record.job.retry_of or None,
        "creation_context": _context(record),
        "submitted": moment(record.job.submitted),
        "started": moment((now.started if now is not None else None) or record.started),
        "ended": moment(record.ended) if now is None else None,
        "services": {"Studio": {"endpoint": f"/jobs/{record.name}"}, **_tracking(record.run)},
    }
    own = {name: shown[name] for name in ("status", "outputs", "tags")}
    run = {name: value for name, value in record.run.items() if name != "state"}
    own |= {"mlflow": run} if run else {}
    return {**shown, "properties": {**own, "experiment_name": record.experiment_name}}


def child_of(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a job's child."""
    name = shown["name"]
    return {
        **shown,
        "id": f"{shown['id']}{CHILD_SUFFIX}",
        "name": f"{name}{CHILD_SUFFIX}",
        "display_name": CHILD,
        "type": "parallel",
        "parent_job_name": name,
    }


def at(shown: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return a document with the addresses that a server's own has."""
    return {**shown, "services": {**shown["services"], "Studio": {"endpoint": f"{url}/jobs/{shown['name']}"}}}


def moment(seconds: float | None) -> str | None:
    """Return a time in ISO 8601; None for none."""
    return None if not seconds else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _tracking(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return where people look at a job's MLflow run, if its server has pages for them."""
    server = str(run.get("server", ""))
    if not run.get("run_id") or not server.startswith(("http://", "https://")):
        return {}
    return {"Tracking": {"endpoint": f"{server}/#/experiments/{run['experiment_id']}/runs/{run['run_id']}"}}


def _asked(record: JobRecord) -> dict[str, Any]:
    return {
        "experiment_name": record.experiment_name,
        "endpoint_name": record.endpoint,
        "deployment_name": record.deployment,
        "deployment_version": record.deployment_version,
        "compute": record.compute,
        "inputs": record.inputs,
        # As the store's own tools take it, without the word on whose credentials open it.
        "outputs": {"score": {"type": "uri_file", "path": plain(_output(record))}},
        "overrides": dict(map(override, record.overrides)),
        # With the overrides in them: what reads the output needs to know its form.
        "settings": to_json(record.job.deployment.settings),
        "tags": record.tags,
        "archived": record.archived,
    }


def override(text: str) -> tuple[str, Any]:
    """Return a key and its value; that of a variable may be a secret."""
    key, _, value = text.partition("=")
    return key, "***" if ".environment_variables." in key else json.loads(value)


def _output(record: JobRecord) -> str:
    """Return where the results are, or will be."""
    known = (record.result or {}).get("output")
    if known:
        return str(known)
    settings, folder = record.job.deployment.settings, record.job.output.folder.rstrip("/")
    return folder if settings.output_action is OutputAction.SUMMARY_ONLY else f"{folder}/{settings.output_file_name}"


def _running(now: Now) -> dict[str, Any]:
    return {
        "status": now.status,
        "detail": now.detail,
        "error": None,
        **(_NOTHING | dict(now.counts or _counts(now.progress))),
        "progress": dict(now.progress) if now.progress is not None else None,
        "summary": None,
    }


def _counts(progress: Mapping[str, Any] | None) -> dict[str, Any]:
    if progress is None:
        return {}
    items, batches = progress["items"], progress["mini_batches"]
    return {
        "items": {name: items[name] for name in ("succeeded", "failed")},
        "mini_batches": {name: batches[name] for name in ("planned", "plan_closed", "done")},
        "rows": progress["rows"],
    }


def _ended(record: JobRecord) -> dict[str, Any]:
    result = record.result or {}
    return {
        "status": str(record.status or JobStatus.FAILED),
        "detail": "",
        "error": result.get("error"),
        **{name: result.get(name) or _NOTHING[name] for name in _NOTHING},
        "progress": None,
        "summary": result.get("document"),
    }


def _context(record: JobRecord) -> dict[str, Any]:
    made = moment(record.job.submitted)
    return {
        "created_at": made,
        "created_by": record.by,
        "last_modified_at": moment(record.modified) or made,
        "last_modified_by": record.modified_by or record.by,
    }

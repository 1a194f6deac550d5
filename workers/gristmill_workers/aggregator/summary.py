"""summary.json: what a job did, in numbers."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gristmill
from gristmill.spec import Deployment, Job, to_json
from gristmill_storage.parts import Block
from gristmill_storage.store import without_secrets
from gristmill_workers.aggregator.timing import timing


@dataclass
class Tally:
    """Counts over the mini-batches that count."""

    mini_batches: int = 0
    #: Mini-batches that have at least one failed item.
    mini_batches_failed: int = 0
    #: Mini-batches that needed more than one attempt.
    mini_batches_retried: int = 0
    items: int = 0
    succeeded: int = 0
    failed: int = 0
    #: Items that were not scored when the job was cancelled; None: all of them were.
    unscored: int | None = None
    rows: int = 0
    #: Calls of run() beyond the first of each mini-batch, made to find out which of its items fail.
    isolation: int = 0
    #: Seconds in run(), over all scorers, of the attempts that count.
    run_seconds: float = 0.0
    #: Errors by category.
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, block: Block, errors: Iterable[Mapping[str, Any]]) -> None:
        """Count one mini-batch and its errors."""
        self.mini_batches += 1
        self.mini_batches_failed += bool(block.failed)
        self.mini_batches_retried += block.attempt > 1
        self.items += block.items
        self.succeeded += block.succeeded
        self.failed += block.failed
        self.rows += block.rows
        self.isolation += max(0, block.runs - 1)
        self.run_seconds += block.seconds
        for error in errors:
            self.errors[str(error["category"])] += 1


def summary_document(
    job: Job,
    result: Mapping[str, Any],
    tally: Tally,
    timeline: Mapping[str, Any],
    *,
    aggregate_began: float,
    tallies: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return the summary; `docs/reference/summary.md` says what each key means."""
    failures: Mapping[str, int] = timeline.get("attempts_failed", {})
    seconds = _seconds(timeline, tally, aggregate_began)
    return {
        "job": job.name,
        "status": result["status"],
        "error": result["error"],
        "items": _items(tally),
        "rows": tally.rows,
        "mini_batches": {
            "total": tally.mini_batches,
            "failed": tally.mini_batches_failed,
            "retried": tally.mini_batches_retried,
        },
        "attempts": {
            "counted": tally.mini_batches,
            "retried": dict(failures),
            "lost": timeline.get("losses", 0),
            "fenced": timeline.get("fenced", 0),
            "isolation": tally.isolation,
        },
        "retries": [],
        "errors_by_category": dict(tally.errors),
        "seconds": seconds,
        "timing": timing(seconds, tallies or {}, timeline.get("instances", {})),
        "throughput": _throughput(tally, seconds),
        "output": result["output"],
        "errors": result["errors"],
        "input": {**to_json(job.input), "uri": without_secrets(job.input.uri)},
        "deployment": _shown(job.deployment),
        "instances": list(timeline.get("instances", {}).values()),
        "versions": {"gristmill": gristmill.__version__, "python": platform.python_version(), **_scorers(timeline)},
    }


def _shown(deployment: Deployment) -> dict[str, Any]:
    """Return a deployment for the output folder, which many may read: keys of services often are in its variables."""
    variables = dict.fromkeys(deployment.environment_variables, "***")
    shown: dict[str, Any] = to_json(replace(deployment, environment_variables=variables))
    return shown


def _items(tally: Tally) -> dict[str, int]:
    unscored = {} if tally.unscored is None else {"unscored": tally.unscored}
    total = tally.items + (tally.unscored or 0)
    return {"total": total, "succeeded": tally.succeeded, "failed": tally.failed, **unscored}


def _seconds(timeline: Mapping[str, Any], tally: Tally, aggregate_began: float) -> dict[str, float | None]:
    moments: Mapping[str, float] = timeline.get("moments", {})
    now = time.time()

    def between(start: str, end: str) -> float | None:
        return round(max(0.001, moments[end] - moments[start]), 3) if start in moments and end in moments else None

    inits = [one["init_seconds"] for one in timeline.get("instances", {}).values() if one.get("init_seconds")]
    return {
        "total": round(now - moments["submitted"], 3) if "submitted" in moments else None,
        "queue": between("submitted", "taken"),
        "plan": between("opened", "planned"),
        "prepare": between("taken", "ready"),
        "init": round(max(inits), 3) if inits else None,
        "score": between("ready", "scored"),
        "run": round(tally.run_seconds, 3),
        "aggregate": round(now - aggregate_began, 3),
    }


def _throughput(tally: Tally, seconds: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return what was done a second while scorers were ready; None where that took no time."""
    scoring = seconds["score"]
    if not scoring:
        return {"items_per_second": None, "rows_per_second": None, "mini_batches_per_second": None}
    return {
        "items_per_second": round(tally.items / scoring, 1),
        "rows_per_second": round(tally.rows / scoring, 1),
        "mini_batches_per_second": round(tally.mini_batches / scoring, 1),
    }


def _scorers(timeline: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions that the scorers said they run."""
    versions: dict[str, Any] = {}
    for instance in timeline.get("instances", {}).values():
        versions.update(instance.get("versions") or {})
        if instance.get("python"):
            versions["scorer_python"] = instance["python"]
    return versions

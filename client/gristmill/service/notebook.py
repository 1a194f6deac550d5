"""A job as a notebook shows it: a bar and its counts."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, Final

from gristmill.cli.progress import figures
from gristmill.counts import counted
from gristmill.local.events import Progress
from gristmill.states import JobStatus

_COLORS: Final = {JobStatus.COMPLETED: "#2a2", JobStatus.FAILED: "#c33", JobStatus.CANCELED: "#b80"}


@cache
def _template() -> Template:
    return Template(Path(__file__).with_name("job.html").read_text("utf-8"))


def job_html(job: Mapping[str, Any]) -> str:
    """Return a job's document as HTML; everything in it is text."""
    progress = Progress.from_json(job.get("progress") or {})
    completed = job.get("status") == JobStatus.COMPLETED
    shown = {
        "name": job.get("name"),
        "status": job.get("status"),
        "detail": job.get("detail"),
        "color": next((color for status, color in _COLORS.items() if status == job.get("status")), "#28c"),
        "percent": 100 if completed else round(100 * progress.fraction),
        "figures": " · ".join(_counts(job) if completed or not progress.planned else figures(progress)),
        "error": (job.get("error") or {}).get("message"),
        "output": ((job.get("outputs") or {}).get("score") or {}).get("path"),
    }
    return _template().substitute({key: html.escape(_text(value)) for key, value in shown.items()})


def _counts(job: Mapping[str, Any]) -> list[str]:
    """Return what a job that has ended counts."""
    items = job.get("items")
    if not isinstance(items, Mapping):
        return []
    words = [counted(items["total"], "item")] if items.get("total") else []
    if items.get("failed"):
        words.append(f"{items['failed']:,} failed")
    rows = job.get("rows")
    return [*words, counted(rows, "row")] if rows else words


def _text(value: Any) -> str:
    return "" if value is None else str(value)

"""The reference page of the metrics, made from their table.

`python -m gristmill_scheduler.metrics.reference > docs/reference/metrics.md` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import resources
from itertools import groupby
from typing import Final

from gristmill_scheduler.metrics.families import METRICS, Metric, Scope
from gristmill_storage.tallies import BOUNDS

#: The heading of each part, and who tells it.
_PARTS: Final[dict[Scope, str]] = {
    "job": "## Jobs\n\nTold by the server that leads the job. All have the label `batch_job`, its name.",
    "cluster": "## Cluster\n\nTold by the server that dispatches, for the whole workspace.",
    "server": "## Servers and Redis\n\nTold by each server.",
}


def page() -> str:
    """Return the page as Markdown: an introduction, then a table for each part."""
    introduction = resources.files("gristmill_scheduler.metrics").joinpath("reference.md").read_text(encoding="utf-8")
    bounds = ", ".join(f"{bound:g}" for bound in BOUNDS)
    return "\n\n".join([introduction.strip().replace("{bounds}", bounds), *_parts()]) + "\n"


def _parts() -> Iterator[str]:
    for scope, metrics in groupby(METRICS.values(), key=lambda metric: metric.scope):
        head = "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |"
        yield "\n".join([_PARTS[scope], "", head, *map(_row, metrics)])


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels if label != "batch_job")
    return f"| `{metric.shown}` | {metric.kind} | {labels} | {metric.help} |"


if __name__ == "__main__":
    sys.stdout.write(page())

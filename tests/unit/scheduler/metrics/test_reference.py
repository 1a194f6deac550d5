"""The page of the metrics says what the table says."""

from __future__ import annotations

from pathlib import Path

from gristmill_scheduler.metrics import reference
from gristmill_scheduler.metrics.families import METRICS

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "metrics.md"


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text() == reference.page(), "python -m gristmill_scheduler.metrics.reference writes it"


def test_every_metric_has_its_line() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `gristmill_")]
    assert len(lines) == len(METRICS)

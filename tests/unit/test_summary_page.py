"""docs/reference/summary.md names every key and every category, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from gristmill.spec import Deployment, Input, Job, Output
from gristmill.states import Category
from gristmill_workers.aggregator.summary import Tally, summary_document
from gristmill_workers.work import Work, error_record

PAGE = (Path(__file__).parents[2] / "docs/reference/summary.md").read_text()


def documented(table: int) -> set[str]:
    """Return the first column of a table of the page."""
    tables = re.split(r"\| (?:key|category) \| meaning \|\n\| --- \| --- \|\n", PAGE)
    rows = tables[table].split("\n\n")[0].splitlines()
    return {row.split("|")[1].strip().strip("`") for row in rows}


def test_every_key_of_the_summary_is_explained() -> None:
    job = Job(name="j", deployment=Deployment(), input=Input(uri="/i"), output=Output(folder="/o"))
    result = {"status": "Completed", "error": None, "output": None, "errors": None}

    document = summary_document(job, result, Tally(), {}, aggregate_began=0.0)

    assert documented(1) == {*document, "output_bytes", "written_files"}
    for part in ("seconds", "throughput", "items", "mini_batches", "attempts"):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{part}` |"))
        assert all(f"`{key}`" in row for key in document[part])


def test_every_key_of_an_error_is_explained() -> None:
    work = Work(number=0, attempt=1, token="t", items=())

    assert documented(2) == {*error_record(work, file=None, category="crash", message=""), "items"}


def test_every_category_is_explained() -> None:
    assert documented(3) == {str(category) for category in Category}

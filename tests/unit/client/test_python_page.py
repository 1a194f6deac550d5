"""The reference page of the Python door says what the code says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import gristmill
from gristmill import GristmillError, Job, JobStatus

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)[^|]*\| ([^|]+) \|", PAGE, re.MULTILINE))


@pytest.mark.parametrize("name", gristmill.__all__)
def test_every_public_name_is_explained(name: str) -> None:
    assert re.search(rf"`(gristmill\.)?{re.escape(name)}\b", PAGE)


@pytest.mark.parametrize("name", inspect.signature(gristmill.run).parameters)
def test_every_argument_of_run_has_its_row(name: str) -> None:
    assert name in ROWS


@pytest.mark.parametrize("name", [name for name in vars(Job) if not name.startswith("_")])
def test_every_member_of_a_job_has_its_row(name: str) -> None:
    assert name in ROWS


def test_every_status_is_named() -> None:
    assert [status for status in JobStatus if f"`{status}`" not in PAGE] == []


def test_every_error_has_its_exit_code() -> None:
    errors = {
        name: value
        for name in gristmill.__all__
        if isinstance(value := getattr(gristmill, name), type) and issubclass(value, GristmillError)
    }

    assert {name: ROWS[name].strip() for name in errors} == {
        name: str(value.exit_code) for name, value in errors.items()
    }

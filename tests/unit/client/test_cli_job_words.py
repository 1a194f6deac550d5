from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from gristmill.cli.job_words import print_standing

STANDING: dict[str, Any] = {
    "name": "j",
    "status": "Completed",
    "detail": "",
    "error": None,
    "items": {"succeeded": 3, "failed": 0},
    "mini_batches": {"total": 1},
    **dict.fromkeys(("output", "errors", "summary", "folder")),
}
TIMING = {"seconds": {"waiting": 1.0, "run": 9.0}, "held_back": "run() 90 %: add scorers or instances"}


def shown(capsys: pytest.CaptureFixture[str], *, asked: bool, timing: dict[str, Any] | None) -> list[str]:
    print_standing({**STANDING, "timing": timing}, Namespace(format=None, query=None, timing=asked))
    return capsys.readouterr().out.splitlines()[2:]


def test_where_the_time_went_is_told_when_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, asked=False, timing=TIMING) == []
    assert shown(capsys, asked=True, timing=TIMING) == [
        "  run() 90 %: add scorers or instances",
        "  waiting            1.00 s   10 %",
        "  run                9.00 s   90 %",
    ]


def test_a_job_that_has_not_ended_has_no_split_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, asked=True, timing=None) == ["  timing   not known: it is told of a job that has ended"]

from __future__ import annotations

import pytest

from gristmill.local.events import Outcome, Progress
from gristmill.states import JobStatus


def test_progress_is_read_from_an_event() -> None:
    progress = Progress.from_json(
        {
            "elapsed": 2.5,
            "mini_batches": {"planned": 10, "plan_closed": True, "done": 4, "running": 2, "waiting_retry": 1},
            "items": {"planned": 100, "succeeded": 38, "failed": 2},
            "rows": 38,
            "rate": 16.0,
            "eta": None,
            "instances": 1,
            "scorers": 2,
            "retries": {"timeout": 1},
        }
    )

    assert progress == Progress(
        elapsed=2.5, planned=10, plan_closed=True, done=4, running=2, waiting_retry=1, items_planned=100,
        succeeded=38, failed=2, rows=38, rate=16.0, eta=None, instances=1, scorers=2, retries={"timeout": 1},
    )  # fmt: skip
    assert progress.items_done == 40
    assert progress.fraction == pytest.approx(0.4)


def test_an_empty_progress_is_no_progress() -> None:
    assert Progress.from_json({}) == Progress()
    assert Progress().fraction == 0.0


def test_what_a_job_did_not_leave_has_no_address() -> None:
    outcome = Outcome.from_json({"status": "Canceled", "error": None, "output": None, "summary": None, "errors": None})

    assert outcome == Outcome(status=JobStatus.CANCELED)

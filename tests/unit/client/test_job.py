from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gristmill
from gristmill import Job, JobStatus

Start = Callable[..., Job]


@pytest.fixture
def start(fakes: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start a job whose fake scheduler behaves as it is told."""

    def call(scheduler: str = "completes", **given: Any) -> Job:
        monkeypatch.setenv("FAKE_SCHEDULER", scheduler)
        return gristmill.run(folder / "deployment.yml", input=folder / "input", output=folder / "out", **given)

    return call


def test_run_returns_at_once_with_a_job_that_goes_on(start: Start, fakes: Any) -> None:
    job = start("waits")

    assert job.status is JobStatus.NOT_STARTED
    fakes.note("running")
    with pytest.raises(TimeoutError, match=r"not ended after 0\.1 s"):
        job.wait(0.1)
    assert job.status is JobStatus.RUNNING


def test_a_job_that_completed_has_its_results(start: Start, folder: Path) -> None:
    job = start().wait(20)

    assert job.status is JobStatus.COMPLETED
    assert job.output == str(folder / "out" / "predictions.csv")
    assert job.summary["items"] == {"in": 100, "out": 99, "failed": 1}
    assert job.errors == [{"file": "c.png", "category": "exception"}]
    assert job.to_pandas()["prediction"].tolist() == [7, 3]
    assert job.progress.items_done == 100
    assert not job.resumable


def test_results_wait_for_the_end_by_themselves(start: Start) -> None:
    assert start().summary["status"] == "Completed"


def test_a_job_that_failed_raises_what_it_failed_of(start: Start) -> None:
    job = start("fails")

    for _ in range(2):
        with pytest.raises(gristmill.InitFailed, match="KeyError: 'x'") as caught:
            job.wait(20)
        assert caught.value.detail.startswith("Traceback")
    assert job.resumable
    assert job.errors == []
    with pytest.raises(gristmill.StorageFailed, match="it left no summary"):
        _ = job.summary
    with pytest.raises(gristmill.InitFailed):
        job.to_pandas()


def test_a_job_whose_folder_was_removed_left_nothing_to_go_on_with(start: Start) -> None:
    job = start("vanishes")

    with pytest.raises(gristmill.JobNotFound, match=r"job\.json is missing"):
        job.wait(20)
    assert not job.resumable


def test_a_refused_job_raises_its_mistake(start: Start) -> None:
    job = start("refuses")

    with pytest.raises(gristmill.OutputExists, match=r"predictions\.csv exists"):
        job.wait(20)
    assert job.status is JobStatus.FAILED
    assert not job.resumable


def test_a_cancelled_job_says_so_and_can_be_resumed(start: Start, fakes: Any) -> None:
    job = start("waits")
    fakes.note("running")
    job.cancel()
    assert job.status in {JobStatus.CANCEL_REQUESTED, JobStatus.CANCELED}

    with pytest.raises(gristmill.JobCanceled):
        job.wait(20)
    assert job.status is JobStatus.CANCELED
    assert job.resumable


def test_cancel_after_the_end_changes_nothing(start: Start) -> None:
    job = start().wait(20)
    job.cancel()

    assert job.status is JobStatus.COMPLETED


def test_the_output_is_known_before_it_is_there(start: Start, folder: Path) -> None:
    job = start("waits", overrides=["settings.output_file_name=scores.csv"])

    assert job.output == str(folder / "out" / "scores.csv")
    assert job.folder == str(folder / "out" / ".gristmill" / job.name)
    assert Path(job.folder).is_dir()


def test_a_job_shows_itself_in_one_line(start: Start) -> None:
    job = start().wait(20)

    assert repr(job) == f"<gristmill.Job {job.name}: Completed, output {job.output}>"


def test_progress_goes_to_stderr_when_it_is_asked_for(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    job = start()
    job.wait(20, progress=True)
    captured = capsys.readouterr()

    assert captured.out == ""
    assert captured.err.startswith(f"{job.name}: started\n")
    assert "Completed after" in captured.err.splitlines()[-1]


def test_close_ends_the_jobs_processes(start: Start, fakes: Any) -> None:
    job = start("waits")
    fakes.note("running")
    job.close()

    assert fakes.left() == []
    assert job.gone(0)

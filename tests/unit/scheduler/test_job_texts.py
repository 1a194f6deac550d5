from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gristmill.spec import Deployment, Input, Job, Output
from gristmill_scheduler import job_texts
from gristmill_scheduler.job_texts import FIRST_ERRORS, JobTexts
from gristmill_storage import job_folder
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Snapshot
from gristmill_storage.memory_store import MemoryStore

ERROR = {"class": "InitFailed", "message": "init() failed: no", "detail": "Traceback\n  in init"}


def job(tmp_path: Path) -> Job:
    return Job(name="j", deployment=Deployment(), input=Input(uri="in"), output=Output(folder=str(tmp_path / "out")))


@pytest.fixture(params=["here", "elsewhere"])
def folder(request, tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "job")) if request.param == "here" else MemoryStore()


@pytest.fixture
def texts(tmp_path: Path, folder: Store) -> JobTexts:
    return JobTexts(job(tmp_path), folder)


def snapshot(done: int, *, closed: bool = True) -> Snapshot:
    return Snapshot(
        state="open", error=None, epoch="1", planned=1200, plan_closed=closed, items_planned=0, size_planned=0,
        done=done, leased=0, returned=0, cursor=0, items_done=0, succeeded=2 * done, failed=1, rows=0, size=0,
        failures={"timeout": 3}, losses=0, expiries=0, instances=[], parts=0, seconds_since_commit=0.0, fenced=0,
        status="", paused=False,
    )  # fmt: skip


def named(folder: Store, start: str) -> list[str]:
    return [entry.path for entry in folder.list("logs") if entry.path.startswith(start)]


def text(folder: Store, start: str) -> str:
    (path,) = named(folder, start)
    return folder.read(path).decode()


def summarized(folder: Store, **changes: Any) -> dict[str, Any]:
    document = {
        "items": {"total": 5, "succeeded": 3, "failed": 2},
        "rows": 3,
        "attempts": {"counted": 3, "retried": {"timeout": 1}},
        "errors_by_category": {"exception": 2},
        **changes,
    }
    folder.replace(job_folder.SUMMARY, json.dumps(document).encode())
    return {"status": "Failed", "error": ERROR, "summary": "there", "errors": f"{folder.url}/errors.jsonl"}


def test_the_readme_names_every_log_that_is_written(texts: JobTexts, folder: Store) -> None:
    texts.begin()

    readme = folder.read("logs/readme.txt").decode()
    for path in (job_folder.ATTEMPTS, job_folder.PROCESSES, job_folder.NODES, job_folder.ERROR_SUMMARY):
        assert path.removeprefix("logs/") in readme
    for name in ("job_progress_overview.", "job_result.", "job_error.", job_folder.INSTANCE_SUMS, "_main.txt"):
        assert name in readme


def test_progress_is_a_line_when_it_changed_not_more_often_than_due_and_at_the_end(texts, folder) -> None:
    texts.see(snapshot(0, closed=False))
    texts.see(snapshot(7))
    texts.end({"status": "Completed"})
    texts.end({"status": "Completed"})

    first, last = text(folder, "logs/job_progress_overview.").splitlines()
    assert "1,200 mini-batches created so far, 0 processed" in first
    assert "1,200 mini-batches created, 7 processed; 14 items succeeded, 1 failed; 3 attempts" in last


def test_progress_that_stands_still_is_no_line(texts, folder, monkeypatch) -> None:
    monkeypatch.setattr(job_texts, "LINE_SECONDS", 0.0)
    for done in (1, 1, 2, 2):
        texts.see(snapshot(done))

    assert len(text(folder, "logs/job_progress_overview.").splitlines()) == 2


def test_a_job_that_failed_says_why_in_two_places(texts: JobTexts, folder: Store) -> None:
    texts.end({"status": "Failed", "error": ERROR})

    assert "InitFailed: init() failed: no" in text(folder, "logs/job_result.")
    why = text(folder, "logs/job_error.")
    assert why.startswith("User program failed with Exception: Run failed.")
    assert "Traceback\n  in init" in why
    assert text(folder, "logs/user/job_error.") == why


def test_a_job_that_was_cancelled_has_no_error(texts: JobTexts, folder: Store) -> None:
    texts.end({"status": "Canceled", "error": {"class": "JobCanceled", "message": "job j was cancelled"}})

    assert "Job j: Canceled" in text(folder, "logs/job_result.")
    assert named(folder, "logs/job_error.") == named(folder, "logs/user/") == []


def test_a_scripts_errors_are_counted_and_the_first_ones_shown(texts: JobTexts, folder: Store) -> None:
    error = {"mini_batch": 1, "attempts": 2, "category": "exception", "message": "no", "traceback": "Traceback\n"}
    lines = [json.dumps({"file": f"{n}.txt", **error}) for n in range(FIRST_ERRORS + 5)]
    folder.replace(job_folder.ERRORS, "".join(f"{line}\n" for line in lines).encode())

    texts.end(summarized(folder))

    errors = folder.read(job_folder.ERROR_SUMMARY).decode()
    assert "exception 2" in errors
    assert "timeout 1" in errors
    assert "0.txt (mini-batch 1, 2 attempts): exception: no\nTraceback\n" in errors
    assert errors.count(".txt (mini-batch") == FIRST_ERRORS
    assert "items: total 5, succeeded 3, failed 2" in text(folder, "logs/job_result.")
    assert "attempts: counted 3, retried timeout 1" in text(folder, "logs/job_result.")


def test_errors_beside_the_output_are_read_there(tmp_path: Path, texts: JobTexts, folder: Store) -> None:
    line = {"file": None, "mini_batch": 1, "attempts": 2, "category": "crash", "message": "died", "traceback": ""}
    output = open_store(str(tmp_path / "out"))
    output.replace(job_folder.OUTPUT_ERRORS, (json.dumps(line) + "\n").encode())

    texts.end({**summarized(folder), "status": "Completed", "error": None, "output": "there"})

    assert "all items (mini-batch 1, 2 attempts): crash: died" in folder.read(job_folder.ERROR_SUMMARY).decode()


def test_a_job_without_errors_has_no_summary_of_them(texts: JobTexts, folder: Store) -> None:
    result = summarized(folder, errors_by_category={}, attempts={"counted": 3, "retried": {}})
    texts.end({**result, "status": "Completed", "error": None, "errors": None})

    assert not folder.exists(job_folder.ERROR_SUMMARY)


def test_a_folder_that_takes_no_logs_is_a_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "logs").write_text("in their way")
    texts = JobTexts(job(tmp_path), open_store(str(tmp_path)))

    texts.begin()
    texts.see(snapshot(1))
    texts.end({"status": "Failed", "error": ERROR})

    assert len(caplog.messages) == 3

"""`python -m gristmill_scheduler.wish`: what it says of a job, and what it notes."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gristmill.running import CLAIM
from gristmill_scheduler.admission import admit
from gristmill_scheduler.plan import Planner
from gristmill_scheduler.standing import Standing
from gristmill_scheduler.wish import main
from gristmill_scheduler.wishes import Wish, Wishes
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.parts import Block, PartWriter, part_name


@pytest.fixture(autouse=True)
def _no_server(monkeypatch) -> None:
    monkeypatch.delenv("GRISTMILL_REDIS_URL", raising=False)


@pytest.fixture
def job(make_job):
    return make_job(count=30)


@pytest.fixture
def folder(job) -> Store:
    return admit(job, environment={})


@pytest.fixture
def ask(folder, capsys) -> Callable[..., dict[str, Any]]:
    def call(*arguments: str) -> dict[str, Any]:
        assert main([*arguments, "--folder", folder.url]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return call


@contextmanager
def claimed(folder: Store) -> Iterator[None]:
    """Hold a job's lock, as a process that runs it does."""
    path = Path(folder.url) / CLAIM
    path.parent.mkdir(exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def plan_and_score(job: Any, folder: Store) -> None:
    """Write a plan of three mini-batches, and two parts that hold two of them, one twice."""
    ledger = MemoryLedger()
    ledger.open(job.name, epoch="1", lease_seconds=30, error_threshold=-1)
    planner = Planner(job, folder, ledger)
    planner._plan()
    for serial, blocks in enumerate([{0: 10, 1: 0}, {0: 2}], start=1):
        writer = PartWriter(folder, part_name("1", 0, "n", serial))
        for number, failed in blocks.items():
            block = Block(
                mini_batch=number,
                attempt=1,
                items=10,
                succeeded=10 - failed,
                failed=failed,
                rows=10 - failed,
                seconds=0.0,
            )
            writer.add(block, b"")
        writer.seal()


def test_a_job_of_a_cluster_that_cannot_be_asked_is_unknown(ask) -> None:
    found = ask("show")

    assert (found["status"], found["running"], found["wished"]) == ("Unknown", None, False)
    assert "GRISTMILL_REDIS_URL" in found["detail"]


def test_a_job_that_a_process_runs_is_running(ask, folder) -> None:
    with claimed(folder):
        assert ask("show")["status"] == "Running"
    assert ask("show")["status"] == "Interrupted"


def test_what_is_done_is_counted_once(ask, job, folder) -> None:
    plan_and_score(job, folder)
    found = ask("show")

    assert found["mini_batches"] == {"planned": 3, "plan_closed": True, "done": 2}
    assert found["items"] == {"succeeded": 18, "failed": 2}
    assert found["rows"] == 18


def test_wishes_are_noted_for_a_job_that_runs(ask, folder) -> None:
    with claimed(folder):
        assert ask("pause")["wished"]
        assert (ask("show")["status"], ask("show")["detail"]) == ("Running", "paused")
        assert ask("unpause")["detail"] == ""
        found = ask("cancel", "--keep-partial", "--by", "somebody")

    assert (found["status"], found["wished"]) == ("CancelRequested", True)
    assert Wishes(folder).look() == Wish(cancel=True, keep_partial=True, by="somebody")


@pytest.mark.parametrize("action", ["cancel", "pause", "unpause"])
def test_nothing_is_wished_of_a_job_that_has_ended(ask, folder, action) -> None:
    folder.create(job_folder.RESULT, b'{"status": "Failed", "error": {"message": "x"}}')
    found = ask(action)

    assert (found["status"], found["wished"]) == ("Failed", False)
    assert Wishes(folder).look() == Wish()


def test_nothing_is_wished_of_a_job_that_nobody_runs(ask, folder) -> None:
    with claimed(folder):
        pass

    assert not ask("cancel")["wished"]
    assert Wishes(folder).look() == Wish()


def test_the_end_is_waited_for(ask, folder) -> None:
    with claimed(folder):
        assert ask("cancel", "--wait", "0.3")["status"] == "CancelRequested"
        folder.create(job_folder.RESULT, b'{"status": "Canceled"}')
        assert ask("cancel", "--wait", "30")["status"] == "Canceled"


def test_a_completed_job_shows_its_summary_and_what_a_retry_would_be_called(ask, folder) -> None:
    folder.create(job_folder.RESULT, b'{"status": "Completed", "output": "/o"}')
    summary = {"items": {"total": 3, "succeeded": 2, "failed": 1}, "rows": 2, "mini_batches": {"total": 1}}
    folder.create(job_folder.SUMMARY, json.dumps(summary).encode())
    found = ask("show")

    assert (found["items"], found["rows"], found["output"]) == (summary["items"], 2, "/o")
    assert found["retry"] == {"name": "job-1-retry-1", "begun": False}


def test_a_retry_that_was_begun_is_gone_on_with(ask, folder) -> None:
    folder.create(job_folder.RESULT, b'{"status": "Completed"}')
    retries = [Path(folder.url).with_name(f"job-1-retry-{number}") for number in (1, 2)]
    for retry in retries:
        retry.mkdir()
        (retry / job_folder.SPEC).touch()
    (retries[0] / job_folder.RESULT).write_text('{"status": "Completed"}')
    assert ask("show")["retry"] == {"name": "job-1-retry-2", "begun": True}

    (retries[1] / job_folder.RESULT).write_text('{"status": "Completed"}')
    assert ask("show")["retry"] == {"name": "job-1-retry-3", "begun": False}


def test_where_there_is_no_job_the_answer_says_so(tmp_path, capsys) -> None:
    assert main(["show", "--folder", str(tmp_path)]) == 2
    assert json.loads(capsys.readouterr().out)["failed"]["class"] == "JobNotFound"


def test_a_ledger_says_whether_somebody_leads_and_is_left_as_it_was(job, folder) -> None:
    ledger = MemoryLedger()
    standing = Standing(job, folder, ledger)
    assert standing.led() is False
    assert standing.document()["status"] == "Interrupted"

    assert ledger.lead(job.name, leader="somebody", seconds=30)
    ledger.open(job.name, epoch="1", lease_seconds=30, error_threshold=-1)
    found = standing.document()

    assert standing.led() is True
    assert (found["status"], found["mini_batches"]["planned"]) == ("Running", 0)
    assert ledger.lead(job.name, leader="somebody", seconds=30)

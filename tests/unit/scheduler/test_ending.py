"""How a job's end is written down: a bad end never stands over a good one."""

from __future__ import annotations

import json

import pytest

from gristmill.errors import JobCanceled, LedgerFailed
from gristmill.spec import Deployment, Input, Job, Output
from gristmill_scheduler.ending import Ending
from gristmill_scheduler.job_texts import JobTexts
from gristmill_storage import job_folder
from gristmill_storage.memory_store import MemoryStore


@pytest.fixture
def folder() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def ending(folder: MemoryStore, queue) -> Ending:
    job = Job(name="j", deployment=Deployment(), input=Input(uri="in"), output=Output(folder="out"))
    return Ending(job, folder, queue=queue, tell=lambda *_: None, texts=JobTexts(job, folder))


def stands(folder: MemoryStore) -> str:
    return str(json.loads(folder.read(job_folder.RESULT))["status"])


def test_a_bad_end_is_written(ending: Ending, folder: MemoryStore) -> None:
    assert ending.write(LedgerFailed("gone"))["status"] == "Failed"
    assert stands(folder) == "Failed"
    assert ending.write(JobCanceled("no more"))["status"] == "Canceled"
    assert stands(folder) == "Canceled"


def test_a_good_end_that_the_aggregator_wrote_stays(ending: Ending, folder: MemoryStore) -> None:
    folder.create(job_folder.RESULT, json.dumps({"status": "Completed", "error": None}).encode())

    assert ending.write(LedgerFailed("gone"))["status"] == "Completed"
    assert stands(folder) == "Completed"


def test_the_end_of_a_cancelled_job_is_known_without_storage(ending: Ending) -> None:
    assert ending.result({"class": "JobCanceled", "message": "no more"})["status"] == "Canceled"
    assert ending.result({"class": "StorageFailed", "message": "full"})["status"] == "Failed"

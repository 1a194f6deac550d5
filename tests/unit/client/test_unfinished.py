from __future__ import annotations

import json
from pathlib import Path

import pytest

from gristmill import spec, unfinished
from gristmill.errors import JobNotFound
from gristmill.unfinished import find_complete, find_job, find_running


def begin(output: Path, name: str, submitted: float, status: str = "", retry_of: str = "") -> Path:
    job = spec.Job(
        name=name,
        deployment=spec.Deployment(),
        input=spec.Input(uri="/in"),
        output=spec.Output(folder=str(output)),
        submitted=submitted,
        retry_of=retry_of,
    )
    folder = output / ".gristmill" / name
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(spec.to_json(job)))
    if status:
        (folder / "result.json").write_text(json.dumps({"status": status}))
    return folder


def test_a_jobs_own_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = begin(tmp_path, "a", 1)
    address, job = find_job(str(folder))

    assert address == str(folder)
    assert job is not None
    assert job.name == "a"


def test_of_an_output_folder_the_last_unfinished_job_is_meant(tmp_path: Path) -> None:
    begin(tmp_path, "z-old", 1, "Failed")
    begin(tmp_path, "new", 3, "Canceled")
    begin(tmp_path, "mid", 2)
    begin(tmp_path, "done", 4, "Completed")
    address, job = find_job(str(tmp_path))

    assert address == str(tmp_path / ".gristmill" / "new")
    assert job is not None
    assert job.name == "new"


def test_where_no_job_was_begun_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(JobNotFound, match="no job was begun there"):
        find_job(str(tmp_path))


def test_complete_jobs_are_not_resumed(tmp_path: Path) -> None:
    begin(tmp_path, "done", 1, "Completed")

    with pytest.raises(JobNotFound, match="nothing to resume"):
        find_job(str(tmp_path))


def test_of_an_output_folder_the_job_that_runs_is_meant(tmp_path: Path) -> None:
    begin(tmp_path, "runs", 1)
    begin(tmp_path, "done", 2, "Completed")

    assert find_running(str(tmp_path))[0] == str(tmp_path / ".gristmill" / "runs")


def test_where_none_runs_the_last_one_is_meant(tmp_path: Path) -> None:
    begin(tmp_path, "failed", 1, "Failed")
    begin(tmp_path, "done", 2, "Completed")

    assert find_running(str(tmp_path))[0] == str(tmp_path / ".gristmill" / "done")


def test_jobs_that_tried_failed_items_again_stand_for_the_other_one(tmp_path: Path) -> None:
    first = begin(tmp_path, "j", 1, "Completed")
    retry = begin(tmp_path, "j-retry-1", 2, "Failed", retry_of="j")

    for path in (tmp_path, first, retry):
        address, job = find_complete(str(path))
        assert address == str(first)
        assert job is not None
        assert job.name == "j"
    assert find_job(str(tmp_path))[0] == str(retry)


def test_a_damaged_job_is_named(tmp_path: Path) -> None:
    folder = begin(tmp_path, "a", 1)
    (folder / "job.json").write_text("{")

    with pytest.raises(JobNotFound, match=r"job\.json: cannot be read"):
        find_job(str(tmp_path))


def test_a_job_elsewhere_is_left_to_the_scheduler() -> None:
    assert find_job("s3://b/out/.gristmill/a/") == ("s3://b/out/.gristmill/a", None)


def test_the_files_names_are_those_of_every_other_part() -> None:
    from gristmill_storage import job_folder

    assert (unfinished.HIDDEN, unfinished.SPEC, unfinished.RESULT) == (
        job_folder.HIDDEN,
        job_folder.SPEC,
        job_folder.RESULT,
    )


def test_retries_without_the_job_that_they_are_of_are_told_with_what_to_do(tmp_path: Path) -> None:
    begin(tmp_path, "j-retry-1", 2, "Failed", retry_of="j")

    with pytest.raises(JobNotFound, match="tried failed items again; run the job anew"):
        find_complete(str(tmp_path))

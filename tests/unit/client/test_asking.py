"""The real processes that are asked, on folders that hold no job or a small one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gristmill
from gristmill import asking, spec
from gristmill.errors import GristmillError, JobNotFound


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRISTMILL_REDIS_URL", raising=False)


def begin(output: Path, status: str) -> Path:
    job = spec.Job(
        name="j",
        deployment=spec.Deployment(),
        input=spec.Input(uri="/in"),
        output=spec.Output(folder=str(output)),
        submitted=1.0,
    )
    folder = output / ".gristmill" / "j"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(spec.to_json(job)))
    (folder / "result.json").write_text(json.dumps({"status": status}))
    return folder


def test_where_a_job_stands(tmp_path: Path) -> None:
    standing = asking.ask("show", str(begin(tmp_path, "Failed")))

    assert (standing["name"], standing["status"], standing["wished"]) == ("j", "Failed", False)


def test_where_there_is_no_job_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(JobNotFound, match="no job was begun there"):
        asking.ask("show", str(tmp_path))
    with pytest.raises(JobNotFound):
        asking.verify(str(tmp_path))


def test_a_process_that_cannot_be_asked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_WISH", "gristmill_scheduler.nothing")

    with pytest.raises(GristmillError, match=r"gristmill_scheduler\.nothing"):
        asking.ask("show", str(tmp_path))


def test_only_completed_jobs_have_failed_items_to_try_again(tmp_path: Path) -> None:
    begin(tmp_path, "Failed")

    with pytest.raises(gristmill.Mistake, match=r"job j is not complete \(Failed\).*gristmill job resume"):
        gristmill.retry_failed(tmp_path)


def test_where_nothing_failed_there_is_nothing_to_try_again(tmp_path: Path) -> None:
    folder = begin(tmp_path, "Completed")
    (folder / "summary.json").write_text(json.dumps({"items": {"total": 1, "succeeded": 1, "failed": 0}}))

    with pytest.raises(gristmill.Mistake, match="no item failed"):
        gristmill.retry_failed(tmp_path)


def test_verify_tells_what_is_wrong(tmp_path: Path) -> None:
    begin(tmp_path, "Completed")
    found = gristmill.verify(tmp_path)

    assert found["ok"] is False
    assert found["faults"]

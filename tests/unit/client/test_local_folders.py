from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.errors import Mistake
from gristmill.local import folders
from gristmill.local.folders import Folders
from gristmill.running import CLAIM


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_CLAIM_SECONDS", 0.0)


def make(job: Path | None) -> Folders:
    return Folders(job, scratch=None)


def test_the_servers_memory_lies_in_the_private_folder(tmp_path: Path) -> None:
    found = make(tmp_path / "job")

    assert found.state.parent == found.runtime.folder
    found.close(keep_job=True, keep_claim=True)
    assert not found.state.exists()


def test_a_job_elsewhere_has_all_in_a_private_folder(tmp_path: Path) -> None:
    found = make(None)

    assert found.logs == found.runtime.folder
    found.close(keep_job=True, keep_claim=True)
    assert not found.runtime.folder.exists()


def test_what_tells_that_nobody_runs_it_stays(tmp_path: Path) -> None:
    found = make(tmp_path / "out" / ".gristmill" / "job")
    found.close(keep_job=True, keep_claim=True)

    assert (found.job / CLAIM).exists()
    assert found.logs.is_dir()


def test_the_lock_alone_goes_after_success(tmp_path: Path) -> None:
    found = make(tmp_path / "job")
    found.close(keep_job=True, keep_claim=False)

    assert [path.name for path in found.job.iterdir()] == ["logs"]
    assert found.logs.is_dir()


def test_what_was_made_for_a_refused_job_goes(tmp_path: Path) -> None:
    found = make(tmp_path / "a" / "b" / ".gristmill" / "job")
    (found.logs / "node.log").touch()
    found.close(keep_job=False, keep_claim=False)

    assert list(tmp_path.iterdir()) == []


def test_a_job_that_came_to_be_is_never_taken_away(tmp_path: Path) -> None:
    found = make(tmp_path / "job")
    (tmp_path / "job" / "job.json").touch()
    found.close(keep_job=False, keep_claim=False)

    assert (tmp_path / "job" / "job.json").exists()


def test_a_resume_that_was_refused_takes_only_its_own_away(tmp_path: Path) -> None:
    job = tmp_path / "job"
    (job / "parts").mkdir(parents=True)
    (job / "job.json").touch()
    make(job).close(keep_job=False, keep_claim=False)

    assert sorted(path.name for path in job.iterdir()) == ["job.json", "parts"]


def test_a_job_has_one_owner_at_a_time(tmp_path: Path) -> None:
    first = make(tmp_path / "job")
    with pytest.raises(Mistake, match="job job: another process is running it"):
        make(tmp_path / "job")
    first.close(keep_job=True, keep_claim=True)
    make(tmp_path / "job").close(keep_job=True, keep_claim=True)


def test_a_claim_that_failed_leaves_the_owners_folders(tmp_path: Path) -> None:
    first = make(tmp_path / "job")
    with pytest.raises(Mistake):
        make(tmp_path / "job")

    assert (first.job / CLAIM).exists()
    assert first.logs.is_dir()
    first.close(keep_job=False, keep_claim=False)

from __future__ import annotations

import shutil
from pathlib import Path

from gristmill.local.folders import Folders
from gristmill.running import is_claimed


def test_a_job_is_claimed_as_long_as_its_folders_are_held(tmp_path: Path) -> None:
    job = tmp_path / "out" / ".gristmill" / "j"
    folders = Folders(job, scratch=tmp_path)
    try:
        assert is_claimed(job) is True
    finally:
        folders.close(keep_job=True, keep_claim=True)

    assert is_claimed(job) is False


def test_looking_claims_nothing(tmp_path: Path) -> None:
    job = tmp_path / "out" / ".gristmill" / "j"
    Folders(job, scratch=tmp_path).close(keep_job=True, keep_claim=True)
    (job / "job.json").touch()
    is_claimed(job)

    Folders(job, scratch=tmp_path).close(keep_job=True, keep_claim=True)


def test_what_no_process_ever_ran_by_itself_is_not_known(tmp_path: Path) -> None:
    assert is_claimed(tmp_path) is None
    shutil.rmtree(tmp_path)
    assert is_claimed(tmp_path) is None

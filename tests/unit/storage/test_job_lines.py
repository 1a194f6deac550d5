from __future__ import annotations

import logging
import uuid
from pathlib import Path

import pytest

from gristmill.log_context import about, ids
from gristmill_storage import job_lines
from gristmill_storage.files import open_store
from gristmill_storage.job_lines import kept

log = logging.getLogger("gristmill.test")

PATHS = {"logs/sys/master_role.txt": logging.INFO, "logs/sys/error/scheduler.txt": logging.WARNING}


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def messages(path: Path) -> list[str]:
    return [line.split(" ", 3)[3] for line in path.read_text().splitlines()]


def test_lines_about_a_job_are_in_its_logs_by_their_level(tmp_path: Path) -> None:
    with about(job="left"), kept(open_store(str(tmp_path)), PATHS):
        log.info("well")
        log.warning("ill")
        log.info("of another", extra=ids(job="right"))
        log.warning("of a script", extra=ids(job="left", mini_batch=3))
        logging.getLogger("celery").warning("of a library")
    with about(job="left"):
        log.warning("later")

    assert messages(tmp_path / "logs/sys/master_role.txt") == ["well", "ill"]
    assert messages(tmp_path / "logs/sys/error/scheduler.txt") == ["ill"]


def test_where_nothing_went_wrong_there_is_no_file_of_it(tmp_path: Path) -> None:
    with about(job="left"), kept(open_store(str(tmp_path)), PATHS):
        log.info("well")

    assert not (tmp_path / "logs/sys/error").exists()


def test_elsewhere_lines_are_gathered_and_the_next_scheduler_adds_to_them() -> None:
    folder = open_store(f"memory://{uuid.uuid4().hex}/job")
    for number in range(2):
        with about(job="left"), kept(folder, PATHS) as write:
            log.info("first %d", number)
            write()
            log.info("second %d", number)
            before = folder.exists("logs/sys/master_role.txt")
            assert before is (number > 0)

    lines = folder.read("logs/sys/master_role.txt").decode().splitlines()
    assert [line[-8:] for line in lines] == [" first 0", "second 0", " first 1", "second 1"]


def test_elsewhere_lines_are_written_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_lines, "GATHER_SECONDS", 0)
    folder = open_store(f"memory://{uuid.uuid4().hex}/job")
    with about(job="left"), kept(folder, PATHS) as write:
        log.info("first")
        assert not folder.exists("logs/sys/master_role.txt")
        write()
        assert folder.read("logs/sys/master_role.txt").endswith(b" INFO first\n")


def test_a_long_log_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_lines, "MOST_BYTES", 1000)
    with about(job="left"), kept(open_store(str(tmp_path)), PATHS):
        for number in range(1000):
            log.info("line %d", number)

    lines = (tmp_path / "logs/sys/master_role.txt").read_text().splitlines()
    assert len(lines) < 40
    assert lines[-1] == "further lines are left out"


def test_a_log_that_cannot_be_written_hurts_nobody_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("in the way of the folder")
    with about(job="left"), kept(open_store(str(tmp_path)), {"logs/sys/master_role.txt": logging.INFO}):
        log.info("first")
        log.info("second")

    assert len([record for record in caplog.records if "are dropped" in record.message]) == 1

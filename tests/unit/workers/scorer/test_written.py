from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from gristmill_workers.scorer.written import WrittenFiles


@pytest.fixture
def files(tmp_path: Path) -> WrittenFiles:
    (tmp_path / "out").mkdir()
    return WrittenFiles(str(tmp_path / "out"), str(tmp_path / "staging"))


def test_a_folder_that_is_gone_holds_nothing(tmp_path: Path, files: WrittenFiles) -> None:
    (tmp_path / "out").rmdir()

    assert files.take("1-1") == files.take_last() == []
    files.discard()


def test_files_of_init_stay_until_the_end(
    tmp_path: Path, files: WrittenFiles, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out" / "long.log").touch()
    files.keep()
    (tmp_path / "out" / "own").touch()
    files.discard()

    assert "long.log" in caplog.text
    assert files.take("1-1") == []
    assert files.take_last() == ["long.log"]
    assert [path.name for path in (tmp_path / "staging").rglob("*")] == ["stop", "long.log"]


def test_another_file_system_is_reached_by_copying(
    tmp_path: Path, files: WrittenFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_device(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "replace", other_device)
    (tmp_path / "out" / "a").write_text("x")

    assert files.take("1-2") == ["a"]
    assert (tmp_path / "staging" / "1-2" / "a").read_text() == "x"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_cannot_be_moved_is_an_error(
    tmp_path: Path, files: WrittenFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    (tmp_path / "out" / "a").touch()

    with pytest.raises(OSError, match="No space left"):
        files.take("1-1")


def test_pipes_and_links_are_left_out(tmp_path: Path, files: WrittenFiles, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "out" / "pipe")
    (tmp_path / "out" / "folder").symlink_to("/")

    assert files.take("1-1") == files.take("2-1") == []
    assert [record.getMessage().split()[1] for record in caplog.records] == ["folder", "pipe"] or len(
        caplog.records
    ) == 2


def test_a_change_in_a_folder_that_has_long_been_quiet_is_seen(tmp_path: Path, files: WrittenFiles) -> None:
    os.utime(tmp_path / "out", (1, 1))
    assert files.take("1-1") == []
    (tmp_path / "out" / "a").touch()

    assert files.take("2-1") == ["a"]
    assert files.take("3-1") == []


def test_a_folder_that_stays_empty_is_looked_into_once(
    tmp_path: Path, files: WrittenFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: looks.append(path) or listdir(path))

    for number in range(5):
        assert files.take(f"{number}-1") == []
    assert len(looks) == 1

    (tmp_path / "out" / "a").touch()
    assert files.take("5-1") == ["a"]


@pytest.mark.parametrize("away", ["deleted", "moved"])
def test_a_folder_that_was_made_anew_is_looked_into(tmp_path: Path, files: WrittenFiles, away: str) -> None:
    assert files.take("1-1") == files.take("2-1") == []
    before = (tmp_path / "out").stat().st_ctime_ns
    if away == "deleted":
        (tmp_path / "out").rmdir()
    else:
        while time.time_ns() - before < 50_000_000:  # what is moved at once may bear the same time of change
            time.sleep(0.01)
        (tmp_path / "out").rename(tmp_path / "elsewhere")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").touch()

    assert files.take("3-1") == ["a"]
    assert files.take("4-1") == []


def test_a_script_may_close_the_folder_and_have_its_number(tmp_path: Path, files: WrittenFiles) -> None:
    assert files.take("1-1") == []
    (tmp_path / "own").mkdir()
    own = os.open(tmp_path / "own", os.O_RDONLY)
    number = files._descriptor
    os.dup2(own, number)
    os.close(own)
    (tmp_path / "out" / "a").touch()

    assert files.take("2-1") == ["a"]
    assert os.path.samestat(os.fstat(number), (tmp_path / "own").stat())
    assert files.take("3-1") == []
    os.close(number)


def test_one_descriptor_is_held_however_often_the_folder_is_looked_into(tmp_path: Path, files: WrittenFiles) -> None:
    assert files.take("1-1") == []
    number = files._descriptor

    for attempt in range(5):
        (tmp_path / "out" / "a").touch()
        assert files.take(f"{attempt}-1") == ["a"]
        assert files.take(f"{attempt}-2") == []
        assert files._descriptor == number

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gristmill_storage import local_writer, log_files
from gristmill_storage.files import Store, open_store
from gristmill_storage.local_writer import TEMPORARY
from gristmill_storage.memory_store import MemoryStore


@pytest.fixture(params=["here", "elsewhere"])
def folder(request, tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "job")) if request.param == "here" else MemoryStore()


def test_a_file_grows_where_it_can_and_is_written_anew_elsewhere(folder: Store) -> None:
    log_files.append(folder, "logs/a.txt", b"one\n")
    log_files.append(folder, "logs/a.txt", b"two\n")

    assert folder.read("logs/a.txt") == b"one\ntwo\n"


def test_a_file_takes_another_ones_place_and_leaves_nothing_beside_it(folder: Store) -> None:
    log_files.put(folder, "logs/a.txt", [b"a much longer one\n"])
    log_files.put(folder, "logs/a.txt", [b"x" * log_files.BLOCK, b"y\n"])

    assert folder.read("logs/a.txt") == b"x" * log_files.BLOCK + b"y\n"
    assert [entry.path for entry in folder.list("logs")] == ["logs/a.txt"]


def test_a_file_that_cannot_be_made_whole_leaves_the_old_one(folder: Store) -> None:
    def torn():
        yield b"half of"
        raise ValueError("torn")

    log_files.put(folder, "logs/a.txt", [b"old\n"])
    with pytest.raises(ValueError, match="torn"):
        log_files.put(folder, "logs/a.txt", torn())

    assert folder.read("logs/a.txt") == b"old\n"
    assert [entry.path for entry in folder.list("logs")] == ["logs/a.txt"]


def test_a_torn_last_line_is_left_out(folder: Store) -> None:
    log_files.put(folder, "a", [b"one\ntwo\nthr"])

    assert list(log_files.lines(folder, "a")) == [b"one\n", b"two\n"]


def test_a_file_that_is_not_there_has_no_lines(folder: Store, caplog) -> None:
    assert list(log_files.lines(folder, "none")) == []
    assert "cannot be read" in caplog.text


def test_a_file_of_this_machine_is_copied(folder: Store, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"rows\n")

    log_files.copy(folder, "logs/a.csv", tmp_path / "source")

    assert folder.read("logs/a.csv") == b"rows\n"


def test_what_cannot_be_logged_is_said_and_harms_nobody(caplog) -> None:
    with log_files.harmless("the readme"):
        raise RuntimeError("the disk is on fire")

    assert caplog.messages == ["the readme could not be written: the disk is on fire"]


def test_what_a_killed_writer_left_is_swept_away_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / f"{TEMPORARY}{'0' * 24}"
    left.touch()
    descriptor, written = local_writer.hidden_file(str(tmp_path))

    log_files.put_local(tmp_path / "a.csv", [b"x", b"y"])

    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", Path(written).name}
    assert (tmp_path / "a.csv").read_bytes() == b"xy"
    os.close(descriptor)

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.local import runtime
from gristmill.local.runtime import Runtime


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let every folder count as old, and those of sockets be made where nobody else's are."""
    monkeypatch.setattr(runtime, "_YOUNG_SECONDS", -1.0)
    with tempfile.TemporaryDirectory(prefix="gm") as folder:
        monkeypatch.setattr(runtime, "_SHORT_BASE", Path(folder))
        yield Path(folder)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A folder too deep for a socket."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    return folder


def abandon(base: Path) -> Path:
    """Leave a run's folder as a killed owner does."""
    run = Runtime(base)
    (run.folder / "model").mkdir()
    let_go(run)
    return run.folder


def let_go(run: Runtime) -> None:
    for lock in run.locks:
        os.close(lock)


def test_the_folder_is_private_and_goes_with_the_run(tmp_path: Path) -> None:
    run = Runtime(tmp_path)

    assert run.folder.stat().st_mode & 0o777 == 0o700
    run.close()
    assert list(tmp_path.iterdir()) == []


def test_a_sockets_path_is_short_wherever_the_folder_is(long: Path, short: Path) -> None:
    run = Runtime(long)

    assert run.folder.parent == long
    assert run.socket.parent.parent == short
    assert len(os.fsencode(run.socket)) <= 100
    assert run.socket.parent.stat().st_mode & 0o777 == 0o700
    run.close()
    assert not run.socket.parent.exists()


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    left = abandon(tmp_path)
    run = Runtime(tmp_path)

    assert not left.exists()
    run.close()


def test_the_folder_of_a_killed_runs_socket_goes_with_a_later_run_that_needs_one(long: Path, short: Path) -> None:
    abandon(long)
    (left,) = short.iterdir()
    run = Runtime(long)

    assert list(short.iterdir()) == [run.socket.parent] != [left]
    run.close()


def test_an_empty_folder_without_a_lock_goes_when_it_is_old_and_one_with_a_socket_does_not(tmp_path: Path) -> None:
    empty, used, young = (tmp_path / f"gristmill-{letter * 8}" for letter in "abc")
    for folder in (empty, used, young):
        folder.mkdir()
    (used / "redis.sock").touch()
    for folder in (empty, used):
        os.utime(folder, (0, 0))
    Runtime(tmp_path).close()

    assert [folder.exists() for folder in (empty, used, young)] == [False, True, True]


def test_a_run_that_lives_is_left_alone(long: Path) -> None:
    first, second = Runtime(long), Runtime(long)

    assert first.folder.exists()
    assert first.socket.parent.exists()
    first.close()
    second.close()


def test_a_run_whose_server_or_node_lives_is_left_alone(tmp_path: Path) -> None:
    run = Runtime(tmp_path)
    inherited = os.dup(run.locks[0])
    let_go(run)
    Runtime(tmp_path).close()

    assert run.folder.exists()
    os.close(inherited)
    Runtime(tmp_path).close()
    assert not run.folder.exists()


def test_a_young_folder_may_not_be_locked_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_YOUNG_SECONDS", 60.0)
    left = abandon(tmp_path)
    Runtime(tmp_path).close()

    assert left.exists()


@pytest.mark.parametrize("name", ["gristmill-mine", "other-abcdefgh", "gristmill-abcdefgh"])
def test_what_is_no_runs_folder_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    Runtime(tmp_path).close()

    assert (tmp_path / name).is_dir()

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gristmill.local import runtime
from gristmill.local.runtime import Runtime


@pytest.fixture(autouse=True)
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every folder count as old."""
    monkeypatch.setattr(runtime, "_YOUNG_SECONDS", -1.0)


def abandon(base: Path) -> Path:
    """Leave a run's folder as a killed owner does."""
    run = Runtime(base)
    (run.folder / "model").mkdir()
    os.close(run.lock)
    return run.folder


def test_the_folder_is_private_and_goes_with_the_run(tmp_path: Path) -> None:
    run = Runtime(tmp_path)

    assert run.folder.stat().st_mode & 0o777 == 0o700
    run.close()
    assert list(tmp_path.iterdir()) == []


def test_a_sockets_path_is_short_wherever_the_folder_is(tmp_path: Path) -> None:
    scratch = tmp_path / ("x" * 100)
    scratch.mkdir()
    run = Runtime(scratch)

    assert run.folder.parent == scratch
    assert len(os.fsencode(run.socket)) <= 100
    assert run.socket.parent.stat().st_mode & 0o777 == 0o700
    run.close()
    assert not run.socket.parent.exists()


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    left = abandon(tmp_path)
    run = Runtime(tmp_path)

    assert not left.exists()
    run.close()


def test_a_run_that_lives_is_left_alone(tmp_path: Path) -> None:
    first, second = Runtime(tmp_path), Runtime(tmp_path)

    assert first.folder.exists()
    first.close()
    second.close()


def test_a_run_whose_server_or_node_lives_is_left_alone(tmp_path: Path) -> None:
    run = Runtime(tmp_path)
    inherited = os.dup(run.lock)
    os.close(run.lock)
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

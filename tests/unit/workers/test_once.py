from __future__ import annotations

import threading
import time

import pytest

from gristmill.errors import EnvironmentFailed
from gristmill_workers.once import locked


def test_a_lock_that_is_free_is_taken_at_once_and_again(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "a" / "b.lock", seconds=1, waiting=pytest.fail):
            pass


def test_whoever_comes_second_waits_and_says_so_once(tmp_path):
    path, said, order = tmp_path / "x.lock", [], []
    taken, ended = threading.Event(), threading.Event()

    def first() -> None:
        with locked(path, seconds=5, waiting=pytest.fail):
            taken.set()
            ended.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    taken.wait(10)
    with locked(path, seconds=10, waiting=lambda: (said.append("waiting"), ended.set())):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert said == ["waiting"]


def test_waiting_ends_with_an_error(tmp_path):
    path = tmp_path / "x.lock"
    with locked(path, seconds=1, waiting=pytest.fail):
        began = time.monotonic()
        with (
            pytest.raises(EnvironmentFailed, match="another process has held this lock"),
            locked(path, seconds=0.1, waiting=lambda: None),
        ):
            pytest.fail("two held it")
    assert time.monotonic() - began < 5


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EnvironmentFailed, match=r"cache folder must be writable .GRISTMILL_CACHE"),
        locked(tmp_path / "file" / "x.lock", seconds=1, waiting=pytest.fail),
    ):
        pytest.fail("it was made")

"""Stores are asked once whether they keep create-if-absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.errors import Mistake
from gristmill_scheduler import exclusion
from gristmill_scheduler.exclusion import Exclusion


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of stores that were asked."""
    found: list[str] = []

    def excludes(store, path: str) -> bool:
        found.append(store.url)
        return "careless" not in store.url

    monkeypatch.setattr(exclusion, "excludes", excludes)
    return found


def test_a_store_is_asked_once(asked: list[str]) -> None:
    stores = Exclusion("memory://workspace/folder")
    for folder in ("memory://box/a", "memory://box/b", "memory://other", "memory://workspace/x"):
        stores.check(folder)

    assert asked == ["memory://box/a", "memory://other"]


def test_a_store_that_ignores_conditions_is_refused_each_time(asked: list[str]) -> None:
    stores = Exclusion()
    for _ in range(2):
        with pytest.raises(Mistake, match=r"output: memory://careless/out: its store ignores create-if-absent"):
            stores.check("memory://careless/out")
    assert len(asked) == 2


def test_folders_of_this_machine_are_not_asked(asked: list[str], tmp_path: Path) -> None:
    Exclusion().check(str(tmp_path))
    assert asked == []

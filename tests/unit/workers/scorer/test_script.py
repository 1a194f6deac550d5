from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gristmill_workers.scorer import script
from gristmill_workers.scorer.start import Start


def plain(batch: Any) -> Any: ...
def context(batch: Any, mini_batch_context: Any) -> Any: ...
def any_name(batch: Any, second: Any) -> Any: ...
def with_default(batch: Any, threshold: float = 0.5) -> Any: ...
def context_by_default(batch: Any, mini_batch_context: Any = None) -> Any: ...
def stars(*batches: Any, **more: Any) -> Any: ...
def keyword_only(batch: Any, *, threshold: float = 0.5) -> Any: ...


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (plain, False), (context, True), (any_name, True), (with_default, False), (context_by_default, True),
        (stars, False), (keyword_only, False), (len, False), (dict, False),
    ],
)  # fmt: skip
def test_a_context_is_given_to_those_who_take_one(run: Any, expected: bool) -> None:
    assert script.takes_context(run) is expected


def test_the_context_shows_its_mini_batch() -> None:
    assert repr(script.MiniBatchContext(3)) == "MiniBatchContext(minibatch_index=3)"


def start(tmp_path: Path, **more: Any) -> Start:
    return Start(kind="script", root="/in", output_dir="", staging_dir="", working_dir="", code=str(tmp_path), **more)


def test_users_folders_come_first_and_take_over_loaded_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "taken.py").touch()
    (tmp_path / "src" / "package").mkdir()
    (tmp_path / "src" / "package" / "__init__.py").touch()
    (tmp_path / "folder").mkdir()
    names = ["taken", "taken.part", "package", "folder", "takenlike", "bare"]
    (tmp_path / "bare.py").touch()
    monkeypatch.setattr(sys, "path", ["/old"])
    monkeypatch.setattr(sys, "modules", {**sys.modules, **dict.fromkeys(names, sys)})

    script.open_import_path(start(tmp_path, script="src/score.py"), {"bare"})

    assert sys.path == [str(tmp_path / "src"), str(tmp_path), "/old"]
    assert [name for name in names if name in sys.modules] == ["folder", "takenlike", "bare"]


def test_no_code_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/old"])

    script.open_import_path(Start(kind="mlflow", root="", output_dir="", staging_dir="", working_dir=""), set())

    assert sys.path == ["/old"]


def test_run_before_load_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(script.ScriptProblem):
        script.Script(start(tmp_path, script="score.py"), set()).run([], 0)


def test_a_script_without_shutdown_needs_none(tmp_path: Path) -> None:
    script.Script(start(tmp_path, script="score.py"), set()).shutdown()

"""What MLflow would warn of is known without it, or left to it."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import pytest

from gristmill_workers.scorer.installed import as_saved

OURS = ".".join(platform.python_version_tuple()[:2])
HERE = f"pandas=={metadata.version('pandas')}"


def model(folder: Path, requirements: str | None, python: str | None = f"{OURS}.1") -> str:
    version = "" if python is None else f"    python_version: {python}\n"
    (folder / "MLmodel").write_text(f"flavors:\n  python_function:\n    loader_module: some\n{version}")
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements)
    return str(folder)


@pytest.mark.parametrize("requirements", [None, "", f"{HERE}\n\nmlflow=={mlflow.__version__}\n"])
def test_a_model_that_was_saved_with_what_is_here_is_known(tmp_path: Path, requirements: str | None) -> None:
    assert as_saved(model(tmp_path, requirements), mlflow)


@pytest.mark.parametrize(
    "line",
    [
        "pandas==0.1",
        "mlflow==0.1",
        "no-such-package==1.0",
        "pandas>=1",
        "pandas==1.*",
        f"{HERE}; python_version > '3'",
        HERE.replace("==", "[sql]=="),
        "-r other.txt",
        "# nothing",
    ],
)
def test_what_is_not_plainly_the_same_is_left_to_mlflow(tmp_path: Path, line: str) -> None:
    assert not as_saved(model(tmp_path, f"{HERE}\n{line}\n"), mlflow)


@pytest.mark.parametrize("python", [None, "2.7.18", "three"])
def test_another_python_or_none_that_is_known_is_left_to_mlflow(tmp_path: Path, python: str | None) -> None:
    assert not as_saved(model(tmp_path, HERE, python), mlflow)


def test_a_folder_that_cannot_be_read_is_left_to_mlflow(tmp_path: Path) -> None:
    assert not as_saved(str(tmp_path), mlflow)
    (tmp_path / "MLmodel").write_bytes(b"\xff")
    assert not as_saved(str(tmp_path), mlflow)


@pytest.mark.parametrize(("pin", "warned"), [(HERE, False), ("pandas==0.1", True)])
def test_mlflow_warns_of_what_a_model_lacks_and_is_not_asked_where_it_lacks_nothing(
    bench: Callable[..., Any], load: Callable[..., Any], tmp_path: Path, pin: str, *, warned: bool
) -> None:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    bench(lambda _model, table: table)
    (tmp_path / "model" / "requirements.txt").write_text(pin)
    logging.getLogger("mlflow").addHandler(handler)
    try:
        load(tmp_path / "model")
    finally:
        logging.getLogger("mlflow").removeHandler(handler)

    assert any("mismatches" in text for text in said) == warned

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import Fault, InvalidDocument

SCRIPT = "def init(): ...\n\n\ndef run(mini_batch):\n    return mini_batch\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a script, a model, an MLflow model, an environment's files and some data."""
    for name in ("code", "model", "mlflow", "environment", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "code" / "batch_driver.py").write_text(SCRIPT)
    (tmp_path / "model" / "model.pt").write_bytes(b"weights")
    (tmp_path / "mlflow" / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "environment" / "conda.yaml").write_text("dependencies:\n  - python=3.11\n")
    (tmp_path / "environment" / "requirements.txt").write_text("torch==2.2  # new\nnumpy\n")
    (tmp_path / "data" / "a.csv").write_text("1\n")
    return tmp_path


@pytest.fixture
def write(place: Path) -> Callable[[str], Path]:
    """Write a YAML file into the folder."""

    def call(text: str) -> Path:
        path = place / "file.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return call


@pytest.fixture
def refused(write: Callable[[str], Path]) -> Callable[..., tuple[Fault, ...]]:
    """Return the faults for which a reader refuses a YAML text."""

    def call(reader: Callable[..., Any], text: str, **options: Any) -> tuple[Fault, ...]:
        with pytest.raises(InvalidDocument) as caught:
            reader(write(text), **options)
        return caught.value.faults

    return call

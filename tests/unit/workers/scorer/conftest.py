"""Real MLflow models, saved and loaded for one test, and folders of real files for them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gristmill_workers.scorer.nocode import NoCodeScorer
from gristmill_workers.scorer.numbered import table


@dataclass(frozen=True)
class Outcome:
    """What scoring one mini-batch came to."""

    frame: pd.DataFrame
    frames: list[pd.DataFrame]
    succeeded: int
    errors: list[dict[str, Any]]

    @property
    def messages(self) -> list[str]:
        return [error["message"] for error in self.errors]


@dataclass(frozen=True)
class Bench:
    """A loaded model beside a folder of inputs."""

    scorer: NoCodeScorer
    root: Path

    def score(self, *items: str) -> Outcome:
        scored = self.scorer.score(list(items), str(self.root))
        frames = list(map(table, scored.rows))
        frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        return Outcome(frame, frames, scored.succeeded, scored.errors)

    def csv(self, name: str, text: str) -> str:
        return self.file(name, text.encode())

    def file(self, name: str, content: bytes) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def image(self, name: str, array: np.ndarray | Image.Image, **options: Any) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(path, **options)
        return name


def save_function(folder: Path, predict: Callable[..., Any], inputs: list[Any] | None) -> None:
    """Save a model whose predict is `predict(model, model_input)`."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        import mlflow.pyfunc
        from mlflow.models.signature import ModelSignature
        from mlflow.types.schema import Schema

        class Model(mlflow.pyfunc.PythonModel):
            calls = 0

            def predict(self, context, model_input, params=None):
                self.calls += 1
                return predict(self, model_input)

        signature = ModelSignature(inputs=Schema(inputs)) if inputs is not None else None
        mlflow.pyfunc.save_model(folder, python_model=Model(), signature=signature, pip_requirements=[])


@pytest.fixture
def logger() -> logging.Logger:
    return logging.getLogger("test.nocode")


@pytest.fixture
def load(tmp_path: Path, logger: logging.Logger) -> Callable[..., Bench]:
    """Load a saved model; `settings` are NoCodeScorer's."""

    def load_(folder: Path, **settings: Any) -> Bench:
        root = tmp_path / "input"
        root.mkdir(exist_ok=True)
        model = {"path": str(folder), "predict_per": "file", "rows_per_predict": None, **settings}
        scorer = NoCodeScorer(model, logger)
        scorer.load()
        return Bench(scorer, root)

    return load_


@pytest.fixture
def bench(tmp_path: Path, load: Callable[..., Bench]) -> Callable[..., Bench]:
    """Save and load a model made of one function."""

    def bench_(predict: Callable[..., Any], inputs: list[Any] | None = None, **settings: Any) -> Bench:
        save_function(tmp_path / "model", predict, inputs)
        return load(tmp_path / "model", **settings)

    return bench_

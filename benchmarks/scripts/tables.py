"""W2: CSV files of 5,000 rows through an MLflow model, called by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd

HEADER = ["file", "prediction"]

model: Any


def init() -> None:
    global model
    folder = next(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("MLmodel")).parent
    model = mlflow.pyfunc.load_model(str(folder))


def run(mini_batch: list[str]) -> list[tuple[str, int]]:
    rows: list[tuple[str, int]] = []
    for path in mini_batch:
        name = os.path.basename(path)
        rows.extend((name, value) for value in model.predict(pd.read_csv(path)).tolist())
    return rows

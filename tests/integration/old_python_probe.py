"""Run by an old Python with an old MLflow: save models there, score real files without user code, tell what came out.

Usage: old_python_probe.py SCORER_FOLDER WORK_FOLDER; one JSON object on the last line of stdout.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
from pathlib import Path

SCORER, WORK = sys.argv[1:]
INPUT = Path(WORK, "input")
spec = importlib.util.spec_from_file_location(
    "gristmill_scorer", SCORER + "/__init__.py", submodule_search_locations=[SCORER]
)
sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[spec.name])

import mlflow  # noqa: E402
import mlflow.pyfunc  # noqa: E402
import mlflow.sklearn  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from gristmill_scorer.nocode import NoCodeScorer  # noqa: E402
from gristmill_scorer.numbered import table  # noqa: E402
from mlflow.models.signature import ModelSignature  # noqa: E402
from mlflow.types.schema import ColSpec, Schema, TensorSpec  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.linear_model import LinearRegression  # noqa: E402


class Sums(mlflow.pyfunc.PythonModel):
    """The sum of each example's values, and how many examples the call had."""

    def predict(self, context, model_input):
        return pd.DataFrame({"sum": model_input.reshape(len(model_input), -1).sum(axis=1), "call": len(model_input)})


def write_inputs():
    INPUT.mkdir()
    table = pd.DataFrame({"a": [1, 2, 3, 4, 5], "b": [5, 4, 3, 2, 1]})
    table.to_csv(INPUT / "good.csv", index=False)
    table.to_parquet(INPUT / "good.parquet")
    (INPUT / "bad.csv").write_text("a,b\n1,value\n")
    (INPUT / "other.avro").write_text("x")
    for number in range(3):
        Image.fromarray(np.full((4, 4), number, "uint8")).save(INPUT / f"{number}.png")
    Image.fromarray(np.array([[0, 256], [512, 65535]], "uint16")).save(INPUT / "deep.png")


def save_models():
    table = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [1.0, 0.0, 1.0]})
    fitted = LinearRegression().fit(table, table["a"] * 2 + table["b"])
    columns = Schema([ColSpec("double", "a"), ColSpec("integer", "b")])
    mlflow.sklearn.save_model(
        fitted, "table", signature=ModelSignature(inputs=columns), pip_requirements=[], serialization_format="pickle"
    )
    tensor = Schema([TensorSpec(np.dtype("float32"), (-1, 16))])
    mlflow.pyfunc.save_model("image", python_model=Sums(), signature=ModelSignature(inputs=tensor), pip_requirements=[])
    mlflow.pyfunc.save_model("plain", python_model=Sums(), pip_requirements=[])


def score(model, items, **settings):
    scorer = NoCodeScorer(dict({"path": model, "predict_per": "file"}, **settings), logging.getLogger("probe"))
    scorer.load()
    scored = scorer.score(items, str(INPUT))
    frames = list(map(table, scored.rows))
    rows = json.loads(pd.concat(frames).round(6).to_json(orient="values")) if frames else []
    columns = frames[0].columns.tolist() if frames else []
    return {"rows": rows, "columns": columns, "succeeded": scored.succeeded, "errors": scored.errors}


os.chdir(WORK)
write_inputs()
save_models()
images = ["0.png", "1.png", "2.png"]
found = {
    "versions": {"python": list(sys.version_info[:2]), "mlflow": mlflow.__version__, "pandas": pd.__version__},
    "table": score("table", ["good.csv", "bad.csv", "good.parquet", "other.avro"]),
    "chunks": score("table", ["good.csv", "bad.csv", "good.parquet"], rows_per_predict=2),
    "images": score("image", images),
    "stack": score("image", images, predict_per="mini_batch"),
    "unfit": score("image", ["deep.png"]),
    "plain": score("plain", ["deep.png"]),
}
sys.stdout.write(json.dumps(found) + "\n")

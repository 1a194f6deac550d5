"""Results of pandas and numpy, and models without a script, with the libraries of this Python."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

SCRIPT = """
    import numpy as np, pandas as pd
    def init(): pass
    def frame(batch): return pd.DataFrame({"file": [path.rsplit("/", 1)[1] for path in batch], "p": 0.5})
    def series(batch): return pd.Series(range(len(batch)), name="p")
    def array(batch): return np.zeros((len(batch), 2))
    def fewer(batch): return pd.DataFrame({"file": ["a"]})
    def run(batch): return globals()[batch[0].rsplit("/", 1)[1]](batch)
"""


@pytest.mark.parametrize(
    ("form", "name", "rows", "columns"),
    [
        ({"kind": "text", "delimiter": " "}, "frame", b'frame 0.5\n"a b" 0.5\n', None),
        ({"kind": "text", "delimiter": ",", "header": True}, "frame", b"frame,0.5\na b,0.5\n", ["file", "p"]),
        ({"kind": "csv", "delimiter": ","}, "series", b"0\n1\n", ["p"]),
        ({"kind": "csv", "delimiter": ","}, "array", b"0.0,0.0\n0.0,0.0\n", ["column_0", "column_1"]),
        ({"kind": "jsonl"}, "frame", b'{"file":"frame","p":0.5}\n{"file":"a b","p":0.5}\n', None),
        ({"kind": "none"}, "frame", b"", None),
    ],
)
def test_tables_and_arrays(
    launch: Any, form: dict[str, Any], name: str, rows: bytes, columns: list[str] | None
) -> None:
    child = launch(SCRIPT, format=form).ready()

    result, data = child.score(name, "a b")

    assert (result["outcome"], result["succeeded"], result["rows"]) == ("done", 2, 2)
    assert (data, result["columns"]) == (rows, columns)


def test_a_short_table_counts_as_missing(launch: Any) -> None:
    result, _ = launch(SCRIPT).ready().score("fewer", "b", "c")

    assert (result["succeeded"], result["errors"][0]["category"]) == (1, "missing_results")


def test_parquet_is_an_arrow_stream(launch: Any) -> None:
    result, data = launch(SCRIPT, format={"kind": "parquet"}).ready().score("frame")

    assert result["encoding"] == "arrow"
    assert pa.ipc.open_stream(data).read_all().to_pylist() == [{"file": "frame", "p": 0.5}]


def test_ready_names_the_versions_of_what_is_loaded(launch: Any) -> None:
    assert launch(SCRIPT).expect("ready")["versions"]["pandas"] == pd.__version__


@pytest.fixture
def model(tmp_path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, on the lack of hints that it could take for a schema
        import mlflow.pyfunc

        class Doubling(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
            def predict(self, context, model_input, params=None):
                return model_input["x"] * 2

        folder = str(tmp_path / "model")
        mlflow.pyfunc.save_model(folder, python_model=Doubling(), pip_requirements=[])
    return folder


def test_a_model_without_a_script_scores(launch: Any, model: str) -> None:
    child = launch(
        kind="mlflow",
        model={"path": model, "predict_per": "file", "rows_per_predict": None},
        format={"kind": "text", "delimiter": ","},
        code=None,
    )
    (child.folder / "input" / "good.csv").write_text("x\n1\n2\n")
    (child.folder / "input" / "bad.xyz").write_text("x\n1\n2\n")
    child.ready()

    result, rows = child.score("good.csv", "bad.xyz")

    assert rows == b"0,2,good.csv\n1,4,good.csv\n"
    assert (result["outcome"], result["items"], result["succeeded"], result["rows"]) == ("done", 2, 1, 2)
    assert [(error["file"], error["category"]) for error in result["errors"]] == [("bad.xyz", "unsupported")]
    child.stop()


def test_a_model_that_is_not_there_fails_init(launch: Any, tmp_path: Path) -> None:
    child = launch(kind="mlflow", model={"path": str(tmp_path)}, code=None)

    assert "no MLmodel file" in child.expect("failed")["error"]["message"]
    assert child.wait() == 1


def test_values_of_numpy_are_json(launch: Any) -> None:
    script = """
        import numpy as np
        def init(): pass
        def run(batch): return [{"label": np.int64(3), "p": np.float32(0.5), "all": np.array([1, np.nan])}]
    """
    _, rows = launch(script, format={"kind": "jsonl"}).ready().score("a")

    assert json.loads(rows) == {"label": 3, "p": 0.5, "all": [1.0, None]}


@pytest.mark.parametrize("experiment", ["", "mlflow.set_experiment('mine')"])
def test_what_a_script_logs_to_mlflow_goes_to_a_private_folder(launch: Any, tmp_path: Path, experiment: str) -> None:
    script = f"""
        import mlflow
        def init():
            {experiment}
            mlflow.log_param("device", "cpu")
        def run(batch):
            mlflow.log_metric("files", len(batch))
            with mlflow.start_run(nested=True): mlflow.log_metric("p", 0.5)
            return batch
    """
    store = tmp_path / "mlruns"  # it must not be there: MLflow makes its default experiment only with the folder
    child = launch(script, environment={"MLFLOW_TRACKING_URI": store.as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"})
    child.ready()
    child.send(["a"], ["b"])

    assert [result["outcome"] for result, _ in child.answers(2)] == ["done", "done"]
    child.stop()

    assert len(list(store.glob("*/*/metrics/files"))) == 1
    assert list(Path(child.start["working_dir"]).iterdir()) == []

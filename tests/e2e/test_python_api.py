from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import gristmill
from gristmill.errors import InitFailed, OutputExists
from gristmill.states import JobStatus


@pytest.fixture(scope="module")
def mlflow_model(tmp_path_factory):
    """A real MLflow model: a linear regression that adds 1."""
    path = tmp_path_factory.mktemp("models") / "plus_one"
    x = pd.DataFrame({"x": np.arange(20.0)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own remarks on types and formats, and its imports'
        import mlflow.sklearn
        from mlflow.models import infer_signature
        from sklearn.linear_model import LinearRegression

        model = LinearRegression().fit(x, x["x"] + 1)
        mlflow.sklearn.save_model(
            model,
            str(path),
            signature=infer_signature(x, model.predict(x)),
            pip_requirements=["mlflow", "scikit-learn"],
            serialization_format="cloudpickle",
        )
    return path


def test_an_mlflow_model_needs_no_code_and_no_yaml(tmp_path, mlflow_model) -> None:
    (tmp_path / "in").mkdir()
    for n in range(3):
        pd.DataFrame({"x": [float(n), n + 0.5]}).to_csv(tmp_path / "in" / f"t{n}.csv", index=False)

    job = gristmill.run(model=mlflow_model, input=tmp_path / "in", output=tmp_path / "out")
    job.wait(timeout=60)

    assert job.status is JobStatus.COMPLETED
    frame = job.to_pandas()
    assert list(frame.columns) == ["row", "prediction", "file_name"]
    assert list(frame["row"]) == [0, 1, 0, 1, 0, 1]
    assert list(frame["prediction"].round(6)) == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    assert list(frame["file_name"]) == ["t0.csv", "t0.csv", "t1.csv", "t1.csv", "t2.csv", "t2.csv"]
    assert job.errors == []
    assert job.summary["items"]["succeeded"] == 3


def test_a_script_needs_no_yaml(project) -> None:
    project.files(4)
    project.script()

    job = gristmill.run(
        scoring_script=project.code / "score.py",
        model=project.model,
        input=project.input,
        output=project.folder / "out",
        settings={"mini_batch_size": 2},
    )

    assert job.wait(timeout=60).status is JobStatus.COMPLETED
    assert (project.folder / "out" / "predictions.csv").read_text().splitlines() == [
        "prediction",
        *(f"{n:05d}.txt" for n in range(4)),
    ]


def test_two_jobs_at_once(project) -> None:
    project.files(4)
    project.script()
    project.deployment()

    jobs = [
        gristmill.run(project.folder / "deployment.yml", input=project.input, output=project.folder / f"out{n}")
        for n in range(2)
    ]

    assert [job.wait(timeout=60).status for job in jobs] == [JobStatus.COMPLETED] * 2


def test_a_failed_job_raises_what_ended_it(project) -> None:
    project.files(1)
    project.script("def init(): raise ValueError('no weights')\ndef run(mini_batch): return mini_batch\n")
    project.deployment()

    job = gristmill.run(project.folder / "deployment.yml", input=project.input, output=project.folder / "out")

    with pytest.raises(InitFailed, match="no weights") as caught:
        job.wait(timeout=60)
    assert "score.py" in caught.value.detail
    assert job.status is JobStatus.FAILED


def test_a_refused_job_raises_the_mistake(project) -> None:
    project.files(1)
    project.script()
    project.deployment()
    (project.folder / "out").mkdir()
    (project.folder / "out" / "predictions.csv").touch()

    with pytest.raises(OutputExists):
        gristmill.run(
            project.folder / "deployment.yml",
            input=project.input,
            output=project.folder / "out",
        ).wait(timeout=60)


def test_cancel(project) -> None:
    project.files(200)
    project.script("import time\ndef init(): pass\ndef run(mini_batch): time.sleep(1); return mini_batch\n")
    project.deployment(mini_batch_size=1)

    job = gristmill.run(project.folder / "deployment.yml", input=project.input, output=project.folder / "out")
    job.cancel()

    with pytest.raises(gristmill.JobCanceled):
        job.wait(timeout=60)
    assert job.status is JobStatus.CANCELED

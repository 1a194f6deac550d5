"""MLflow models without code, whole jobs: tables and images."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
from PIL import Image


def images(project, count: int) -> None:
    for n in range(count):
        Image.fromarray(np.full((8, 8), n, np.uint8), "L").save(project.input / f"{n:03d}.png")


def test_one_image_is_one_call_and_one_row(project, succeed, use, brightness) -> None:
    images(project, 20)
    use(brightness, mini_batch_size=10)

    assert succeed().rows.decode().splitlines() == [f"0,{n}.0,1,{n:03d}.png" for n in range(20)]


def test_two_hundred_images_in_mini_batches_of_ten_are_twenty_calls(project, succeed, use, brightness) -> None:
    images(project, 200)
    use(brightness, mini_batch_size=10, predict_per="mini_batch", max_concurrency_per_instance=2)

    ran = succeed()

    assert ran.rows.decode().splitlines() == [f"0,{n}.0,10,{n:03d}.png" for n in range(200)]
    assert ran.summary["mini_batches"]["total"] == 20


def test_a_table_is_one_call_and_its_rows_are_numbered_from_zero(project, succeed, use, doubler) -> None:
    (project.input / "deep").mkdir()
    (project.input / "deep" / "a.csv").write_text("x\n1\n2\n3\n")
    pd.DataFrame({"x": [5, 6]}).to_parquet(project.input / "b.parquet")
    use(doubler)

    assert succeed().rows.decode().splitlines() == [
        "0,10,2,b.parquet",
        "1,12,2,b.parquet",
        "0,2,3,deep/a.csv",
        "1,4,3,deep/a.csv",
        "2,6,3,deep/a.csv",
    ]


def test_rows_per_predict_reads_a_table_in_pieces(project, succeed, use, doubler) -> None:
    pd.DataFrame({"x": range(10)}).to_csv(project.input / "a.csv", index=False)
    use(doubler, rows_per_predict=4)

    rows = [line.split(",") for line in succeed().rows.decode().splitlines()]

    assert [int(row[0]) for row in rows] == list(range(10))
    assert [int(row[2]) for row in rows] == [4] * 8 + [2] * 2


def test_files_that_cannot_be_scored_are_errors_and_take_no_others_with_them(project, succeed, use, doubler) -> None:
    (project.input / "a.csv").write_text("x\n1\n")
    (project.input / "b.csv").write_text("x\nvalue\n")
    (project.input / "c.avro").write_text("?")
    (project.input / "d.parquet").write_bytes(b"torn")
    (project.input / "e.csv").write_text("x\n2\n")
    use(doubler, mini_batch_size=5, retry_settings={"max_retries": 3})

    ran = succeed()

    assert ran.rows == b"0,2,1,a.csv\n0,4,1,e.csv\n"
    errors = {error["file"]: error for error in ran.errors}
    assert {name: error["category"] for name, error in errors.items()} == {
        "b.csv": "unreadable",
        "c.avro": "unsupported",
        "d.parquet": "unreadable",
    }
    assert "File type 'avro' is not supported" in errors["c.avro"]["message"]
    assert "Error processing input file" in errors["b.csv"]["message"]
    assert ran.summary["items"] == {"total": 5, "succeeded": 2, "failed": 3}
    assert all(error["attempts"] == 1 for error in errors.values())


def test_such_files_count_against_the_threshold(project, use, doubler) -> None:
    (project.input / "a.csv").write_text("x\n1\n")
    for n in range(3):
        (project.input / f"b{n}.avro").write_text("?")
    use(doubler, error_threshold=2)

    assert project.run().returncode == 3


def test_a_header_names_the_columns(project, succeed, use, doubler) -> None:
    (project.input / "a.csv").write_text("x\n1\n")
    use(doubler, output_format="csv")

    assert succeed().rows == b"row,twice,together,file_name\n0,2,1,a.csv\n"


def test_a_script_can_load_the_model_itself(project, succeed, doubler) -> None:
    (project.input / "a.csv").write_text("x\n1\n4\n")
    shutil.rmtree(project.model)
    shutil.copytree(doubler, project.model)
    project.script("""
        import os
        import mlflow.pyfunc
        import pandas as pd

        def init():
            global model
            model = mlflow.pyfunc.load_model(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model"))

        def run(mini_batch):
            return pd.concat(model.predict(pd.read_csv(path)) for path in mini_batch)
    """)
    project.deployment()

    assert succeed().rows == b"2 2\n8 2\n"

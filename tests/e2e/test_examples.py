"""Each example does what its page says: the page's commands are run, then the outcome is checked."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import doc_blocks
import pytest
from PIL import Image

pytestmark = pytest.mark.timeout(300)


def follow(example: str, folder: Path) -> str:
    """Run the commands of an example's page in a copy of examples/ under `folder`; return what they printed."""
    shutil.copytree(doc_blocks.ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    page = doc_blocks.ROOT / "examples" / example / "README.md"
    return "".join(
        doc_blocks.type_in(command, folder, block.place)
        for block in doc_blocks.blocks(page)
        for command in block.commands
    )


def rows(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_the_digits_are_read_with_more_than_nine_in_ten_right(tmp_path: Path) -> None:
    printed = follow("digits", tmp_path)

    folder = tmp_path / "demo" / "digits"
    predictions = rows(folder / "output" / "predictions.csv", delimiter=" ")
    truth = dict(rows(folder / "labels.csv")[1:])
    assert [name for name, _, _ in predictions] == sorted(truth)
    assert sum(truth[name] == digit for name, digit, _ in predictions) > 0.9 * len(truth)
    assert "450 digits are right: accuracy 0.9" in printed
    assert (folder / "output" / "summary.json").is_file()


@pytest.mark.filterwarnings("ignore")  # MLflow warns of its own type hints when it is imported
def test_the_diabetes_model_predicts_what_it_predicts_without_gristmill(tmp_path: Path) -> None:
    import mlflow
    import pandas as pd

    follow("diabetes", tmp_path)

    folder = tmp_path / "demo" / "diabetes"
    model = mlflow.pyfunc.load_model(str(folder / "model"))
    wards = sorted((folder / "patients").iterdir())
    expected = [
        [str(row), prediction, ward.name]
        for ward in wards
        for row, prediction in enumerate(model.predict(pd.read_csv(ward)))
    ]
    found = rows(folder / "output" / "predictions.csv")
    assert [[row, name] for row, _, name in found] == [[row, name] for row, _, name in expected]
    assert [float(prediction) for _, prediction, _ in found] == pytest.approx([p for _, p, _ in expected])


def test_a_job_runs_from_python_without_yaml(tmp_path: Path) -> None:
    printed = follow("python_api", tmp_path)

    output = tmp_path / "demo" / "python_api" / "output" / "predictions.csv"
    assert rows(output) == [["file_name", "mood"], ["ann.txt", "5"], ["bob.txt", "-7"], ["cleo.txt", "4"]]
    assert "Completed" in printed
    assert "cleo.txt" in printed


def test_files_that_a_script_writes_are_the_output(tmp_path: Path) -> None:
    follow("summary_only", tmp_path)

    folder = tmp_path / "demo" / "summary_only"
    pictures = sorted(path.name for path in (folder / "pictures").iterdir())
    thumbnails = sorted((folder / "output").glob("*.png"))
    assert [path.name for path in thumbnails] == pictures
    assert {size(path) for path in thumbnails} == {(32, 32)}
    assert not (folder / "output" / "predictions.csv").exists()
    assert json.loads((folder / "output" / "summary.json").read_text())["items"]


def test_every_example_is_run_by_a_test_of_this_file() -> None:
    examples = {path.parent.name for path in (doc_blocks.ROOT / "examples").glob("*/README.md")}

    followed = set(re.findall(r'follow\("(\w+)"', Path(__file__).read_text()))
    assert followed == examples

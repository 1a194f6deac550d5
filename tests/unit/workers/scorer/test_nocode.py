"""Files go to a real MLflow model, and rows or failed items come back."""

from __future__ import annotations

import logging
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.types.schema import ColSpec, TensorSpec

from gristmill_workers.scorer.nocode import NoCodeScorer

LONG_A = [ColSpec("long", "a")]


def double(model, table):
    return table["a"] * 2


def fails_on_negatives(model, table):
    if (table["a"] < 0).any():
        raise RuntimeError("negative weight")
    return table["a"]


def shape(model, data):
    return [str(data.shape)] * len(data)


def call_number(model, data):
    return [model.calls] * len(data)


def test_rows_are_numbered_in_their_file_and_carry_its_name(bench):
    b = bench(double, LONG_A)
    outcome = b.score(b.csv("x.csv", "a\n1\n2\n"), b.csv("deep/y z.csv", "a\n5\n"))
    assert outcome.frame.columns.tolist() == ["row", "prediction", "file_name"]
    assert outcome.frame.to_numpy().tolist() == [[0, 2, "x.csv"], [1, 4, "x.csv"], [0, 10, "deep/y z.csv"]]
    assert outcome.frame["row"].dtype == "int64"
    assert (outcome.succeeded, outcome.errors) == (2, [])


def test_nothing_is_read_before_the_frames_are_iterated(bench):
    b = bench(double, LONG_A)
    scored = b.scorer.score(["late.csv"], str(b.root))
    b.csv("late.csv", "a\n1\n")
    assert len(list(scored.rows)) == 1
    assert scored.succeeded == 1


def test_another_kind_of_file_is_a_failed_item_in_azures_words(bench):
    b = bench(double, LONG_A)
    outcome = b.score(b.file("a-given-file.AVRO", b"x"), b.csv("x.csv", "a\n1\n"), b.file("README", b"x"))
    path = b.root / "a-given-file.AVRO"
    assert outcome.errors[0] == {
        "file": "a-given-file.AVRO",
        "category": "unsupported",
        "message": f"Error processing input file: '{path}'. File type 'avro' is not supported",
        "traceback": "",
        "final": True,
        "alone": True,
    }
    assert outcome.errors[1]["message"].endswith("File type '' is not supported")
    assert (outcome.succeeded, len(outcome.frame)) == (1, 1)


def test_a_text_in_a_long_column_fails_the_file_in_azures_words(bench):
    b = bench(double, LONG_A)
    outcome = b.score(b.csv("bad.csv", "a\nvalue\n"), b.csv("good.csv", "a\n1\n"))
    (error,) = outcome.errors
    assert (error["category"], error["final"]) == ("unreadable", True)
    assert error["message"] == (
        f"Error processing input file: '{b.root / 'bad.csv'}'. "
        "Exception: invalid literal for int() with base 10: 'value'"
    )
    assert outcome.frame["file_name"].tolist() == ["good.csv"]


def test_a_missing_column_is_refused_by_mlflow_for_good(bench):
    b = bench(double, LONG_A)
    (error,) = b.score(b.csv("x.csv", "b\n1\n")).errors
    assert (error["category"], error["final"]) == ("unreadable", True)
    assert "missing inputs ['a']" in error["message"]


def test_extra_columns_are_dropped(bench):
    b = bench(lambda model, table: [",".join(table.columns)] * len(table), LONG_A)
    assert b.score(b.csv("x.csv", "z,a\n1,2\n")).frame["prediction"].tolist() == ["a"]


def test_a_predict_that_raises_fails_its_file_and_no_other(bench):
    b = bench(fails_on_negatives, LONG_A)
    names = [b.csv("1.csv", "a\n1\n"), b.csv("2.csv", "a\n-1\n"), b.csv("3.csv", "a\n3\n")]
    outcome = b.score(*names)
    (error,) = outcome.errors
    assert (error["file"], error["category"], error["final"]) == ("2.csv", "exception", False)
    assert error["message"].endswith("'. Exception: negative weight")
    assert "fails_on_negatives" in error["traceback"]
    assert "filemodel.py" not in error["traceback"]
    assert outcome.frame["file_name"].tolist() == ["1.csv", "3.csv"]


def test_a_mini_batch_without_a_good_file_is_only_failed_items(bench):
    b = bench(fails_on_negatives, LONG_A)
    outcome = b.score(b.csv("1.csv", "a\n-1\n"), b.file("2.txt", b""), "gone.csv")
    assert [error["category"] for error in outcome.errors] == ["exception", "unsupported", "unreadable"]
    assert (outcome.succeeded, outcome.frames) == (0, [])


def test_a_file_that_the_system_does_not_give_may_be_tried_again(bench):
    b = bench(double, LONG_A)
    (error,) = b.score("gone.csv").errors
    assert (error["category"], error["final"]) == ("unreadable", False)


def test_a_lack_of_memory_may_be_tried_again(bench, monkeypatch):
    def none_left(*arguments, **options):
        raise MemoryError

    b = bench(double, LONG_A)
    monkeypatch.setattr(pd, "read_csv", none_left)
    (error,) = b.score(b.csv("x.csv", "a\n1\n")).errors
    assert error["message"].endswith("Exception: MemoryError")
    assert error["final"] is False


def test_an_exception_without_words_is_named(bench):
    def stops(model, table):
        raise KeyError

    b = bench(stops, LONG_A)
    assert b.score(b.csv("x.csv", "a\n1\n")).messages[0].endswith("Exception: KeyError")


def test_a_table_without_rows_is_scored_and_has_no_rows(bench):
    b = bench(fails_on_negatives, LONG_A)
    outcome = b.score(b.csv("empty.csv", "a\n"))
    assert (outcome.succeeded, outcome.errors, outcome.frames) == (1, [], [])


def test_a_wrong_number_of_predictions_is_a_failed_item(bench):
    b = bench(lambda model, table: [1, 2, 3], LONG_A)
    (error,) = b.score(b.csv("x.csv", "a\n1\n2\n")).errors
    assert error["message"].endswith("predict returned 3 predictions for 2 rows")
    assert (error["category"], error["final"]) == ("exception", True)


def test_a_model_without_a_signature_is_given_what_pandas_reads(bench):
    b = bench(lambda model, table: [" ".join(map(str, table.dtypes))] * len(table))
    assert b.score(b.csv("x.csv", "a,b\n1,2.5\n")).frame["prediction"].tolist() == ["int64 float64"]


# -- the model's folder ---------------------------------------------------------------------------------------------


def test_the_model_may_stand_in_a_folder_by_its_own_name(bench, load, tmp_path):
    bench(double, LONG_A)
    (tmp_path / "registered").mkdir()
    (tmp_path / "model").rename(tmp_path / "registered" / "model")
    b = load(tmp_path / "registered")
    assert b.score(b.csv("x.csv", "a\n4\n")).frame["prediction"].tolist() == [8]


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_a_model_is_named(load, tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=f"no MLmodel file in '{tmp_path / name}'"):
        load(tmp_path / name)


def test_a_python_without_mlflow_is_told_what_to_add(bench, load, tmp_path, monkeypatch):
    bench(double, LONG_A)
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    with pytest.raises(ImportError, match=r"add 'mlflow' to its conda\.yaml"):
        load(tmp_path / "model")


def test_a_scorer_is_made_without_importing_anything_heavy(logger):
    before = set(sys.modules)
    NoCodeScorer({"path": "/nowhere"}, logger)
    assert not {"mlflow", "pandas", "numpy"} & (set(sys.modules) - before)


def test_a_scikit_learn_model_from_an_old_pickle_predicts(load, tmp_path):
    import mlflow.sklearn
    from mlflow.models.signature import infer_signature
    from sklearn.linear_model import LinearRegression

    table = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3.0, 1.0, 0.0]})
    model = LinearRegression().fit(table, [7.0, 4.0, 4.0])
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        mlflow.sklearn.save_model(
            model,
            tmp_path / "sk",
            serialization_format="cloudpickle",
            signature=infer_signature(table),
            pip_requirements=[],
        )
    b = load(tmp_path / "sk")
    # Whole numbers in a double column: what MLflow alone refuses, and reading with the type allows.
    found = b.score(b.csv("x.csv", "a,b\n1,3\n2,1\n")).frame["prediction"]
    assert found.tolist() == pytest.approx(model.predict(table)[:2].tolist())


def test_a_torch_model_predicts_images_into_one_column_a_class(load, tmp_path):
    import mlflow.pytorch
    import torch
    from mlflow.models.signature import ModelSignature
    from mlflow.types.schema import Schema

    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 1, 8, 8))]))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        mlflow.pytorch.save_model(
            model, tmp_path / "torch", signature=signature, pip_requirements=[], serialization_format="pickle"
        )
    b = load(tmp_path / "torch")
    image = np.arange(64, dtype="uint8").reshape(8, 8)
    outcome = b.score(b.image("a.png", image))
    assert outcome.errors == []
    assert outcome.frame.columns.tolist() == ["row", *(f"prediction_{k}" for k in range(10)), "file_name"]
    with torch.no_grad():
        expected = model(torch.tensor(image.reshape(1, 1, 8, 8), dtype=torch.float32)).numpy()
    np.testing.assert_allclose(outcome.frame.iloc[:, 1:-1].to_numpy(dtype="float32"), expected, rtol=1e-5)


# -- rows_per_predict -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_table_is_predicted_in_chunks_with_rows_numbered_through(bench, name):
    b = bench(call_number, LONG_A, rows_per_predict=2)
    table = pd.DataFrame({"a": range(5)})
    if name.endswith(".csv"):
        table.to_csv(b.root / name, index=False)
    else:
        table.to_parquet(b.root / name)
    outcome = b.score(name)
    assert outcome.frame["row"].tolist() == [0, 1, 2, 3, 4]
    assert outcome.frame["prediction"].tolist() == [1, 1, 2, 2, 3]
    assert outcome.succeeded == 1


@pytest.mark.parametrize("last", ["-1", "text"])
def test_a_file_that_fails_in_a_later_chunk_leaves_no_row(bench, last):
    b = bench(fails_on_negatives, LONG_A, rows_per_predict=2)
    outcome = b.score(b.csv("x.csv", f"a\n1\n2\n3\n4\n{last}\n"), b.csv("y.csv", "a\n9\n"))
    assert outcome.frame["file_name"].tolist() == ["y.csv"]
    assert [error["file"] for error in outcome.errors] == ["x.csv"]
    assert outcome.succeeded == 1


def test_memory_stays_flat_over_a_long_file(bench):
    b = bench(double, LONG_A, rows_per_predict=5_000)
    b.csv("warm.csv", "a\n1\n")
    b.csv("short.csv", "a\n" + "123456789\n" * 100_000)
    b.csv("long.csv", "a\n" + "123456789\n" * 2_000_000)

    def peak(name):
        scored = b.scorer.score([name], str(b.root))
        tracemalloc.start()
        rows = sum(len(frame) for frame in scored.rows)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return rows, most

    peak("warm.csv")
    _, short = peak("short.csv")
    rows, long = peak("long.csv")
    assert rows == 2_000_000
    # 2 million predictions are 16 MB: half of them wait on disk. The short file's all fit the memory's share.
    assert long < short + 8.5 * 1024 * 1024


# -- noise ----------------------------------------------------------------------------------------------------------


def test_a_models_warning_stands_in_the_log_once(bench, caplog):
    def warns(model, table):
        warnings.warn("this API will go", FutureWarning, stacklevel=1)
        return table["a"]

    b = bench(warns, LONG_A)
    names = [b.csv(f"{n}.csv", "a\n1\n") for n in range(3)]
    with caplog.at_level(logging.WARNING, logger="test.nocode"):
        assert b.score(*names).succeeded == 3
    ours = [record.getMessage() for record in caplog.records if record.name == "test.nocode"]
    assert [message.partition(": ")[2] for message in ours] == ["FutureWarning: this API will go"]


def test_mlflow_says_the_same_thing_once(bench, capsys):
    b = bench(double, LONG_A)
    names = [b.csv(f"{n}.csv", "a,zz\n1,1\n") for n in range(3)]
    b.score(*names)
    assert capsys.readouterr().err.count("extra inputs") == 1


# -- predict_per: mini_batch ----------------------------------------------------------------------------------------


def test_two_hundred_images_in_mini_batches_of_ten_are_twenty_calls(bench):
    b = bench(call_number, [TensorSpec(np.dtype("uint8"), (-1, 4, 4, 1))], predict_per="mini_batch")
    names = [b.image(f"{n:03}.png", np.full((4, 4), n, "uint8")) for n in range(200)]
    outcomes = [b.score(*names[first : first + 10]) for first in range(0, 200, 10)]
    frame = pd.concat(outcome.frame for outcome in outcomes)
    assert frame["file_name"].tolist() == names
    assert frame["prediction"].tolist() == [n // 10 + 1 for n in range(200)]
    assert set(frame["row"]) == {0}


def test_tables_of_a_mini_batch_are_one_call_with_rows_numbered_per_file(bench):
    b = bench(lambda model, table: table["a"] * 100 + model.calls, LONG_A, predict_per="mini_batch")
    outcome = b.score(b.csv("x.csv", "a\n1\n2\n"), b.csv("y.csv", "a\n3\n"), b.csv("none.csv", "a\n"))
    assert outcome.frame.to_numpy().tolist() == [[0, 101, "x.csv"], [1, 201, "x.csv"], [0, 301, "y.csv"]]
    assert outcome.succeeded == 3


def test_what_does_not_join_is_a_call_of_its_own_and_the_order_stays(bench):
    b = bench(shape, predict_per="mini_batch")
    names = [
        b.image("1.png", np.zeros((4, 4), "uint8")),
        b.csv("2.csv", "a\n1\n"),
        b.image("3.png", np.zeros((2, 6), "uint8")),
        b.image("4.png", np.zeros((4, 4), "uint8")),
        b.csv("5.csv", "b\n1\n2\n"),
        b.csv("6.csv", "a\n7\n"),
    ]
    outcome = b.score(*names)
    assert outcome.frame["file_name"].tolist() == ["1.png", "2.csv", "3.png", "4.png", "5.csv", "5.csv", "6.csv"]
    assert outcome.frame["prediction"].tolist() == [
        "(2, 4, 4, 1)", "(2, 1)", "(1, 2, 6, 1)", "(2, 4, 4, 1)", "(2, 1)", "(2, 1)", "(2, 1)",
    ]  # fmt: skip
    assert outcome.frame["row"].tolist() == [0, 0, 0, 0, 0, 1, 0]


def test_unreadable_files_of_a_mini_batch_do_not_touch_the_call(bench):
    b = bench(double, LONG_A, predict_per="mini_batch")
    outcome = b.score(b.csv("1.csv", "a\nx\n"), b.csv("2.csv", "a\n2\n"), b.file("3.doc", b""))
    assert outcome.frame["prediction"].tolist() == [4]
    assert [(error["file"], error["final"]) for error in outcome.errors] == [("1.csv", True), ("3.doc", True)]
    assert outcome.succeeded == 1


def test_a_call_that_raises_fails_each_of_its_files_but_no_other_call(bench):
    b = bench(fails_on_negatives, predict_per="mini_batch")
    outcome = b.score(b.csv("1.csv", "a\n1\n"), b.csv("2.csv", "a\n-2\n"), b.csv("3.csv", "a,b\n3,3\n"))
    assert [(e["file"], e["category"], e["final"]) for e in outcome.errors] == [
        ("1.csv", "exception", False),
        ("2.csv", "exception", False),
    ]
    assert outcome.errors[0]["message"] == (
        f"Error processing input file: '{b.root / '1.csv'}'. Exception: negative weight"
    )
    assert outcome.frame["file_name"].tolist() == ["3.csv"]


def test_a_mini_batch_of_nothing_but_bad_files_has_no_rows(bench):
    b = bench(double, LONG_A, predict_per="mini_batch")
    outcome = b.score(b.csv("1.csv", "a\nx\n"), b.file("2.doc", b""))
    assert (outcome.succeeded, len(outcome.errors), outcome.frames) == (0, 2, [])


def test_a_tensor_of_a_fixed_batch_closes_the_call(bench):
    b = bench(shape, [TensorSpec(np.dtype("uint8"), (2, 4, 4, 1))], predict_per="mini_batch")
    outcome = b.score(*[b.image(f"{n}.png", np.zeros((4, 4), "uint8")) for n in range(3)])
    assert outcome.frame["prediction"].tolist() == ["(2, 4, 4, 1)"] * 2
    assert "does not match expected shape" in outcome.messages[0]


def test_rows_per_predict_bounds_the_tables_of_a_mini_batch_too(bench):
    b = bench(call_number, LONG_A, predict_per="mini_batch", rows_per_predict=2)
    outcome = b.score(b.csv("x.csv", "a\n1\n2\n3\n"), b.csv("y.csv", "a\n4\n"))
    assert outcome.frame["prediction"].tolist() == [1, 1, 2, 3]


def test_the_model_may_be_named_as_text(tmp_path: Path, logger):
    with pytest.raises(FileNotFoundError):
        NoCodeScorer({"path": str(tmp_path)}, logger).load()

"""Whatever predict returns becomes one row an input row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from gristmill_workers.scorer.predictions import WrongLength, to_frame


def table(prediction, rows=2):
    frame = to_frame(prediction, rows)
    return {name: [_python(value) for value in frame[name]] for name in frame.columns}


def _python(value):
    return value.item() if isinstance(value, np.generic) else value


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (np.array([1, 2]), {"prediction": [1, 2]}),
        (np.array([[1], [2]]), {"prediction": [1, 2]}),
        (np.array([[1, 2], [3, 4]]), {"prediction_0": [1, 3], "prediction_1": [2, 4]}),
        (np.arange(8).reshape(2, 2, 2), {"prediction": [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]}),
        (np.array(["a", None], dtype=object), {"prediction": ["a", None]}),
        (np.array([[1, 2], [3], None], dtype=object)[:2], {"prediction": [[1, 2], [3]]}),
        (pd.Series([1, 2], index=[9, 9], name="score"), {"prediction": [1, 2]}),
        (pd.Series([[1], {"k": 2}]), {"prediction": [[1], {"k": 2}]}),
        (pd.DataFrame({"b": [1, 2], "a": ["x", "y"]}, index=[7, 8]), {"b": [1, 2], "a": ["x", "y"]}),
        (pd.DataFrame([[1, 2], [3, 4]]), {"0": [1, 3], "1": [2, 4]}),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), {"a": [1, 3], "a_1": [2, 4]}),
        (
            pd.DataFrame({"row": [1, 2], "file_name": [3, 4]}),
            {"prediction_row": [1, 2], "prediction_file_name": [3, 4]},
        ),
        (pd.Index([1, 2]), {"prediction": [1, 2]}),
        (pd.Categorical(["x", "y"]), {"prediction": ["x", "y"]}),
        ([1, 2], {"prediction": [1, 2]}),
        ((1.5, 2.5), {"prediction": [1.5, 2.5]}),
        (["cat", "dog"], {"prediction": ["cat", "dog"]}),
        ([[1, 2], [3, 4]], {"prediction": [[1, 2], [3, 4]]}),
        ([np.array([1, 2]), np.array([3])], {"prediction": [[1, 2], [3]]}),
        ([np.float64(1.5), np.array(2)], {"prediction": [1.5, 2]}),
        ([{"l": "x", "s": 1}, {"l": "y", "s": 2}], {"l": ["x", "y"], "s": [1, 2]}),
        ([{"a": 1}, {"b": 2}], {"a": [1.0, None], "b": [None, 2.0]}),
        ([{"v": np.array([1, 2])}, {"v": [3]}], {"v": [[1, 2], [3]]}),
        ({"x": np.array([1, 2]), "y": ["a", "b"]}, {"x": [1, 2], "y": ["a", "b"]}),
        ({"p": np.array([[1, 2], [3, 4]]), "q": np.array([[5], [6]])}, {"p_0": [1, 3], "p_1": [2, 4], "q": [5, 6]}),
        ({"t": torch.tensor([1, 2]), "s": pd.Series([3, 4])}, {"t": [1, 2], "s": [3, 4]}),
        (torch.tensor([[1.0], [2.0]], requires_grad=True), {"prediction": [1.0, 2.0]}),
        ([torch.tensor(1), torch.tensor([2, 3])], {"prediction": [1, [2, 3]]}),
        (scipy.sparse.csr_matrix([[0, 1], [2, 0]]), {"prediction_0": [0, 2], "prediction_1": [1, 0]}),
    ],
)
def test_two_predictions(prediction, expected):
    found = table(prediction)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert [None if isinstance(v, float) and v != v else v for v in found[name]] == values  # noqa: PLR0124


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (7, {"prediction": [7]}),
        ("cat", {"prediction": ["cat"]}),
        (np.float32(1.5), {"prediction": [1.5]}),
        (np.array(3), {"prediction": [3]}),
        (torch.tensor(3), {"prediction": [3]}),
        ({"label": "x", "score": 0.5}, {"label": ["x"], "score": [0.5]}),
        ({"label": "x", "boxes": [[1, 2], [3, 4]]}, {"label": ["x"], "boxes": [[[1, 2], [3, 4]]]}),
        ({"label": ["x"], "p": np.array([[0.5, 0.5]])}, {"label": ["x"], "p_0": [0.5], "p_1": [0.5]}),
    ],
)
def test_one_prediction(prediction, expected):
    assert table(prediction, rows=1) == expected


def test_a_tensor_of_another_library_is_asked_for_its_array():
    class Tensor:
        def numpy(self):
            return np.array([[1, 2]])

    assert table(Tensor(), rows=1) == {"prediction_0": [1], "prediction_1": [2]}


@pytest.mark.parametrize(
    ("prediction", "rows", "message"),
    [
        (None, 2, "predict returned None for 2 rows"),
        ([1, 2, 3], 2, "predict returned 3 predictions for 2 rows"),
        ([], 1, "predict returned 0 predictions for 1 row"),
        (5, 2, "predict returned 1 prediction for 2 rows"),
        ("ab", 2, "predict returned 1 prediction for 2 rows"),
        (np.array([0.1, 0.9]), 1, "predict returned 2 predictions for 1 row"),
        (pd.DataFrame({"a": [1]}), 2, "predict returned 1 prediction for 2 rows"),
        ({"a": [1, 2], "b": [1]}, 2, "predict returned a dict of 1 and 2 for 2 rows"),
        ({"a": 1}, 2, "predict returned a dict of one value for 2 rows"),
        ({}, 2, "predict returned a dict of nothing for 2 rows"),
    ],
)
def test_another_number_of_predictions_is_refused(prediction, rows, message):
    with pytest.raises(WrongLength, match=message):
        to_frame(prediction, rows)


def test_the_models_own_table_is_not_renamed():
    mine = pd.DataFrame([[1, 2]])
    to_frame(mine, 1)
    assert mine.columns.tolist() == [0, 1]


def test_nested_values_are_written_as_pandas_writes_them():
    frame = to_frame([{"boxes": [[1, 2]], "label": "a b"}, {"boxes": [], "label": None}], 2)
    assert frame.to_csv(index=False, header=False) == '"[[1, 2]]",a b\n[],\n'


def test_lists_of_equal_length_stay_lists():
    frame = to_frame([[1, 2], [3, 4]], 2)
    assert frame["prediction"].tolist() == [[1, 2], [3, 4]]
    assert frame["prediction"].dtype == object


def test_types_of_numbers_are_kept():
    assert to_frame(np.array([1, 2], dtype="int8"), 2)["prediction"].dtype == "int8"
    assert to_frame(pd.Series([0.5], dtype="float32"), 1)["prediction"].dtype == "float32"
    assert to_frame(pd.DataFrame({"a": np.array([1], "uint16")}), 1)["a"].dtype == "uint16"

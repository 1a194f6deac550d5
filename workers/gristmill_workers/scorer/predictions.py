"""What predict returned, as columns: one row an input row, whatever the model's flavor likes to give.

A DataFrame keeps its columns' names. One value a row is the column `prediction`; an array of k > 1 values a row
becomes `prediction_0` to `prediction_<k-1>`; dicts spread over their keys. What is nested deeper stays whole in its
cell, as plain Python lists and dicts, and is written as pandas writes them.
"""

from __future__ import annotations

from typing import Any, Iterable

import numpy as np
import pandas as pd

from .failures import counted

#: The column of one value a row.
NAME = "prediction"

#: What the scorer puts beside the predictions.
ROW = "row"
FILE = "file_name"


class WrongLength(ValueError):
    """predict did not return one prediction a row."""


def to_frame(prediction: Any, rows: int) -> pd.DataFrame:
    """Return predictions for `rows` input rows as a table of as many, its columns named by unique texts.

    Raises:
        WrongLength: there are not as many predictions as rows, or none at all.

    """
    frame = _frame(_plain(prediction), rows)
    if len(frame) != rows:
        raise WrongLength(f"predict returned {counted(len(frame), 'prediction')} for {counted(rows, 'row')}")
    if not isinstance(prediction, pd.DataFrame) and frame.columns.tolist() == [NAME]:
        return frame
    frame.columns = pd.Index(_unique([str(name) for name in frame.columns]), dtype=object)
    return frame.reset_index(drop=True)


def _unique(names: Iterable[str]) -> list[str]:
    """Keep every name apart from the others and from the scorer's own: the formats need that."""
    taken = {ROW, FILE}
    unique = []
    for name in names:
        fresh, number = (f"{NAME}_{name}" if name in (ROW, FILE) else name), 0
        while fresh in taken:
            number += 1
            fresh = f"{name}_{number}"
        taken.add(fresh)
        unique.append(fresh)
    return unique


def _plain(value: Any) -> Any:
    """Return tensors, sparse matrices and numpy's wrappers as numpy arrays, and anything else as it is."""
    if isinstance(value, (np.ndarray, pd.DataFrame, pd.Series, list, tuple, dict, str, bytes)) or value is None:
        return value
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if hasattr(value, "toarray"):
        return np.asarray(value.toarray())
    if hasattr(value, "numpy") and callable(value.numpy):
        return np.asarray(value.numpy())
    if isinstance(value, (pd.Index, pd.api.extensions.ExtensionArray)):
        return pd.Series(value)
    return value


def _frame(value: Any, rows: int) -> pd.DataFrame:
    if value is None:
        raise WrongLength(f"predict returned None for {counted(rows, 'row')}")
    if isinstance(value, pd.DataFrame):
        # Shallow: the caller renames columns, and the model may still hold its table.
        return value.copy(deep=False)
    if isinstance(value, dict):
        return _from_dict(value, rows)
    if isinstance(value, (list, tuple)):
        return _from_list(list(value))
    if isinstance(value, (pd.Series, np.ndarray)) and value.ndim:
        return pd.DataFrame(_columns(NAME, value))
    return _from_list([value])


def _columns(name: str, value: Any) -> dict[str, Any]:
    """Return what one name holds, as one column or several."""
    if isinstance(value, np.ndarray) and value.ndim == 2:  # noqa: PLR2004 - rows and values
        if value.shape[1] == 1:
            return {name: value[:, 0]}
        return {f"{name}_{place}": value[:, place] for place in range(value.shape[1])}
    if isinstance(value, np.ndarray) and value.ndim > 1:
        return {name: _cells(value.tolist())}
    return {name: value.to_numpy() if isinstance(value, pd.Series) and value.dtype != object else _listed(value)}


def _listed(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) and value.dtype != object else _cells(list(value))


def _cells(values: list[Any]) -> Any:
    """Return one value a row; nested ones are kept whole, in plain Python."""
    values = [_cell(value) for value in values]
    if any(isinstance(value, (list, dict)) for value in values):
        cells = np.empty(len(values), dtype=object)
        cells[:] = values
        return cells
    return values


def _cell(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_cell(item) for item in value]
    if isinstance(value, dict):
        return {key: _cell(item) for key, item in value.items()}
    return value


def _from_list(values: list[Any]) -> pd.DataFrame:
    if values and all(isinstance(value, dict) for value in values):
        keys: dict[Any, None] = {key: None for value in values for key in value}
        return pd.DataFrame(
            {key: _cells([value.get(key) for value in values]) for key in keys}, index=range(len(values))
        )
    return pd.DataFrame({NAME: _cells(values)})


def _from_dict(value: dict[Any, Any], rows: int) -> pd.DataFrame:
    """Return a dict of columns, or, for one row, of that row's values."""
    plain = {key: _plain(item) for key, item in value.items()}
    lengths = {_length(item) for item in plain.values()}
    if lengths == {rows}:
        return _spread(plain)
    if rows == 1:
        return _from_list([value])
    found = " and ".join("one value" if length is None else str(length) for length in sorted(lengths, key=str))
    raise WrongLength(f"predict returned a dict of {found or 'nothing'} for {counted(rows, 'row')}")


def _spread(columns: dict[Any, Any]) -> pd.DataFrame:
    spread: dict[str, Any] = {}
    for key, item in columns.items():
        spread.update(_columns(str(key), item))
    return pd.DataFrame(spread)


def _length(value: Any) -> Any:
    """Return how many rows a value holds; None: it is one value by itself."""
    if isinstance(value, np.ndarray):
        return len(value) if value.ndim else None
    return len(value) if isinstance(value, (list, tuple, pd.Series)) else None

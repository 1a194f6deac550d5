"""What goes in comes out: any result of run(), written in each format, read back by another library."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill_workers.scorer import rows
from gristmill_workers.scorer.formats import Format
from gristmill_workers.scorer.sink import Sink

#: Any text that UTF-8 can hold, without NUL, which csv refuses.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)
NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
NAMES = st.lists(TEXT.filter(bool), min_size=1, max_size=4, unique=True)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)


def written(result: Any, form: Format, limit: int) -> tuple[bytes, Any]:
    """Write a result; above `limit` bytes by way of a file, as huge ones go."""
    sink = Sink("/dev/null", limit=limit)
    done = rows.write(result, form, sink)
    return sink.finish()[0], done


LARGE = 1 << 30


@settings(max_examples=200)
@given(st.lists(LINES))
def test_lines_of_text(elements: list[str]) -> None:
    data, done = written(elements, Format("text"), LARGE)

    assert data.decode().split("\n")[:-1] == elements
    assert (data == b"") == (elements == [])
    assert done.rows == len(elements)


def as_object(element: Any) -> dict[str, Any]:
    """Return what a line holds of an element: a mapping itself, a sequence by columns, a value by one name."""
    if isinstance(element, list):
        return {f"column_{index}": value for index, value in enumerate(element)}
    return element if isinstance(element, dict) else {"prediction": element}


@settings(max_examples=200)
@given(st.lists(JSON))
def test_json_lines(elements: list[Any]) -> None:
    data, done = written(elements, Format("jsonl"), LARGE)

    lines = data.split(b"\n")[:-1]
    assert done.rows == len(lines) == len(elements)
    for line, element in zip(lines, elements, strict=True):
        found = json.loads(line)
        assert isinstance(found, dict)
        assert found == as_object(element)


@settings(max_examples=200)
@given(NAMES, st.data(), st.sampled_from([",", ";", " ", "\t", "|"]))
def test_csv_of_dictionaries(names: list[str], data: Any, delimiter: str) -> None:
    row = st.tuples(*[st.one_of(TEXT, st.integers()) for _ in names]).map(
        lambda values: dict(zip(names, values, strict=True))
    )
    elements = data.draw(st.lists(row, min_size=1, max_size=6))

    text, done = written(elements, Format("csv", header=True, delimiter=delimiter), LARGE)

    assert list(done.columns) == names
    read = list(csv.reader(io.StringIO(text.decode(), newline=""), delimiter=delimiter))
    # A row of one empty field is an empty line, which csv reads as no field.
    assert [line or [""] for line in read] == [[str(element[name]) for name in names] for element in elements]


def frames(names: list[str]) -> st.SearchStrategy[pd.DataFrame]:
    """Make frames of columns of one type each."""
    columns: list[Callable[[int], st.SearchStrategy[list[Any]]]] = [
        lambda n: st.lists(st.integers(-(2**62), 2**62), min_size=n, max_size=n),
        lambda n: st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=n, max_size=n),
        lambda n: st.lists(TEXT, min_size=n, max_size=n),
        lambda n: st.lists(st.booleans(), min_size=n, max_size=n),
    ]
    return st.integers(0, 6).flatmap(
        lambda n: st.tuples(*[st.sampled_from(columns).flatmap(lambda make: make(n)) for _ in names]).map(
            lambda values: pd.DataFrame(dict(zip(names, values, strict=True)))
        )
    )


@settings(max_examples=100)
@given(NAMES.flatmap(frames))
def test_arrow_of_frames(frame: pd.DataFrame) -> None:
    data, done = written(frame, Format("parquet"), LARGE)

    assert done.rows == len(frame)
    if len(frame):
        assert done.encoding == "arrow"
        assert pa.ipc.open_stream(data).read_all().to_pydict() == frame.to_dict("list")


@settings(max_examples=100)
@given(NAMES.flatmap(frames))
def test_json_lines_of_frames(frame: pd.DataFrame) -> None:
    data, done = written(frame, Format("jsonl"), LARGE)

    found = [json.loads(line) for line in data.split(b"\n")[:-1]]
    assert done.rows == len(found)
    assert found == frame.to_dict("records")


@settings(max_examples=100)
@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_numbers_of_numpy_keep_their_value_as_text(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)

    data, _ = written(array, Format("csv", delimiter=","), LARGE)

    read = [np.float32(line) if line else np.float32("nan") for line in data.decode().split("\n")[:-1]]
    assert all((math.isnan(a) and math.isnan(b)) or a == b for a, b in zip(read, array, strict=True))

"""Predictions that are written without a table of them are what pandas writes of the table."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gristmill_workers.scorer import frames
from gristmill_workers.scorer.filemodel import numbered
from gristmill_workers.scorer.formats import Format
from gristmill_workers.scorer.sink import Sink

COLUMNS: dict[str, Any] = {
    "integers": [0, -1, 2**62, 7],
    "bytes": np.array([0, 255, 7, 1], "u1"),
    "truths": [True, False, True, True],
    "reals": [0.1, -0.0, 1e16, 1e-5],
    "gaps": [0.5, float("nan"), float("inf"), 1.0],
    "singles": np.array([0.1, 0.2, 1e9, 3.0], "f4"),
    "texts": ["a", "", "b c", "d"],
    "quoted": ["a,b", 'say "x"', "one\ntwo", "%s"],
    "objects": pd.Series([None, [1, 2], {"k": 1}, "x"], dtype=object),
    "nullable": pd.array([1, None, 3, 4], dtype="Int64"),
    "times": pd.date_range("2020-01-02 22:00", periods=4, freq="h"),
}
NAMES = ["t000.csv", "deep/y z.csv", "a,b.csv", 'x"y.csv', "50 %s%%.csv", "one\ntwo.csv"]


def written(rows: Any, form: Format, folder: Path) -> tuple[Any, ...]:
    sink = Sink(str(folder / "spool"))
    found = frames.write([rows], form, sink)
    return sink.finish()[0], found.rows, found.encoding, found.columns


@pytest.mark.parametrize("form", [Format("csv", True, ","), Format("csv", False, "%"), Format("text", True, " ")])
def test_it_is_what_pandas_writes(tmp_path: Path, form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_SLICE", 3)
    chance = random.Random(3)
    options: dict[str, Any] = {"header": False, "index": False, "sep": form.delimiter, "lineterminator": "\n"}
    for name in NAMES:
        for kind in chance.sample(sorted(COLUMNS), 5):
            columns = {one: COLUMNS[one] for one in dict.fromkeys([kind, chance.choice(sorted(COLUMNS))])}
            rows = numbered(pd.DataFrame(columns), 5, name)

            assert written(rows, form, tmp_path)[:2] == (rows.table().to_csv(**options).encode(), 4)
            assert written(rows, form, tmp_path) == written(rows.table(), form, tmp_path)


def test_a_files_name_that_is_no_utf8_is_written_as_it_is(tmp_path: Path) -> None:
    rows = numbered(pd.DataFrame({"prediction": [1]}), 0, "caf\udce9.csv")
    assert written(rows, Format("csv", True, ","), tmp_path)[0] == b"0,1,caf\xe9.csv\n"


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "none"])
def test_other_formats_are_given_the_table(tmp_path: Path, kind: str) -> None:
    rows = numbered(pd.DataFrame({"prediction": [1, 2]}), 0, "x.csv")
    assert written(rows, Format(kind), tmp_path) == written(rows.table(), Format(kind), tmp_path)


def test_no_table_is_made_of_plain_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = numbered(pd.DataFrame({"prediction": [1, 2]}), 7, "x.csv")
    monkeypatch.setattr(type(rows), "table", lambda _: pytest.fail("it was made"))
    assert written(rows, Format("csv", True, ","), tmp_path) == (
        b"7,1,x.csv\n8,2,x.csv\n",
        2,
        "csv",
        ["row", "prediction", "file_name"],
    )

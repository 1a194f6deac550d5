"""What is written of a DataFrame many values at a time is what pandas writes, and what each row by itself would be."""

from __future__ import annotations

import datetime as dt
import decimal
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gristmill_workers.scorer import frames, jsonl
from gristmill_workers.scorer.formats import Format
from gristmill_workers.scorer.sink import Sink

TEXTS = ["", "a", "a b", "a,b", 'say "x"', "ü", "caf\udce9", "\0", "one\ntwo", "\r", "50 %s", "i0001.png", "\r\n"]
ODD = [None, float("nan"), float("inf"), -0.0, 1e16, 2**70, True, pd.NaT, pd.NA, b"x", decimal.Decimal("1.50")]
ODD += [dt.date(2020, 1, 2), np.float32(0.1), np.int64(3), np.datetime64("nat"), [1, 2], {"k": 1}]
COLUMNS: dict[str, Callable[[random.Random, int], Any]] = {
    "integers": lambda chance, n: [chance.choice([0, -1, 2**62]) for _ in range(n)],
    "bytes": lambda chance, n: np.array([chance.randrange(256) for _ in range(n)], "u1"),
    "truths": lambda chance, n: [chance.random() < 0.5 for _ in range(n)],
    "reals": lambda chance, n: [chance.choice([0.1, -0.0, 1e16, 1e-5, 3.0]) for _ in range(n)],
    "gaps": lambda chance, n: [chance.choice([0.5, float("nan"), float("inf")]) for _ in range(n)],
    "singles": lambda chance, n: np.array([chance.random() for _ in range(n)], "f4"),
    "texts": lambda chance, n: pd.Series([chance.choice(TEXTS) for _ in range(n)], dtype=object),
    "names": lambda chance, n: [f"i{chance.randrange(n)}.png" for _ in range(n)],
    "objects": lambda chance, n: pd.Series([chance.choice(ODD + TEXTS) for _ in range(n)], dtype=object),
    "times": lambda _, n: pd.date_range("2020-01-02 22:00", periods=n, freq="h"),
    "days": lambda _, n: pd.date_range("2020-01-02", periods=n),
    "kinds": lambda chance, n: pd.Categorical([chance.choice("ab") for _ in range(n)]),
    "nullable": lambda chance, n: pd.array([chance.choice([1, None]) for _ in range(n)], dtype="Int64"),
    "strings": lambda chance, n: pd.array([chance.choice(["a", None]) for _ in range(n)], dtype="string"),
}


def frame_of(chance: random.Random) -> pd.DataFrame:
    rows, plain = chance.choice([1, 2, 30]), ["integers", "reals", "names", "truths", "bytes", "gaps"]
    kinds = chance.choices(plain if chance.random() < 0.5 else list(COLUMNS), k=chance.randrange(1, 4))
    columns = {f"{place} %s {kind}": COLUMNS[kind](chance, rows) for place, kind in enumerate(kinds)}
    return pd.DataFrame(columns, index=range(rows))


def written(frame: pd.DataFrame, form: Format, folder: Path) -> bytes:
    sink = Sink(str(folder / "spool"))
    frames.write([frame], form, sink)
    return sink.finish()[0]


@pytest.mark.parametrize("delimiter", [",", " ", "1"])
def test_csv_and_text_are_what_pandas_writes(tmp_path: Path, delimiter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_SLICE", 20)
    chance = random.Random(1)
    for _ in range(120):
        frame = frame_of(chance)
        expected = frame.to_csv(header=False, index=False, sep=delimiter, lineterminator="\n")
        assert written(frame, Format("csv", True, delimiter), tmp_path) == expected.encode("utf-8", "surrogateescape")


def test_objects_are_what_each_row_is_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_SLICE", 20)
    chance = random.Random(2)
    for _ in range(120):
        frame = frame_of(chance)
        columns = [frames._column(frame.iloc[:, place], None) for place in range(frame.shape[1])]
        rows = [dict(zip(frames.names(frame), row, strict=True)) for row in zip(*columns, strict=True)]
        expected = "".join(jsonl.dumps(row) + "\n" for row in rows).encode("utf-8", "backslashreplace")
        assert written(frame, Format("jsonl"), tmp_path) == expected


def test_any_float_has_the_digits_that_pandas_gives_it(tmp_path: Path) -> None:
    bits = random.Random(3).randbytes(8 * 5000)
    frame = pd.DataFrame({"a": [value for (value,) in struct.iter_unpack("<d", bits)]})

    expected = frame.to_csv(header=False, index=False, lineterminator="\n").encode()

    assert written(frame, Format("csv", True, ","), tmp_path) == expected


def test_plain_frames_need_no_pandas_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pd.DataFrame, "to_csv", None)
    frame = pd.DataFrame(
        {"row": range(3), "prediction": [0.5, None, 1], "ok": [True, False, True], "file_name": "a.csv"}
    )

    data = written(frame, Format("csv", True, ","), tmp_path)

    assert data == b"0,0.5,True,a.csv\n1,,False,a.csv\n2,1.0,True,a.csv\n"


def test_a_wide_frame_is_written_by_fewer_rows_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_CELLS", 100)
    frame = pd.DataFrame(np.arange(3000).reshape(75, 40))

    assert max(len(part) for _, part in frames._slices(frame)) == 2
    expected = frame.to_csv(header=False, index=False, lineterminator="\n").encode()
    assert written(frame, Format("csv", True, ","), tmp_path) == expected


def test_a_value_that_has_no_form_in_json_is_named_by_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_SLICE", 2)
    frame = pd.DataFrame({"a": pd.Series([1, 2, object()], dtype=object)})

    with pytest.raises(frames.Unencodable, match="element 2 of type dict"):
        written(frame, Format("jsonl"), tmp_path)

from __future__ import annotations

import base64
import csv
import datetime as dt
import decimal
import enum
import io
import json
import logging
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gristmill_workers.scorer import arrow, frames, rows
from gristmill_workers.scorer.formats import Format, Unencodable, Written
from gristmill_workers.scorer.sink import Sink

TEXT = Format("text", delimiter=" ")
CSV = Format("csv", delimiter=",")
JSONL = Format("jsonl")
PARQUET = Format("parquet")

Point = namedtuple("Point", ["x", "y"])  # noqa: PYI024


MOMENT = dt.datetime(2020, 1, 2, 3, tzinfo=dt.UTC)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Size:
    width: int
    height: int


@pytest.fixture
def sink(tmp_path: Path) -> Sink:
    return Sink(str(tmp_path / "spool"))


def written(result: Any, form: Format, sink: Sink) -> tuple[bytes, Written]:
    done = rows.write(result, form, sink)
    return sink.finish()[0], done


def objects(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.decode().splitlines()]


def table(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()


# text


def test_a_list_is_a_line_an_element_as_str_says(sink: Sink) -> None:
    data, done = written(["a b", 1, 2.0, None, ("x", 1), np.float32(0.1), {"k": 1}], TEXT, sink)

    assert data == b"a b\n1\n2.0\nNone\n('x', 1)\n0.1\n{'k': 1}\n"
    assert (done.rows, done.columns, done.encoding) == (7, None, "text")


def test_no_elements_are_no_bytes(sink: Sink) -> None:
    assert written([], TEXT, sink)[0] == b""


def test_arrays_and_series_are_written_by_element(tmp_path: Path) -> None:
    results = [np.array([1.5, 2]), np.array([[1, 2], [3, 4]]), pd.Series([1, 2]), pd.array(["a", None], dtype="string")]

    texts = [written(result, TEXT, Sink(str(tmp_path / "spool")))[0] for result in results]

    assert texts == [b"1.5\n2.0\n", b"[1 2]\n[3 4]\n", b"1\n2\n", b"a\n<NA>\n"]


def test_a_frame_in_text_is_what_pandas_writes(sink: Sink) -> None:
    frame = pd.DataFrame({"f": ["a b.png", "c.png"], "n": [7, 8], "p": [1.0, None], "s": ['say "x"', ""]})

    data, done = written(frame, TEXT, sink)

    assert data.decode() == frame.to_csv(header=False, index=False, sep=" ", lineterminator="\n")
    assert data.splitlines()[0] == b'"a b.png" 7 1.0 "say ""x"""'
    assert (done.rows, done.columns, done.encoding) == (2, None, "text")


def test_names_that_are_no_utf8_keep_their_bytes(tmp_path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    for form, result in [(TEXT, [name]), (TEXT, pd.DataFrame({"n": pd.Series([name], dtype=object)})), (CSV, [name])]:
        assert written(result, form, Sink(str(tmp_path / "spool")))[0] == b"caf\xe9\n"


def test_half_a_character_that_no_name_holds_is_refused_by_index(sink: Sink) -> None:
    with pytest.raises(Unencodable, match="element 1 of type str: UnicodeEncodeError"):
        written(["a", "\ud800"], TEXT, sink)


def test_text_with_a_header_names_its_columns(tmp_path: Path) -> None:
    headed = Format("text", header=True)
    cases = [
        (["a"], ["prediction"]),
        (pd.Series([1], name="label"), ["label"]),
        (pd.DataFrame({"a": [1], 2: [3]}), ["a", "2"]),
    ]

    for result, columns in cases:
        assert written(result, headed, Sink(str(tmp_path / "spool")))[1].columns == columns


def test_many_elements_are_written_in_order(sink: Sink) -> None:
    data, done = written(list(range(20_000)), TEXT, sink)

    assert data == "".join(f"{i}\n" for i in range(20_000)).encode()
    assert done.rows == 20_000


def test_a_line_break_in_an_element_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_warned", [])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            written(["a\nb", "c"], TEXT, Sink(str(tmp_path / "spool")))

    assert len(caplog.records) == 1


# csv


@pytest.mark.parametrize(
    ("result", "columns", "lines"),
    [
        (["a", "b,c", 'q"', None, "r\rs", ""], ["prediction"], 'a\n"b,c"\n"q"""\n""\n"r\rs"\n""\n'),
        ([{"a": 1, "b": 2}, {"b": 3, "c": float("nan")}], ["a", "b", "c"], "1,2,\n,3,\n"),
        ([(1, "x"), [2]], ["column_0", "column_1"], "1,x\n2,\n"),
        ([Point(1, 2), Point(3, 4)], ["x", "y"], "1,2\n3,4\n"),
        ([Size(1, 2)], ["width", "height"], "1,2\n"),
        ([True, 2, 0.1], ["prediction"], "True\n2\n0.1\n"),
        (np.array([0.1, 2], dtype="float32"), ["prediction"], "0.1\n2.0\n"),
        (np.array([[1, 2], [3, 4]]), ["column_0", "column_1"], "1,2\n3,4\n"),
        (pd.Series([1.5], name="p"), ["p"], "1.5\n"),
        ([pd.Series({"a": 1, "b": 2})], ["a", "b"], "1,2\n"),
        (pd.DataFrame({"a": [1], "b": ["x,y"]}), ["a", "b"], '1,"x,y"\n'),
        (pd.DataFrame({("a", 1): [1]}), ["a_1"], "1\n"),
        ([], ["prediction"], ""),
    ],
)
def test_csv_has_columns(sink: Sink, result: Any, columns: list[str], lines: str) -> None:
    data, done = written(result, CSV, sink)

    assert (data.decode(), done.columns, done.encoding, done.rows) == (lines, columns, "csv", len(result))


def test_csv_reads_back_whatever_the_text(sink: Sink) -> None:
    values = ["plain", "a,b", "\n", "\r", "\r\n", '"', "", " ", "ü", "'"]

    data, _ = written([[value, "end"] for value in values], CSV, sink)

    assert list(csv.reader(io.StringIO(data.decode(), newline=""))) == [[value, "end"] for value in values]


@pytest.mark.parametrize("form", [CSV, PARQUET])
def test_elements_of_several_kinds_are_refused_by_index(sink: Sink, form: Format) -> None:
    with pytest.raises(Unencodable, match="element 2 of type str: it is a single value, element 0 is a mapping"):
        written([{"a": 1}, {"a": 2}, "x"], form, sink)


def test_a_csv_cell_that_has_no_text_is_named(sink: Sink) -> None:
    class Loud:
        def __str__(self) -> str:
            raise ValueError("no text")

    with pytest.raises(Unencodable, match="element 1 of type Loud: ValueError: no text"):
        written(["a", Loud()], CSV, sink)


def test_many_csv_rows_are_written_in_order(sink: Sink) -> None:
    data, _ = written([(i, "x") for i in range(10_000)], CSV, sink)

    assert data.decode() == "".join(f"{i},x\n" for i in range(10_000))


# jsonl


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (["a", 1, None, True], [{"prediction": "a"}, {"prediction": 1}, {"prediction": None}, {"prediction": True}]),
        ([{"a": [1, {"b": (2,)}]}], [{"a": [1, {"b": [2]}]}]),
        ([(1, "x")], [{"column_0": 1, "column_1": "x"}]),
        ([Point(1, 2), Size(3, 4)], [{"x": 1, "y": 2}, {"width": 3, "height": 4}]),
        ([{1: "a", None: "b"}], [{"1": "a", "null": "b"}]),
        ([{np.int64(1): float("nan")}], [{"1": None}]),
        ([float("inf"), np.float64("nan"), np.float32(0.5)], [{"prediction": None}] * 2 + [{"prediction": 0.5}]),
        (np.array([1, 2]), [{"prediction": 1}, {"prediction": 2}]),
        (np.array([[1.0, np.nan]]), [{"column_0": 1.0, "column_1": None}]),
        ([{"v": np.array([1, 2]), "s": {3}}], [{"v": [1, 2], "s": [3]}]),
        (pd.Series([1], name="p"), [{"p": 1}]),
        ([b"\x00\xff"], [{"prediction": base64.b64encode(b"\x00\xff").decode()}]),
        ([MOMENT, MOMENT.date()], [{"prediction": "2020-01-02T03:00:00+00:00"}, {"prediction": "2020-01-02"}]),
        ([dt.timedelta(seconds=90), decimal.Decimal("1.10")], [{"prediction": 90.0}, {"prediction": "1.10"}]),
        ([Path("a/b"), Colour.RED, MOMENT.time()], [{"prediction": text} for text in ("a/b", "red", "03:00:00")]),
        ([pd.NaT, pd.NA, np.datetime64("NaT")], [{"prediction": None}] * 3),
        ([pd.Timestamp("2020-01-02")], [{"prediction": "2020-01-02T00:00:00"}]),
        ([np.datetime64("2020-01-02", "s")], [{"prediction": "2020-01-02T00:00:00"}]),
    ],
)  # fmt: skip
def test_json_lines_hold_pythons_own_values(sink: Sink, result: Any, expected: list[Any]) -> None:
    data, done = written(result, JSONL, sink)

    assert objects(data) == expected
    assert (done.rows, done.encoding, done.columns) == (len(result), "jsonl", None)


def test_frames_become_objects(sink: Sink) -> None:
    frame = pd.DataFrame(
        {
            "i": [1, 2],
            "f": [0.5, None],
            "big": [float("inf"), 1.0],
            "t": [pd.Timestamp("2020-01-02 03:04:05"), None],
            "s": ["ü", None],
            "o": [{"k": [1]}, np.int64(3)],
            "c": pd.Categorical(["a", None]),
            "n": pd.array([1, None], dtype="Int64"),
            "b": [True, False],
        }
    )

    data, done = written(frame, JSONL, sink)

    assert objects(data) == [
        {
            "i": 1,
            "f": 0.5,
            "big": None,
            "t": "2020-01-02T03:04:05",
            "s": "ü",
            "o": {"k": [1]},
            "c": "a",
            "n": 1,
            "b": True,
        },
        {"i": 2, "f": None, "big": 1.0, "t": None, "s": None, "o": 3, "c": None, "n": None, "b": False},
    ]
    assert done.rows == 2
    assert "ü".encode() in data


def test_frames_with_twice_the_same_name_or_no_columns_pass(tmp_path: Path) -> None:
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    none = pd.DataFrame(index=range(2))

    assert objects(written(twice, JSONL, Sink(str(tmp_path / "a")))[0]) == [{"a": 2}]
    assert objects(written(none, JSONL, Sink(str(tmp_path / "b")))[0]) == [{}, {}]


def test_a_long_frame_is_written_whole(sink: Sink) -> None:
    data, done = written(pd.DataFrame({"i": range(20_000)}), JSONL, sink)

    assert [row["i"] for row in objects(data)] == list(range(20_000))
    assert done.rows == 20_000


def test_half_characters_stay_json_escapes(sink: Sink) -> None:
    data, _ = written(["caf\udce9", "\ud800", "back\\slash"], JSONL, sink)

    assert data.isascii()
    assert [row["prediction"] for row in objects(data)] == ["caf\udce9", "\ud800", "back\\slash"]


def test_an_object_json_knows_nothing_of_is_named(sink: Sink) -> None:
    with pytest.raises(Unencodable, match=r"element 1 of type object: TypeError: object has no form in JSON"):
        written([1, object()], JSONL, sink)


# parquet


def test_frames_become_one_arrow_stream(sink: Sink) -> None:
    frame = pd.DataFrame({"i": [1, 2], 5: ["x", None]}, index=[7, 8])

    data, done = written(frame, PARQUET, sink)

    assert table(data).to_pylist() == [{"i": 1, "5": "x"}, {"i": 2, "5": None}]
    assert (done.rows, done.encoding, done.columns) == (2, "arrow", ["i", "5"])
    assert not table(data).schema.metadata


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (["a", None], [{"prediction": "a"}, {"prediction": None}]),
        ([{"a": 1}, {"b": 2.5}], [{"a": 1, "b": None}, {"a": None, "b": 2.5}]),
        (np.array([[1, 2]]), [{"column_0": 1, "column_1": 2}]),
        (pd.Series([np.float32(0.5)], name="p"), [{"p": 0.5}]),
        ([{"v": np.array([1, 2])}], [{"v": [1, 2]}]),
        ([], []),
    ],
)
def test_lists_become_one_arrow_stream(sink: Sink, result: Any, expected: list[Any]) -> None:
    data, done = written(result, PARQUET, sink)

    assert table(data).to_pylist() == expected
    assert done.rows == len(result)


def test_parquet_escapes_what_is_no_utf8_and_nulls_what_is_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": pd.Series(["caf\udce9"], dtype=object), "i": [1]})

    data, _ = written(["caf\udce9", pd.NA, None], PARQUET, Sink(str(tmp_path / "a")))

    assert table(data).to_pylist() == [{"prediction": "caf\\udce9"}, {"prediction": None}, {"prediction": None}]
    data, _ = written(frame, PARQUET, Sink(str(tmp_path / "b")))
    assert table(data).to_pylist() == [{"n": "caf\\udce9", "i": 1}]


def test_a_column_of_several_types_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unencodable, match="column prediction: Arrow"):
        written(["a", 1], PARQUET, Sink(str(tmp_path / "a")))
    with pytest.raises(Unencodable, match="a column of the DataFrame: Arrow"):
        written(pd.DataFrame({"a": pd.Series(["x", 1], dtype=object)}), PARQUET, Sink(str(tmp_path / "b")))


@pytest.mark.parametrize("result", [["a"], pd.DataFrame({"prediction": ["a"]})])
def test_without_pyarrow_parquet_is_json_lines(sink: Sink, monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    monkeypatch.setattr(arrow, "available", lambda: False)

    data, done = written(result, PARQUET, sink)

    assert (objects(data), done.encoding) == ([{"prediction": "a"}], "jsonl")


# none, streams of frames


@pytest.mark.parametrize("result", [["a", "b"], pd.DataFrame({"a": [1, 2]}), np.array([1, 2])])
def test_rows_that_are_only_counted_are_not_written(sink: Sink, result: Any) -> None:
    data, done = written(result, Format("none"), sink)

    assert (data, done.rows, done.encoding, done.columns) == (b"", 2, "none", None)


def parts() -> list[pd.DataFrame]:
    return [pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [2.5]})]


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (TEXT, b"1\n2\n2.5\n"),
        (CSV, b"1\n2\n2.5\n"),
        (JSONL, b'{"a":1}\n{"a":2}\n{"a":2.5}\n'),
        (Format("none"), b""),
    ],
)
def test_a_stream_of_frames_is_written_frame_by_frame(sink: Sink, form: Format, data: bytes) -> None:
    seen = []

    def stream() -> Any:
        for part in parts():
            seen.append(sink.size)
            yield part

    done = frames.write(stream(), form, sink)

    assert (sink.finish()[0], done.rows) == (data, 3)
    assert done.columns == (["a"] if form is CSV else None)
    assert (seen[1] > 0) == (form.kind != "none")


def test_a_stream_of_frames_is_one_arrow_stream_of_one_schema(sink: Sink) -> None:
    done = frames.write(iter(parts()), PARQUET, sink)

    assert table(sink.finish()[0]).to_pylist() == [{"a": 1.0}, {"a": 2.0}, {"a": 2.5}]
    assert done.rows == 3


@pytest.mark.parametrize("form", [TEXT, CSV, JSONL, PARQUET, Format("none")])
def test_no_frames_are_no_rows(sink: Sink, form: Format) -> None:
    assert frames.write(iter([]), form, sink).rows == 0
    assert sink.finish() == (b"", None)


def test_frames_with_other_columns_are_refused(sink: Sink) -> None:
    with pytest.raises(Unencodable, match=r"part 1: its columns are \['b'\], those before it \['a'\]"):
        frames.write(iter([pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})]), CSV, sink)


def test_what_the_stream_itself_raises_passes(sink: Sink) -> None:
    def stream() -> Any:
        yield pd.DataFrame({"a": [1]})
        raise KeyError("the model's own")

    with pytest.raises(KeyError):
        frames.write(stream(), CSV, sink)


def test_a_frame_that_pandas_cannot_write_is_named(sink: Sink) -> None:
    class Loud:
        def __str__(self) -> str:
            raise ValueError("no text")

    with pytest.raises(Unencodable, match="the DataFrame: ValueError: no text"):
        written(pd.DataFrame({"a": [Loud()]}), CSV, sink)

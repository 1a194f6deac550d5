"""CSV and Parquet files become the tables that the signature asks for."""

from __future__ import annotations

import datetime as dt
import decimal
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from mlflow.types.schema import ColSpec, TensorSpec

from gristmill_workers.scorer import tables
from gristmill_workers.scorer.signature import Column, Signature, Tensor, read_signature
from gristmill_workers.scorer.sources import Source


def dtypes(model, table):
    return [" ".join(str(dtype) for dtype in table.dtypes)] * len(table)


def kind(model, data):
    return [f"{type(data).__name__} {data.shape} {getattr(data, 'dtype', '')}".strip()] * len(data)


def columns(**types: str) -> list[Column]:
    return [Column(name, type_, optional=False) for name, type_ in types.items()]


def source(path):
    return Source(path.name, str(path), path.name)


def read(path, **types):
    frames = list(tables.read_table(source(path), path.suffix[1:], Signature(columns(**types)), None))
    return frames[0] if frames else None


def csv(tmp_path, text, **types):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path, **types)


def parquet(tmp_path, frame, **types):
    path = tmp_path / "x.parquet"
    frame.to_parquet(path)
    return read(path, **types)


# -- CSV ------------------------------------------------------------------------------------------------------------


def test_every_type_of_the_signature_is_given_while_reading(tmp_path):
    frame = csv(
        tmp_path,
        "b,i,l,f,d,s,t,y\nTrue,1,2,3,4,05,2024-02-29 10:00:00,aGk=\nfalse,-1,-2,.5,1e3,,2024-03-01 00:00:00,AA==\n",
        b="boolean", i="integer", l="long", f="float", d="double", s="string", t="datetime", y="binary",
    )  # fmt: skip
    found = [str(dtype) for dtype in frame.dtypes[["b", "i", "l", "f", "d"]]]
    assert found == ["bool", "int32", "int64", "float32", "float64"]
    assert frame["s"][0] == "05"
    assert pd.isna(frame["s"][1])
    assert frame["t"].tolist() == [pd.Timestamp("2024-02-29 10:00"), pd.Timestamp("2024-03-01")]
    assert frame["y"].tolist() == [b"hi", b"\0"]


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        ("long", "value", r"invalid literal for int\(\) with base 10: 'value'"),
        ("integer", "value", r"invalid literal for int\(\) with base 10: 'value'"),
        ("integer", "3000000000", "column 'a' holds 3000000000, which does not fit in 32 bits"),
        ("integer", "-3000000000", "column 'a' holds -3000000000, which does not fit in 32 bits"),
        ("long", "1.5", "cannot safely convert"),
        ("long", "", "Integer column has NA values"),
        ("double", "value", "could not convert string to float: 'value'"),
        ("boolean", "perhaps", "cannot safely convert"),
        ("boolean", "", "Bool column has NA values"),
        ("datetime", "yesterday-ish", "yesterday-ish"),
        ("binary", "not base64!", "a binary column holds base64, not 'not base64!'"),
    ],
)
def test_a_value_of_another_type_fails_the_file(tmp_path, type_, value, message):
    with pytest.raises((ValueError, OverflowError), match=message):
        csv(tmp_path, f"a,b\n{value},1\n", a=type_)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert csv(tmp_path, "\ufeffa,b\n1,2\n", a="long").columns.tolist() == ["a", "b"]


def test_a_file_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(UnicodeDecodeError):
        csv(tmp_path, b"a\n\xe9\n", a="string")


def test_a_file_without_a_header_line_is_refused(tmp_path):
    with pytest.raises(pd.errors.EmptyDataError):
        csv(tmp_path, "", a="long")


@pytest.mark.parametrize("rows", [None, 10])
def test_a_header_alone_is_no_table_at_all(tmp_path, rows):
    (tmp_path / "x.csv").write_text("a\n")
    assert list(tables.read_table(source(tmp_path / "x.csv"), "csv", Signature(), rows)) == []


def test_columns_without_names_are_typed_by_their_place(tmp_path):
    signature = Signature([Column(None, "double", optional=False), Column(None, "datetime", optional=False)])
    (tmp_path / "x.csv").write_text("p,q,r\n1,2024-01-01,3\n")
    (frame,) = tables.read_table(source(tmp_path / "x.csv"), "csv", signature, None)
    assert frame["p"].dtype == "float64"
    assert frame["q"].tolist() == [pd.Timestamp("2024-01-01")]
    assert frame["r"].dtype == "int64"


def test_an_optional_bool_column_may_have_gaps(bench):
    inputs = [ColSpec("boolean", "a", required=False), ColSpec("long", "b")]
    b = bench(lambda model, table: [str(value) for value in table["a"]], inputs)
    outcome = b.score(b.csv("x.csv", "a,b\nTrue,1\n,2\n"))
    assert outcome.frame["prediction"].tolist() == ["True", "nan"]


def test_an_optional_column_may_lack(bench):
    b = bench(dtypes, [ColSpec("long", "a"), ColSpec("double", "b", required=False)])
    outcome = b.score(b.csv("x.csv", "a\n1\n"), b.csv("y.csv", "a,b\n1,2\n"))
    assert outcome.frame["prediction"].tolist() == ["int64", "int64 float64"]


def test_every_type_passes_mlflows_own_check(bench):
    types = ["boolean", "integer", "long", "float", "double", "string", "datetime", "binary"]
    b = bench(dtypes, [ColSpec(type_, type_) for type_ in types])
    outcome = b.score(b.csv("x.csv", ",".join(types) + "\nTrue,1,2,3,4,x,2024-01-01,aGk=\n"))
    assert outcome.errors == []
    found = outcome.frame["prediction"][0].split()
    assert found[:5] == ["bool", "int32", "int64", "float32", "float64"]
    assert found[6].startswith("datetime64")


def test_columns_come_in_the_signatures_order(bench):
    b = bench(lambda model, table: [" ".join(table.columns)] * len(table), [ColSpec("long", "b"), ColSpec("long", "a")])
    assert b.score(b.csv("x.csv", "a,b\n1,2\n")).frame["prediction"].tolist() == ["b a"]


# -- Parquet --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["parquet", "PQT"])
def test_parquet_is_read_by_either_name(bench, extension):
    b = bench(lambda model, table: table["a"] + 0.5, [ColSpec("double", "a")])
    pd.DataFrame({"a": [1, 2]}).to_parquet(b.root / f"x.{extension}")
    assert b.score(f"x.{extension}").frame["prediction"].tolist() == [1.5, 2.5]


def test_a_folder_named_like_a_partition_adds_no_column(bench):
    b = bench(lambda model, table: [" ".join(table.columns)] * len(table))
    (b.root / "year=2024").mkdir()
    pd.DataFrame({"a": [1]}).to_parquet(b.root / "year=2024" / "x.parquet")
    assert b.score("year=2024/x.parquet").frame["prediction"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("type_", "values", "expected"),
    [
        ("integer", pd.Series([1, 2], dtype="int64"), "int32"),
        ("integer", pd.Series([1.0, 2.0]), "int32"),
        ("long", pd.Series(["1", "2"]), "int64"),
        ("long", pd.Series([1, 2], dtype="Int64"), "int64"),
        ("long", pd.Series([1, 2], dtype="uint64"), "int64"),
        ("float", pd.Series([1.0, 2.0]), "float32"),
        ("double", pd.Series([1, 2]), "float64"),
        ("double", pd.Series(["1.5", "2"]), "float64"),
        ("double", pd.Series([decimal.Decimal("1.5")]), "float64"),
    ],
)
def test_parquet_numbers_are_cast_as_the_signature_says(tmp_path, type_, values, expected):
    frame = parquet(tmp_path, pd.DataFrame({"a": values}), a=type_)
    assert str(frame["a"].dtype) == expected
    assert frame["a"].astype(float).tolist() == values.astype(float).tolist()


@pytest.mark.parametrize("values", [pd.Series([1.5]), pd.Series([1.0, np.nan]), pd.Series([True]), pd.Series([1e30])])
def test_what_is_no_whole_number_is_left_to_mlflows_refusal(bench, tmp_path, values):
    b = bench(dtypes, [ColSpec("long", "a")])
    pd.DataFrame({"a": values}).to_parquet(b.root / "x.parquet")
    (message,) = b.score("x.parquet").messages
    assert "Incompatible input types for column a" in message


def test_numbers_categories_and_dates_become_what_text_and_datetime_columns_hold(tmp_path):
    frame = pd.DataFrame(
        {"s": [1, 2], "c": pd.Categorical(["x", "y"]), "t": [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]}
    )
    found = parquet(tmp_path, frame, s="string", c="string", t="datetime")
    assert found["s"].tolist() == ["1", "2"]
    assert found["c"].tolist() == ["x", "y"]
    assert not isinstance(found["c"].dtype, pd.CategoricalDtype)
    assert found["t"].tolist() == [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")]


def test_parquet_bytes_are_no_base64(tmp_path):
    assert parquet(tmp_path, pd.DataFrame({"y": [b"aGk="]}), y="binary")["y"].tolist() == [b"aGk="]


def test_nested_columns_are_left_to_mlflow(bench):
    from mlflow.types.schema import Array, DataType

    b = bench(lambda model, table: [sum(values) for values in table["v"]], [ColSpec(Array(DataType.double), "v")])
    pd.DataFrame({"v": [[1.0, 2.0], [3.0]]}).to_parquet(b.root / "x.parquet")
    outcome = b.score("x.parquet")
    assert outcome.errors == []
    assert outcome.frame["prediction"].tolist() == [3.0, 3.0]


def test_a_damaged_parquet_file_is_unreadable(bench):
    b = bench(dtypes)
    (error,) = b.score(b.file("x.parquet", b"PAR1 nonsense")).errors
    assert (error["category"], error["final"]) == ("unreadable", True)


def test_a_table_keeps_its_own_index_out_of_the_rows(bench):
    b = bench(lambda model, table: table["a"], rows_per_predict=2)
    pd.DataFrame({"a": [5, 6, 7]}, index=[30, 10, 20]).to_parquet(b.root / "x.parquet")
    frame = b.score("x.parquet").frame
    assert frame["row"].tolist() == [0, 1, 2]
    assert frame["prediction"].tolist() == [5, 6, 7]


# -- tables for tensors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "name", "expected"),
    [
        ((-1, 4), None, "ndarray (2, 4) float32"),
        ((-1, 2, 2), None, "ndarray (2, 2, 2) float32"),
        ((-1, 1, 2, 2), None, "ndarray (2, 1, 2, 2) float32"),
    ],
)
def test_a_table_fills_a_tensor_of_as_many_values_a_row(bench, shape, name, expected):
    b = bench(kind, [TensorSpec(np.dtype("float32"), shape, name)])
    outcome = b.score(b.csv("x.csv", "a,b,c,d\n1,2,3,4\n5,6,7,8\n"))
    assert outcome.errors == []
    assert outcome.frame["prediction"].tolist() == [expected] * 2


def test_a_named_tensor_is_a_dict(bench):
    b = bench(
        lambda model, data: [f"{type(data).__name__} {key} {value.shape}" for key, value in data.items()],
        [TensorSpec(np.dtype("float32"), (-1, 4), "pixels")],
    )
    outcome = b.score(b.csv("x.csv", "a,b,c,d\n1,2,3,4\n"))
    assert outcome.frame["prediction"].tolist() == ["dict pixels (1, 4)"]


def test_tensors_by_name_are_taken_from_their_columns(bench):
    inputs = [TensorSpec(np.dtype("float64"), (-1,), "a"), TensorSpec(np.dtype("int32"), (-1,), "b")]
    b = bench(lambda model, data: data["a"] + data["b"], inputs)
    outcome = b.score(b.csv("x.csv", "a,b\n1,2\n0.5,3\n"))
    assert outcome.errors == []
    assert outcome.frame["prediction"].tolist() == [3.0, 3.5]


def test_a_table_of_another_width_is_left_to_mlflows_refusal(bench):
    b = bench(kind, [TensorSpec(np.dtype("float64"), (-1, 4))])
    assert "(-1, 4)" in b.score(b.csv("x.csv", "a,b\n1,2\n")).messages[0]


def test_a_table_of_lists_fills_a_tensor_as_mlflow_does_it(bench):
    b = bench(kind, [TensorSpec(np.dtype("float64"), (-1, 2))])
    pd.DataFrame({"v": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}).to_parquet(b.root / "x.parquet")
    outcome = b.score("x.parquet")
    assert outcome.errors == []
    assert outcome.frame["prediction"].tolist() == ["ndarray (3, 2) float64"] * 3


def test_a_text_in_a_tensors_table_fails_the_file(bench):
    b = bench(kind, [TensorSpec(np.dtype("float64"), (-1, 2))])
    assert b.score(b.csv("x.csv", "a,b\n1,x\n")).messages[0].endswith("could not convert string to float: 'x'")


def test_a_signature_of_an_old_mlflow_is_read(bench):
    class Spec:
        """ColSpec before optional columns were thought of."""

        type = ColSpec("long").type
        name = "a"

    class Model:
        class metadata:  # noqa: N801
            @staticmethod
            def get_input_schema():
                class Schema:
                    inputs = (Spec,)

                    @staticmethod
                    def is_tensor_spec():
                        return False

                return Schema

    (column,) = read_signature(Model).columns
    assert (column.name, column.type, column.optional) == ("a", "long", False)


def test_a_tensor_says_itself_in_messages():
    assert str(Tensor(None, (-1, 28), np.dtype("uint8"))) == "uint8 (-1, 28)"


def test_of_a_file_read_some_rows_at_a_time_nothing_is_kept(tmp_path):
    path = tmp_path / "x.parquet"
    frame = pd.DataFrame({"a": np.arange(1_000_000)})
    frame.to_parquet(path, row_group_size=50_000, compression=None)
    tracemalloc.start()
    try:
        read = [len(one) for one in tables.read_table(source(path), "parquet", Signature(), 60_000)]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert read == [60_000] * 16 + [40_000], "as many rows at a time as were asked for, whatever the row groups"
    assert path.stat().st_size > 8_000_000
    assert most < 4_000_000

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from gristmill import spec
from gristmill.errors import Corrupt, MissingExtra, Mistake, NotFound
from gristmill.results import read_errors, read_summary, read_table

CSV = spec.Settings(output_format=spec.RowFormat.CSV, header=True, delimiter=",")


def write(folder: Path, text: str) -> str:
    path = folder / "file"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_summary_is_its_document(tmp_path: Path) -> None:
    assert read_summary(write(tmp_path, '{"items": {"in": 3}}')) == {"items": {"in": 3}}


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_a_damaged_summary_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(Corrupt, match=str(tmp_path)):
        read_summary(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no such file"):
        read_summary(str(tmp_path / "none"))


def test_a_file_elsewhere_is_to_be_read_there() -> None:
    with pytest.raises(NotFound, match=r"s3://b/summary\.json: lies on another store"):
        read_summary("s3://b/summary.json")


def test_errors_are_a_document_a_line_also_with_odd_line_ends_inside(tmp_path: Path) -> None:
    lines = [{"file": "a\u2028b.png"}, {"file": "c.png"}]

    assert read_errors(write(tmp_path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))) == lines


def test_csv_with_a_header_has_named_columns(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "row,prediction\n0,1.5\n1,2.5\n"), CSV)

    assert list(table.columns) == ["row", "prediction"]
    assert table["prediction"].tolist() == [1.5, 2.5]


def test_azures_text_form_has_numbered_columns(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a.png 7\nb.png 3\n"), spec.Settings())

    assert table.to_dict("list") == {0: ["a.png", "b.png"], 1: [7, 3]}


def test_text_that_is_no_table_is_a_value_a_line(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "one\n[1, 2, 3]\n"), spec.Settings())

    assert table.to_dict("list") == {0: ["one", "[1, 2, 3]"]}


def test_csv_that_is_no_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(pd.errors.ParserError):
        read_table(write(tmp_path, "a\n1,2,3\n1,2,3,4\n"), CSV)


def test_an_empty_output_is_an_empty_table(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, ""), spec.Settings()).empty


def test_json_lines_keep_their_values_as_they_are(tmp_path: Path) -> None:
    settings = spec.Settings(output_format=spec.RowFormat.JSONL)
    table = read_table(write(tmp_path, '{"file_name": "007", "date": "2026-01-02"}\n'), settings)

    assert table.to_dict("list") == {"file_name": ["007"], "date": ["2026-01-02"]}


def test_parquet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pd.DataFrame({"a": [1, 2]}).to_parquet(path)
    settings = spec.Settings(output_format=spec.RowFormat.PARQUET)

    assert read_table(str(path), settings)["a"].tolist() == [1, 2]


def test_a_job_without_rows_has_no_table() -> None:
    with pytest.raises(Mistake, match="summary_only"):
        read_table("/out", spec.Settings(output_action=spec.OutputAction.SUMMARY_ONLY))


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(MissingExtra, match=r"gristmill\[mlflow\]"):
        read_table("/out/predictions.csv", spec.Settings())

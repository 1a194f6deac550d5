"""Slices of tables: the rows, numbers and types that the whole table has, or a failure that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.types.schema import ColSpec

from gristmill.spec import Input
from gristmill_storage.listing import list_input
from gristmill_storage.slices import Slice
from gristmill_storage.splitting import Splitter
from gristmill_workers.scorer import tables
from gristmill_workers.scorer.failures import ItemFailed
from gristmill_workers.scorer.numbered import table
from gristmill_workers.scorer.signature import Column, Signature
from gristmill_workers.scorer.sources import Source, sources

LONG_A = [Column("a", "long", optional=False)]


def cut(folder: Path, size: int) -> tuple[list[str], list[dict[str, Any]]]:
    given = Input(uri=str(folder))
    files = list_input(given, recursive=True, sizes=True)
    found = [item.name for item in Splitter(given, lambda: pytest.fail("is local"), size=size).items(files)]
    pieces = [(name, Slice.of(name)) for name in found]
    told = [{"at": p.file, **p.document()} if p else {"at": name, "file": name} for name, p in pieces]
    return found, told


def read(folder: Path, size: int, signature: Signature, rows: int | None = None) -> list[pd.DataFrame]:
    found, told = cut(folder, size)
    return [
        frame
        for source in sources(found, str(folder), told)
        for frame in tables.read_table(source, Path(source.file).suffix[1:], signature, rows)
    ]


@pytest.mark.parametrize("rows", [None, 3])
def test_slices_of_csv_are_the_whole_table_with_its_numbers(tmp_path: Path, rows: int | None) -> None:
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f'{n},"t\n{n}"\n' for n in range(50)))

    frames = read(tmp_path, 60, Signature(LONG_A), rows)

    assert len(frames) > 5
    table = pd.concat(frames)
    assert table["a"].tolist() == table.index.tolist() == list(range(50))
    assert table["b"].tolist() == [f"t\n{n}" for n in range(50)]


def test_a_first_row_that_is_longer_makes_an_index_in_every_slice(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"i{n},{n},{n}\n" for n in range(30)))

    frames = read(tmp_path, 50, Signature(LONG_A))

    assert len(frames) > 3
    assert pd.concat(frames).index.tolist() == [f"i{n}" for n in range(30)]


def test_row_groups_have_the_types_of_the_whole_table(tmp_path: Path) -> None:
    whole = pd.DataFrame({"a": [1, None, 3, 4] + [5] * 20, "b": [True] * 23 + [None], "c": range(24)})
    whole = whole.astype({"a": "Int64", "b": "boolean"})
    table = pa.Table.from_pandas(whole).replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=4)
    expected = pq.read_table(tmp_path / "x.parquet").to_pandas()

    frames = read(tmp_path, 10, Signature([]))

    assert len(frames) == 6
    assert {str(frame.dtypes.to_dict()) for frame in frames} == {str(expected.dtypes.to_dict())}
    pd.testing.assert_frame_equal(pd.concat(frames), expected)


def test_without_a_signature_no_types_are_guessed_from_a_slice(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n" + "1\n" * 50)

    with pytest.raises(ItemFailed, match="the model has no signature"):
        read(tmp_path, 20, Signature([]))


@pytest.mark.parametrize("rows", [None, 2])
def test_rows_that_are_not_those_of_the_plan_fail_the_slice(tmp_path: Path, rows: int | None) -> None:
    (tmp_path / "x.csv").write_text("a\n" + "10\n" * 50)
    found, told = cut(tmp_path, 60)
    (tmp_path / "x.csv").write_text("a\n" + "1\n" * 75)

    with pytest.raises(ItemFailed, match=r"rows found, .* counted when the job was planned"):
        list(tables.read_table(sources(found, str(tmp_path), told)[1], "csv", Signature(LONG_A), rows))


@pytest.mark.parametrize("per", ["file", "mini_batch"])
def test_a_models_rows_bear_their_numbers_and_the_files_name(bench: Any, per: str) -> None:
    b = bench(lambda _model, table: table["a"], [ColSpec("long", "a")], predict_per=per)
    (b.root / "x.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(10, 40)))
    found, told = cut(b.root, 30)

    scored = b.scorer.score(found, str(b.root), told)
    rows = pd.concat(list(map(table, scored.rows)))

    assert scored.errors == []
    assert scored.succeeded == len(found) > 2
    assert rows["row"].tolist() == list(range(30))
    assert rows["prediction"].tolist() == list(range(10, 40))
    assert set(rows["file_name"]) == {"x.csv"}


def test_a_slices_failure_says_which_rows_and_bytes(bench: Any) -> None:
    b = bench(lambda _model, table: table["a"], [ColSpec("long", "a")])
    (b.root / "x.csv").write_text("a\n" + "1\n" * 20 + "x\n" + "1\n" * 20)
    found, told = cut(b.root, 20)

    scored = b.scorer.score(found, str(b.root), told)
    rows = pd.concat(list(map(table, scored.rows)))

    (error,) = scored.errors
    piece = Slice.of(error["file"])
    assert piece is not None
    assert piece.row <= 20 < piece.row + piece.rows
    assert f"x.csv', rows {piece.row} to {piece.row + piece.rows - 1} (bytes {piece.start} to" in error["message"]
    assert len(rows) == 41 - piece.rows


def test_a_whole_file_beside_slices_is_read_as_ever(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")

    assert sources(["a.csv"], str(tmp_path), [{"at": "a.csv", "file": "a.csv"}]) == [
        Source("a.csv", str(tmp_path / "a.csv"), "a.csv")
    ]

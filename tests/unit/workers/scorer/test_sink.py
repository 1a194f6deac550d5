from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from gristmill_workers.scorer import rows
from gristmill_workers.scorer.formats import Format
from gristmill_workers.scorer.sink import Sink


def test_few_bytes_stay_in_memory(tmp_path: Path) -> None:
    sink = Sink(str(tmp_path / "spool"), limit=10)
    sink.write(b"12345")
    sink.write(b"67890")

    assert sink.finish() == (b"1234567890", None)
    assert (sink.size, list(tmp_path.iterdir())) == (10, [])


def test_many_bytes_are_a_file(tmp_path: Path) -> None:
    sink = Sink(str(tmp_path / "spool"), limit=10)
    for piece in (b"12345", b"678901", b"2"):
        sink.write(piece)

    assert sink.finish() == (b"", str(tmp_path / "spool"))
    assert (tmp_path / "spool").read_bytes() == b"123456789012"
    assert sink.size == 12


@pytest.mark.parametrize("count", [1, 20])
def test_what_is_discarded_leaves_no_file(tmp_path: Path, count: int) -> None:
    sink = Sink(str(tmp_path / "spool"), limit=10)
    sink.write(b"x" * count)

    sink.discard()
    sink.discard()

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_the_systems_error(tmp_path: Path) -> None:
    sink = Sink(str(tmp_path / "missing" / "spool"), limit=0)

    with pytest.raises(FileNotFoundError):
        sink.write(b"1")


@pytest.mark.parametrize("kind", ["text", "csv", "jsonl", "parquet"])
def test_frames_spool_too(tmp_path: Path, kind: str) -> None:
    sink = Sink(str(tmp_path / "spool"), limit=10)

    rows.write(pd.DataFrame({"a": range(100)}), Format(kind, delimiter=","), sink)

    assert sink.finish() == (b"", str(tmp_path / "spool"))
    assert (tmp_path / "spool").stat().st_size == sink.size > 10

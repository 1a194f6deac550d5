from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill.states import Category
from gristmill_workers import salvage as salvage_module
from gristmill_workers.salvage import Result, Salvage
from gristmill_workers.verdict import Halve
from gristmill_workers.work import Failed, Scored, Work

CAUSE = Halve(category="exception", message="the whole", traceback="")


@pytest.fixture
def salvage(tmp_path: Path) -> Salvage:
    return Salvage(tmp_path / "staging")


def mini_batch(number: int = 7, size: int = 4) -> Work:
    return Work(number=number, attempt=3, token="e-1", items=tuple(f"i{n}" for n in range(size)))


def done(work: Work, tmp_path: Path, *, files: dict[str, str] | None = None, spooled: bool = False) -> Scored:
    data = "".join(f"{item}\n" for item in work.items).encode()
    for name, text in (files or {}).items():
        path = tmp_path / "staging" / work.label / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    result: dict[str, Any] = {
        "n": work.number,
        "attempt": work.attempt,
        "outcome": "done",
        "items": len(work.items),
        "succeeded": len(work.items),
        "rows": len(work.items),
        "seconds": 0.5,
        "bytes": len(data),
        "columns": None,
        "encoding": "text",
        "errors": [],
        "files": sorted(files or {}),
    }
    if spooled:
        result["spool"] = str(tmp_path / f"{work.label}.spool")
        Path(result["spool"]).write_bytes(data)
    return Scored(work=work, result=result, data=b"" if spooled else data)


def crash(work: Work) -> Failed:
    return Failed(work=work, category=Category.CRASH, message="signal SIGSEGV")


def in_order(pieces: list[Work]) -> list[Work]:
    return sorted(pieces, key=lambda piece: piece.piece or (0, 0))


def left_over(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_rows_of_good_pieces_come_in_the_items_order(salvage: Salvage, tmp_path: Path) -> None:
    left, right = in_order(salvage.begin(mini_batch(), CAUSE))
    step = salvage.take(done(right, tmp_path))
    assert step is not None
    assert (step.result, step.pieces) == (None, [])
    step = salvage.take(crash(left))
    assert step is not None
    first, second = in_order(step.pieces)
    salvage.take(done(second, tmp_path))

    step = salvage.take(crash(first))

    assert step is not None
    assert step.work == mini_batch()
    assert isinstance(step.result, Result)
    assert (step.result.data, step.result.spool, step.result.files) == (b"i1\ni2\ni3\n", None, None)
    assert (step.result.block.failed, step.result.block.runs) == (1, 5)


@pytest.mark.parametrize("limit", [0, 100])
def test_rows_in_files_stay_there_and_nothing_is_left_beside_them(salvage, tmp_path, monkeypatch, limit) -> None:
    monkeypatch.setattr(salvage_module, "MEMORY_BYTES", limit)
    left, right = in_order(salvage.begin(mini_batch(), CAUSE))
    salvage.take(done(right, tmp_path, spooled=True))

    step = salvage.take(done(left, tmp_path))

    assert step.result.data == b""
    assert step.result.spool.read_bytes() == b"i0\ni1\ni2\ni3\n"
    assert left_over(tmp_path) == [step.result.spool]


def test_files_of_the_pieces_come_together_and_those_of_lines_in_order(salvage, tmp_path) -> None:
    left, right = in_order(salvage.begin(mini_batch(), CAUSE))
    salvage.take(done(right, tmp_path, files={"all.csv": "right\n", "deep/right.bin": "r"}))

    step = salvage.take(done(left, tmp_path, files={"all.csv": "left\n", "deep/left.bin": "l"}))

    assert step.result.block.files == ("all.csv", "deep/left.bin", "deep/right.bin")
    assert step.result.files == tmp_path / "staging" / "7-3"
    assert (step.result.files / "all.csv").read_text() == "left\nright\n"
    assert sorted(path.name for path in left_over(tmp_path)) == ["all.csv", "left.bin", "right.bin"]


def test_a_piece_that_failed_by_its_files_leaves_neither_rows_nor_files(salvage, tmp_path) -> None:
    left, right = in_order(salvage.begin(mini_batch(), CAUSE))
    salvage.take(done(right, tmp_path, files={"same.bin": "right"}, spooled=True))

    step = salvage.take(done(left, tmp_path, files={"same.bin": "left"}))

    assert step.result.data == b"i0\ni1\n"
    assert [error["file"] for error in step.result.block.errors] == ["i2", "i3"]
    assert left_over(tmp_path) == [tmp_path / "staging" / "7-3" / "same.bin"]
    assert (tmp_path / "staging" / "7-3" / "same.bin").read_text() == "left"


def test_what_is_given_up_is_returned_whole_and_later_answers_are_dropped(salvage, tmp_path) -> None:
    left, right = in_order(salvage.begin(mini_batch(), CAUSE))
    salvage.begin(mini_batch(8), CAUSE)
    salvage.take(done(right, tmp_path, files={"f.txt": "x"}, spooled=True))

    assert salvage.give_up() == [mini_batch(), mini_batch(8)]
    assert salvage.take(done(left, tmp_path, files={"g.txt": "x"}, spooled=True)) is None
    assert left_over(tmp_path) == []
    assert salvage.give_up() == []

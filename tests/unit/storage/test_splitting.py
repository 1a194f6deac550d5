"""Files become items: small ones whole, large ones in slices."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.errors import Mistake, NotFound, StorageFailed
from gristmill.spec import Input, InputType
from gristmill_storage.files import open_store
from gristmill_storage.listing import list_input
from gristmill_storage.minibatches import Item
from gristmill_storage.slice_fetching import fetch_item
from gristmill_storage.slices import Slice
from gristmill_storage.splitting import Splitter
from gristmill_storage.store import Store

ROWS = "a,b\n" + "".join(f"{n:04d},x\n" for n in range(100))


def items(folder: Path, *, size: int, after: str | None = None) -> list[Item]:
    given = Input(type=InputType.URI_FOLDER, uri=str(folder))
    files = list_input(given, recursive=True, sizes=True)
    return list(Splitter(given, lambda: open_store(str(folder)), size=size).items(files, after=after))


def slices(found: list[Item]) -> list[Slice]:
    return [piece for item in found if (piece := Slice.of(item.name))]


def write_parquet(path: Path, rows: int, group: int) -> None:
    pq.write_table(pa.table({"a": list(range(rows)), "b": ["x" * 50] * rows}), path, row_group_size=group)


def test_only_files_larger_than_a_slice_are_cut(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text(ROWS)
    write_parquet(tmp_path / "c.parquet", 10, 10)

    found = items(tmp_path, size=250)

    assert [item.name.split("#")[0] for item in found] == ["a.csv", "b.csv", "b.csv", "b.csv", "c.parquet"]
    assert found[0] == Item("a.csv", 8)
    assert sum(item.size for item in found if item.name.startswith("b")) == len(ROWS)


def test_row_groups_are_put_together_up_to_a_slices_bytes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", 10_000, 100)
    whole = pq.ParquetFile(tmp_path / "a.parquet").metadata
    size = 4 * whole.row_group(0).total_byte_size

    found = slices(items(tmp_path, size=size))

    assert sum(piece.rows for piece in found) == 10_000
    assert [piece.row for piece in found][:2] == [0, found[0].rows]
    assert found[0].groups == (0, found[0].rows // 100 - 1)
    assert 2 < found[0].rows // 100 <= 4
    assert found[-1].groups is not None
    assert found[-1].groups[1] == whole.num_row_groups - 1


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_plan_goes_on_behind_any_item(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    if kind == "csv":
        (tmp_path / "b.csv").write_text(ROWS)
    else:
        write_parquet(tmp_path / "b.parquet", 1000, 50)
    (tmp_path / "c.csv").write_text("a\n1\n")
    whole = items(tmp_path, size=200)

    for place, item in enumerate(whole):
        more = items(tmp_path, size=200, after=item.name)
        assert sum(one.rows for one in slices(more)) == sum(one.rows for one in slices(whole[place + 1 :]))
        assert [one.name for one in more][-1:] == [one.name for one in whole[place + 1 :]][-1:]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a.png", "is no table"), ("b.csv.gz", "is packed"), ("c", "is no table"), ("d.csv#rows=0-1", "is no table")],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / name).write_text("?")

    with pytest.raises(Mistake, match=rf"settings.split_files: .*{name}, which {reason}"):
        items(tmp_path, size=10)


def test_what_cannot_be_read_stays_whole_and_fails_later(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no Parquet at all")
    (tmp_path / "b.csv").symlink_to("nowhere.csv")

    assert [item.name for item in items(tmp_path, size=10)] == ["a.parquet", "b.csv"]


@pytest.mark.parametrize("name", ["b.csv", "b.parquet"])
def test_what_cannot_be_read_on_ends_the_plan_so_that_its_rows_are_not_lost(tmp_path: Path, name: str) -> None:
    (tmp_path / "b.csv").write_text(ROWS)
    write_parquet(tmp_path / "b.parquet", 1000, 50)
    given, size = Input(type=InputType.URI_FOLDER, uri=str(tmp_path)), 250
    file = Item(name, (tmp_path / name).stat().st_size)
    planned = next(Splitter(given, lambda: open_store(str(tmp_path)), size=size).items([file]))
    (tmp_path / name).unlink()

    with pytest.raises(StorageFailed, match=f"{name}: cannot be read: No such file"):
        list(Splitter(given, lambda: open_store(str(tmp_path)), size=size).items([file], after=planned.name))


def test_a_fault_that_may_pass_is_no_reason_to_leave_a_file_whole() -> None:
    def away() -> Store:
        raise StorageFailed("the store is away") from TimeoutError(errno.ETIMEDOUT, "timed out")

    splitter = Splitter(Input(type=InputType.URI_FOLDER, uri="s3://bucket/in"), away, size=1)

    with pytest.raises(StorageFailed, match="is away"):
        list(splitter.items([Item("b.csv", 500)]))


def test_a_table_without_rows_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n\n\n\n\n\n\n")
    write_parquet(tmp_path / "b.parquet", 0, 1)

    assert [item.name for item in items(tmp_path, size=3)] == ["a.csv", "b.parquet"]


def test_of_a_slice_only_its_bytes_are_fetched(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.csv").write_text(ROWS)
    item = items(tmp_path / "in", size=250)[1]
    piece = slices([item])[0]

    copy = fetch_item(open_store(str(tmp_path / "in")), item.name, tmp_path / "copies").read_bytes()

    assert copy[: piece.head] == ROWS[: piece.head].encode()
    assert copy[piece.start : piece.end] == ROWS[piece.start : piece.end].encode()
    assert set(copy[piece.head : piece.start]) == {0}
    assert len(copy) == piece.end


def test_a_fetched_slice_of_row_groups_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_parquet(tmp_path / "in" / "b.parquet", 1000, 50)
    item = items(tmp_path / "in", size=3000)[1]
    piece = slices([item])[0]
    assert piece.groups is not None

    copy = pq.ParquetFile(fetch_item(open_store(str(tmp_path / "in")), item.name, tmp_path / "copies"))

    first, last = piece.groups
    read = copy.read_row_groups(list(range(first, last + 1)))
    assert read["a"].to_pylist() == list(range(piece.row, piece.row + piece.rows))


def test_a_file_that_is_gone_cannot_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        fetch_item(open_store(str(tmp_path)), "b.csv#rows=0-1,bytes=0-9,head=0", tmp_path / "copies")

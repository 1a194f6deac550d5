import json
import tracemalloc
from typing import Any

import pytest

from gristmill_storage.part_format import FIELDS, Block, Place
from gristmill_storage.part_index import IndexedBlocks, columns_of

LINE = {
    "mini_batch": 7, "attempt": 1, "items": 4, "succeeded": 4, "failed": 0, "rows": 4, "seconds": 0.5,
    "encoding": "csv", "columns": 0, "start": 300, "size": 1000, "crc": 4_000_000_000, "errors_start": 5000,
    "errors_size": 0, "errors_crc": 0, "files": [], "pieces": [], "runs": 1,
}  # fmt: skip


def index(*lines: dict[str, Any], columns: tuple[tuple[str, ...], ...] = (("a", "b"),)) -> bytes:
    blocks = [[{**LINE, **line}[name] for name in FIELDS] for line in lines]
    return json.dumps({"fields": FIELDS, "columns": columns, "blocks": blocks}, separators=(",", ":")).encode()


def test_blocks_come_sorted_whatever_order_they_were_written_in() -> None:
    blocks = IndexedBlocks(index({"mini_batch": 9}, {"mini_batch": 2, "files": ["f"]}, {}))

    assert [block.mini_batch for block in blocks] == [2, 7, 9]
    assert [block.files for block in blocks] == [("f",), (), ()]
    assert blocks[1] == blocks[-2] == blocks[1:2][0]
    assert blocks[1] == Block(
        mini_batch=7, attempt=1, items=4, succeeded=4, failed=0, rows=4, seconds=0.5, encoding="csv",
        columns=("a", "b"), size=1000,
    )  # fmt: skip


def test_a_place_is_found_by_its_mini_batch_and_none_for_another() -> None:
    blocks = IndexedBlocks(index({"mini_batch": 9, "start": 1}, {}))

    assert blocks.place(9).start == 1
    assert blocks.place(7) == Place(300, 1000, 4_000_000_000, 5000, 0, 0)
    for missing in (0, 8, 10):
        with pytest.raises(KeyError):
            blocks.place(missing)
    assert (len(IndexedBlocks()), list(IndexedBlocks(index()))) == (0, [])


def test_columns_are_read_without_the_blocks() -> None:
    names = (("a", "b"), (',"blocks":[', '\\",'))

    assert columns_of(index({}, columns=names)) == list(names)
    assert columns_of(index({}, columns=names)[:-40]) == list(names)


@pytest.mark.parametrize(
    "line",
    [
        {"mini_batch": -1}, {"items": -1}, {"rows": 2.5}, {"start": -5}, {"size": None}, {"seconds": "x"},
        {"encoding": "xml"}, {"columns": 3}, {"pieces": [[1, 1]]}, {"files": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused(line: dict[str, Any]) -> None:
    with pytest.raises((LookupError, OverflowError, TypeError, ValueError)):
        IndexedBlocks(index({}, line))


def test_a_block_with_another_number_of_fields_is_refused() -> None:
    for spoil in (lambda line: [*line, 0], lambda line: line[:-1]):
        document = json.loads(index({}, {"mini_batch": 8}))
        document["blocks"][1] = spoil(document["blocks"][1])
        with pytest.raises(ValueError, match="18 fields"):
            IndexedBlocks(json.dumps(document).encode())


def test_ten_thousand_blocks_take_little_memory() -> None:
    data = index(*({"mini_batch": n, "start": 1000 * n, "seconds": n / 7} for n in range(10_000)))
    tracemalloc.start()
    try:
        blocks = IndexedBlocks(data)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(blocks) == 10_000
    assert held < 10_000 * 180

from __future__ import annotations

import tracemalloc

import pytest

from gristmill.errors import Corrupt
from gristmill_storage.manifest_chunk import Chunk

COUNT = 4096
LINES = [b'{"n":%d,"items":["folder/%06d-a.png","folder/%06d-b.png"],"bytes":7}' % (n, n, n) for n in range(COUNT)]


def chunk(lines: list[bytes]) -> Chunk:
    return Chunk("chunk", b"\n".join([*lines, b'{"next":%d}' % len(lines), b""]), 0)


def spoiled(number: int, line: bytes) -> list[bytes]:
    return [*LINES[:number], line, *LINES[number + 1 :]]


def test_many_lines_are_read_as_each_by_itself() -> None:
    whole = chunk(LINES)
    items, sizes = whole.columns(5, 4000)

    found = list(whole.mini_batches(5, 4000))
    assert items == [mini_batch.items for mini_batch in found]
    assert sizes == [mini_batch.size for mini_batch in found] == [7] * 3996
    assert whole.lines(5, 4000) == LINES[5:4001]


def test_lines_are_read_some_at_a_time() -> None:
    whole = chunk(LINES)
    tracemalloc.start()
    found = whole.columns(0, COUNT - 1)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(found[0]) == COUNT
    assert most < 1.3 * held


@pytest.mark.parametrize(
    "line", [b'{"n":4000,"items":["../a"],"bytes":1}', b'{"n":3,"items":["a"],"bytes":1}', b'{"n":4000,"it']
)
def test_damage_far_behind_is_named_by_its_line(line: bytes) -> None:
    with pytest.raises(Corrupt, match=r"chunk: line 4001 \(mini-batch 4000\): "):
        chunk(spoiled(4000, line)).columns(0, COUNT - 1)


def test_a_byte_that_is_no_ascii_is_named_with_its_line() -> None:
    with pytest.raises(Corrupt, match="chunk: line 2001 holds the byte 0xc3, which is no ASCII"):
        chunk(spoiled(2000, '{"n":2000,"items":["\u00e4"],"bytes":1}'.encode()))

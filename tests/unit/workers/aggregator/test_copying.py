"""Blocks are copied by the system and checked meanwhile: nothing that was damaged is published."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from gristmill.errors import Corrupt
from gristmill_storage.files import open_store
from gristmill_storage.joined_crc import joined
from gristmill_storage.memory_store import MemoryStore
from gristmill_storage.parts import Block, PartReader, PartWriter, part_name
from gristmill_storage.store import Store
from gristmill_workers.aggregator.measured import Measured

NAME = part_name("1", 0, "n", 1)
SIZES = [0, 5, 200_000, 3, 70_000, 0, 64 << 10, 9 << 20, 1, 300_000]


def rows(number: int, size: int) -> bytes:
    return bytes([number + 1]) * size


def write_part(store: Store, sizes: list[int]) -> None:
    writer = PartWriter(store, NAME)
    for number, size in enumerate(sizes):
        block = Block(mini_batch=number, attempt=1, items=1, succeeded=1, failed=0, rows=1, seconds=0.0, size=size)
        writer.add(block, rows(number, size))
    writer.seal()


def open_files() -> int:
    """How many files this process has open, where the system says so."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").exists() else 0


def copied(store: Store, order: list[int]) -> tuple[bytes, tuple[int, int]]:
    with PartReader(store, NAME) as reader, Measured(store.writer("out")) as output:
        output.write(b"header\n")
        for number in order:
            output.copy(reader, reader.blocks()[number])
        output.settle()
        output.publish()
        return store.read("out"), output.fingerprint


@pytest.mark.parametrize("kind", ["local", "elsewhere"])
@pytest.mark.parametrize("order", [list(range(10)), [9, 1, 2, 3, 8, 7, 4]], ids=["in order", "in another"])
def test_blocks_come_out_whole_and_in_order(tmp_path: Path, kind: str, order: list[int]) -> None:
    store = open_store(str(tmp_path)) if kind == "local" else MemoryStore(tmp_path.name)
    write_part(store, SIZES)

    data, fingerprint = copied(store, order)

    assert data == b"header\n" + b"".join(rows(number, SIZES[number]) for number in order)
    assert fingerprint == (len(data), zlib.crc32(data))


def test_rows_may_come_between_blocks(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_part(store, [100_000, 10])
    with PartReader(store, NAME) as reader, Measured(store.writer("out")) as output:
        first, second = reader.blocks()
        output.copy(reader, first)
        output.write(b"between")
        output.copy(reader, second)
        reader.close()  # a run outlives the reader of its part
        output.publish()

    assert store.read("out") == rows(0, 100_000) + b"between" + rows(1, 10)


@pytest.mark.parametrize("size", [1000, 100_000, 9 << 20])
@pytest.mark.parametrize("harm", ["flipped", "cut"])
def test_damaged_rows_are_never_published(tmp_path: Path, size: int, harm: str) -> None:
    store = open_store(str(tmp_path))
    write_part(store, [10, size])
    path = next(tmp_path.glob("parts/*"))
    with PartReader(store, NAME) as reader, Measured(store.writer("out")) as output:
        if harm == "cut":
            os.truncate(path, size // 2)
        else:
            data = bytearray(path.read_bytes())
            data[size // 2] ^= 1
            path.write_bytes(data)
        with pytest.raises(Corrupt, match="mini-batch 1 are not those"):  # noqa: PT012 - or later
            for block in reader.blocks():
                output.copy(reader, block)
            output.publish()

    assert not store.exists("out")


def test_descriptors_are_closed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_part(store, SIZES)
    before = open_files()

    copied(store, list(range(10)))
    with PartReader(store, NAME) as reader, Measured(store.writer("other")) as output:
        for block in reader.blocks():
            output.copy(reader, block)

    assert open_files() == before


@pytest.mark.parametrize("size", [0, 1, 7, 4096, 4097, 1_000_003])
def test_sums_are_joined(size: int) -> None:
    first, second = b"some rows\n", os.urandom(size)

    assert joined(zlib.crc32(first), zlib.crc32(second), size) == zlib.crc32(first + second)

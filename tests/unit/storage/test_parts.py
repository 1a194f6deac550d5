"""Parts: what went in comes out, and no flipped or lost byte passes for a result."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import AlreadyExists, Corrupt, NotFound, StorageFailed
from gristmill_storage.files import Store
from gristmill_storage.local_store import LocalStore
from gristmill_storage.memory_store import MemoryStore
from gristmill_storage.part_format import TRAILER, Piece
from gristmill_storage.parts import Block, Blocks, PartReader, PartWriter, list_parts, part_name

NAME = part_name("0001", 0, "node-1", 1)
PATH = f"parts/{NAME}.part"


def block(number: int, data: bytes = b"", **fields: object) -> Block:
    given: dict[str, object] = {
        "mini_batch": number, "attempt": 1, "items": 2, "succeeded": 2, "failed": 0, "rows": 2, "seconds": 0.5,
        "encoding": "text", "size": len(data),
    } | fields  # fmt: skip
    return Block(**given)  # type: ignore[arg-type]


def error(message: str) -> dict[str, object]:
    return {"file": "a/é.png", "category": "run", "message": message, "traceback": "a\nb", "final": False}


def sealed(store: Store, *pairs: tuple[Block, bytes]) -> PartReader:
    writer = PartWriter(store, NAME)
    for outcome, data in pairs:
        writer.add(outcome, data)
    writer.seal()
    return PartReader(store, NAME)


def everything(reader: PartReader) -> list[tuple[Block, bytes, list[dict[str, object]]]]:
    return [(found, reader.read(found), reader.errors(found)) for found in reader.blocks()]


def test_what_went_in_comes_out_sorted() -> None:
    second = block(1, b"c d\n", columns=("a", "b"), encoding="csv", files=("x/y.png",))
    first = block(0, b"a b\n", errors=(error("no"),), failed=1, succeeded=1)
    with sealed(MemoryStore(), (second, b"c d\n"), (first, b"a b\n")) as reader:
        assert everything(reader) == [
            (block(0, b"a b\n", failed=1, succeeded=1), b"a b\n", [error("no")]),
            (second, b"c d\n", []),
        ]
        reader.verify()


def test_the_runs_of_mini_batches_in_a_part_are_told() -> None:
    with sealed(MemoryStore(), *((block(number, b"row\n"), b"row\n") for number in (8, 3, 4))) as reader:
        assert reader.ranges() == [(3, 4), (8, 8)]


def test_rows_from_a_file_are_copied_in(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"0123456789" * 300_000)
    store = LocalStore(tmp_path / "store")
    writer = PartWriter(store, NAME)
    writer.add(block(0, b"head"), b"head")
    writer.add(block(1, size=3_000_000), spool=spool)
    writer.seal()

    with PartReader(store, NAME) as reader:
        assert reader.read(reader.blocks()[1]) == spool.read_bytes()
        reader.verify()


def test_nobody_sees_a_part_before_it_is_sealed() -> None:
    store = MemoryStore()
    writer = PartWriter(store, NAME)
    writer.add(block(0, b"x"), b"x")
    assert list(list_parts(store)) == []
    with pytest.raises(NotFound):
        PartReader(store, NAME)

    writer.discard()
    assert list(store.list()) == []
    PartWriter(store, NAME).discard()


def test_discarding_after_sealing_keeps_the_part() -> None:
    store = MemoryStore()
    writer = PartWriter(store, NAME)
    writer.add(block(0))
    writer.seal()
    writer.discard()

    assert list(list_parts(store)) == [NAME]


def test_a_part_is_never_overwritten() -> None:
    store = MemoryStore()
    sealed(store, (block(0, b"first"), b"first"))
    writer = PartWriter(store, NAME)
    writer.add(block(0, b"second"), b"second")

    with pytest.raises(AlreadyExists):
        writer.seal()
    assert PartReader(store, NAME).read(block(0)) == b"first"


def test_what_makes_no_part_is_refused(tmp_path: Path) -> None:
    writer = PartWriter(MemoryStore(), NAME)
    with pytest.raises(ValueError, match="is empty"):
        writer.seal()
    writer.add(block(0))
    with pytest.raises(ValueError, match="mini-batch 0: twice"):
        writer.add(block(0))
    with pytest.raises(ValueError, match="3 bytes of rows, not 4"):
        writer.add(block(1, size=4), b"abc")


def test_a_spool_that_shrinks_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"abc")
    real = Path.open

    def shrink(path: Path, *args: object, **kwargs: object):
        path.write_bytes(b"a") if path == spool and args == ("rb",) else None
        return real(path, *args, **kwargs)  # type: ignore[call-overload]

    writer = PartWriter(MemoryStore(), NAME)
    monkeypatch.setattr(Path, "open", shrink)
    with pytest.raises(StorageFailed, match="ends 2 bytes too early"):
        writer.add(block(1, size=3), spool=spool)


def test_only_parts_are_listed() -> None:
    store = MemoryStore()
    names = [part_name("0001", number, "i", 1) for number in (3, 1, 2)]
    for name in names:
        store.create(f"parts/{name}.part", b"")
    store.create("parts/readme.txt", b"")
    store.create("parts/odd.part", b"")

    assert list(list_parts(store)) == sorted(names)


@pytest.mark.parametrize("verify", [True, False])
def test_blocks_are_copied_into_the_output(store: Store, *, verify: bool) -> None:
    rows = [b"%d\n" % number * (50_000 if number == 2 else 3) for number in range(5)]
    with sealed(store, *((block(number, rows[number]), rows[number]) for number in (4, 2, 0, 3, 1))) as reader:
        with store.writer("out") as writer:
            for found in reader.blocks():
                reader.copy(found, writer, verify=verify)
            writer.publish()

        assert store.read("out") == b"".join(rows)


def test_a_damaged_block_is_not_copied_unseen() -> None:
    store = MemoryStore()
    sealed(store, (block(0, b"good\n"), b"good\n"))
    store.replace(PATH, b"evil" + store.read(PATH)[4:])
    reader = PartReader(store, NAME)

    with store.writer("out") as writer, pytest.raises(Corrupt, match=f"{PATH}: the rows of mini-batch 0"):
        reader.copy(reader.blocks()[0], writer)
    assert not store.exists("out")


TEXTS = st.text(max_size=20)
BLOCKS = st.lists(
    st.tuples(
        st.integers(0, 10**12),
        st.binary(max_size=200),
        st.integers(1, 9),
        st.sampled_from(["text", "csv", "jsonl", "arrow", "none"]),
        st.none() | st.lists(TEXTS, max_size=3).map(tuple),
        st.lists(TEXTS.map(error), max_size=2).map(tuple),
        st.lists(st.text("abc/é", min_size=1, max_size=5), max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda fields: fields[0],
)


def built(entries: list[tuple]) -> list[tuple[Block, bytes]]:  # type: ignore[type-arg]
    return [
        (block(number, data, attempt=attempt, encoding=kind, columns=columns, errors=errors, files=files), data)
        for number, data, attempt, kind, columns, errors, files in entries
    ]


@settings(max_examples=80, deadline=None)
@given(BLOCKS)
def test_any_blocks_come_back(entries: list[tuple]) -> None:  # type: ignore[type-arg]
    pairs = built(entries)
    found = everything(sealed(MemoryStore(), *pairs))

    expected = sorted(pairs, key=lambda pair: pair[0].mini_batch)
    assert [data for _, data, _ in found] == [data for _, data in expected]
    assert [tuple(errors) for _, _, errors in found] == [outcome.errors for outcome, _ in expected]
    for (outcome, data, _), (given_block, _) in zip(found, expected, strict=True):
        fields = {name: getattr(given_block, name) for name in Block.__slots__ if name != "errors"}
        assert {name: getattr(outcome, name) for name in fields} == fields
        assert outcome.size == len(data)


def read_all(store: MemoryStore) -> None:
    with PartReader(store, NAME) as reader:
        everything(reader)
        reader.verify()


@settings(max_examples=60, deadline=None)
@given(BLOCKS, st.randoms(use_true_random=False), st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_found(entries: list[tuple], chance: random.Random, flip: int) -> None:  # type: ignore[type-arg]
    store = MemoryStore()
    sealed(store, *built(entries))
    data = store.read(PATH)
    for place in chance.sample(range(len(data)), min(20, len(data))):
        spoiled = bytearray(data)
        spoiled[place] ^= flip
        store.replace(PATH, bytes(spoiled))
        with pytest.raises(Corrupt, match=NAME):
            read_all(store)


def test_every_single_byte_is_guarded() -> None:
    store = MemoryStore()
    sealed(store, (block(0, b"rows", errors=(error("x"),), files=("f",)), b"rows"), (block(5, b"more"), b"more"))
    data = store.read(PATH)
    for place in range(len(data)):
        spoiled = bytearray(data)
        spoiled[place] ^= 1
        store.replace(PATH, bytes(spoiled))
        with pytest.raises(Corrupt, match=NAME):
            read_all(store)


def test_a_part_cut_short_anywhere_is_found() -> None:
    store = MemoryStore()
    sealed(store, (block(0, b"rows", errors=(error("x"),)), b"rows"))
    data = store.read(PATH)
    for length in range(len(data)):
        store.replace(PATH, data[:length])
        with pytest.raises(Corrupt, match="truncated"):
            PartReader(store, NAME)
    for more in (data + b"x", b"x" + data, data + data):
        store.replace(PATH, more)
        with pytest.raises(Corrupt):
            PartReader(store, NAME)


def test_a_later_version_is_refused_by_its_number() -> None:
    store = MemoryStore()
    sealed(store, (block(0), b""))
    data = bytearray(store.read(PATH))
    trailer = len(data) - TRAILER.size
    data[trailer + 36] = 3
    data[trailer + 40 : trailer + 44] = zlib.crc32(data[trailer : trailer + 40]).to_bytes(4, "little")
    store.replace(PATH, bytes(data))

    with pytest.raises(Corrupt, match="version 3: this Gristmill reads version 2"):
        PartReader(store, NAME)


def test_the_pieces_of_a_block_come_back_as_they_were_written() -> None:
    store = MemoryStore()
    pieces = (
        Piece(items=2, succeeded=2, rows=2, size=3, columns=("a", "b")),
        Piece(items=1, succeeded=0, rows=0, size=0),
        Piece(items=1, succeeded=1, rows=1, size=1, columns=("a",)),
    )
    sealed(store, (replace(block(0), size=4, pieces=pieces), b"abcd"), (block(1), b""))

    with PartReader(store, NAME) as part:
        assert [it.pieces for it in part.blocks()] == [pieces, ()]


def test_blocks_given_by_column_are_the_same_bytes_as_one_by_one() -> None:
    one_by_one, by_column = MemoryStore(), MemoryStore()
    rows = [b"", b"a,1\n", b"ccc,2\nd,3\n"]
    columns = ("file", "100 %d")
    for store in (one_by_one, by_column):
        writer = PartWriter(store, NAME)
        writer.add(block(9, b"x\n", failed=1, succeeded=1, errors=(error("no"),)), b"x\n")
        if store is by_column:
            found = Blocks(
                mini_batches=[3, 4, 7], attempt=2, items=[2, 2, 1], rows=[0, 1, 2], microseconds=[0, 21, 1_500_000],
                sizes=[0, 4, 10], encoding="csv", columns=columns,
            )  # fmt: skip
            writer.add_all(found, b"".join(rows))
        else:
            for number, items, seconds, data in zip([3, 4, 7], [2, 2, 1], [0.0, 2.1e-5, 1.5], rows, strict=True):
                fields = {"rows": data.count(b"\n"), "seconds": seconds, "encoding": "csv", "columns": columns}
                writer.add(block(number, data, attempt=2, items=items, succeeded=items, **fields), data)
        writer.add(block(5, b"y\n"), b"y\n")
        writer.seal()

    assert by_column.read(PATH) == one_by_one.read(PATH)


def test_a_part_that_is_written_holds_little_of_each_mini_batch() -> None:
    writer = PartWriter(MemoryStore(), NAME)

    def add(first: int) -> None:
        numbers, rows, times = (list(range(start, start + 256)) for start in (first, 300, 1000))
        blocks = Blocks(
            mini_batches=numbers, attempt=1, items=rows, rows=rows, microseconds=times, sizes=[1] * 256, encoding="text"
        )
        writer.add_all(blocks, bytes(256))

    tracemalloc.start()
    for first in range(1_000_000, 1_004_096, 256):
        add(first)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 170 * 4096


@pytest.mark.parametrize(("numbers", "data"), [([3, 3], b"ab"), ([3, 9], b"ab"), ([3, 4], b"a")])
def test_blocks_by_column_that_cannot_be_are_refused(numbers: list[int], data: bytes) -> None:
    writer = PartWriter(MemoryStore(), NAME)
    writer.add(block(9, b"x\n"), b"x\n")
    blocks = Blocks(mini_batches=numbers, attempt=1, items=[1, 1], rows=[1, 1], microseconds=[1, 1], sizes=[1, 1])

    with pytest.raises(ValueError, match="twice in a part, or"):
        writer.add_all(blocks, data)

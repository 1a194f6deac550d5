"""The manifest: what was planned comes back, and what was damaged is named."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import Corrupt, NotFound
from gristmill_storage.manifest import (
    FIRST_CHUNK,
    LARGEST_CHUNK,
    ChunkInfo,
    Item,
    ManifestReader,
    ManifestWriter,
    MiniBatch,
    PlannedElsewhere,
    Totals,
    cut,
)
from gristmill_storage.memory_store import MemoryStore

#: Any name that a POSIX file system can give: bytes that are no UTF-8 included.
NAMES = st.lists(
    st.binary(min_size=1, max_size=8).map(lambda name: name.replace(b"\0", b"n").replace(b"/", b"s")).map(os.fsdecode),
    min_size=1,
    max_size=3,
).map("/".join)


class Clock:
    """A clock that stands still unless it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def batch(number: int, *names: str) -> MiniBatch:
    return MiniBatch(number, names or (f"item-{number}",), 5)


def planned(count: int) -> MemoryStore:
    """A store with a whole plan of so many mini-batches in several chunks."""
    store = MemoryStore()
    writer = ManifestWriter(store, clock=Clock())
    for number in range(count):
        writer.add(batch(number))
    writer.close()
    return store


def chunk_paths(store: MemoryStore) -> list[str]:
    return [entry.path for entry in store.list("manifest") if entry.path.endswith(".jsonl")]


def test_the_format_is_the_documented_one() -> None:
    store = MemoryStore()
    writer = ManifestWriter(store, clock=Clock())
    writer.add(MiniBatch(0, ("a b.png", "é/\udcff\n"), 7))
    writer.close()

    lines = store.read("manifest/000000000000.jsonl").splitlines()
    assert lines == [b'{"n":0,"items":["a b.png","\\u00e9/\\udcff\\n"],"bytes":7}', b'{"next":1,"end":true}']
    assert store.read("manifest/end.json") == b'{"mini_batches": 1, "items": 2, "bytes": 7}'


def test_the_first_chunk_is_small_and_others_double() -> None:
    store = planned(3 * FIRST_CHUNK + 5)

    spans = ManifestReader(store).spans()
    assert spans == [(0, FIRST_CHUNK - 1), (FIRST_CHUNK, 3 * FIRST_CHUNK - 1), (3 * FIRST_CHUNK, 3 * FIRST_CHUNK + 4)]


def test_chunks_stop_growing() -> None:
    largest = max(last - first + 1 for first, last in ManifestReader(planned(4 * LARGEST_CHUNK)).spans())

    assert largest == LARGEST_CHUNK


def test_a_chunk_is_closed_by_bytes() -> None:
    writer = ManifestWriter(MemoryStore(), clock=Clock())
    assert writer.add(MiniBatch(0, ("x" * (4 << 20),), 1)) == ChunkInfo(first=0, count=1, items=1, size=1)


def test_a_chunk_is_closed_by_time() -> None:
    clock = Clock()
    writer = ManifestWriter(MemoryStore(), clock=clock)
    assert writer.add(batch(0)) is None
    clock.now = 0.2
    assert writer.add(batch(1)) == ChunkInfo(first=0, count=2, items=2, size=10)
    clock.now = 0.5
    assert writer.add(batch(2)) is None, "later chunks may take longer"
    clock.now = 0.7
    assert writer.add(batch(3)) == ChunkInfo(first=2, count=2, items=2, size=10)


def test_flush_writes_what_waits_for_a_slow_listing() -> None:
    store = MemoryStore()
    writer = ManifestWriter(store, clock=Clock())
    writer.add(batch(0))
    assert chunk_paths(store) == []

    info = writer.flush()

    assert info == ChunkInfo(first=0, count=1, items=1, size=5)
    assert info.last == 0
    assert writer.flush() is None
    assert writer.next == 1
    assert ManifestReader(store).totals() is None


def test_a_number_out_of_turn_is_refused() -> None:
    with pytest.raises(ValueError, match="mini-batch 1 comes where 0 is due"):
        ManifestWriter(MemoryStore()).add(batch(1))


def test_an_empty_plan_has_an_end() -> None:
    store = MemoryStore()
    assert ManifestReader(store).totals() is None
    assert ManifestWriter(store).close() is None

    reader = ManifestReader(store)
    assert reader.totals() == Totals()
    assert (reader.spans(), reader.last_item([]), list(reader.mini_batches())) == ([], None, [])


def test_a_plan_is_resumed_where_it_ended() -> None:
    store = MemoryStore()
    first = ManifestWriter(store, clock=Clock())
    for number in range(FIRST_CHUNK + 3):
        first.add(batch(number))
    # It dies here: what was in no chunk is lost, and planned again.
    reader = ManifestReader(store)
    assert reader.last_item(list(reader.chunks())) == f"item-{FIRST_CHUNK - 1}"

    second = ManifestWriter(store, resume=reader, clock=Clock())
    assert second.next == FIRST_CHUNK
    for number in range(second.next, 100):
        second.add(batch(number))
    second.close()

    assert ManifestReader(store).verify() == Totals(mini_batches=100, items=100, size=500)


def test_planning_the_same_again_is_fine() -> None:
    store = planned(50)
    writer = ManifestWriter(store, clock=Clock())
    for number in range(50):
        writer.add(batch(number))
    writer.close()

    assert ManifestReader(store).verify().mini_batches == 50


def test_another_plan_never_overwrites() -> None:
    store = planned(50)
    writer = ManifestWriter(store, clock=Clock())
    for number in range(FIRST_CHUNK - 1):
        writer.add(batch(number))

    with pytest.raises(PlannedElsewhere, match="another plan of this job is there already"):
        writer.add(batch(FIRST_CHUNK - 1, "another"))


def test_a_plan_cut_elsewhere_is_refused() -> None:
    store = planned(50)
    writer = ManifestWriter(store, clock=Clock())
    writer.add(batch(0))

    with pytest.raises(PlannedElsewhere):
        writer.flush()


def test_nothing_is_planned_behind_another_plans_end() -> None:
    store = MemoryStore()
    early, late = ManifestWriter(store, clock=Clock()), ManifestWriter(store, clock=Clock())
    for number in range(FIRST_CHUNK):
        early.add(batch(number))
        late.add(batch(number))
    early.close()
    late.add(batch(FIRST_CHUNK))

    with pytest.raises(PlannedElsewhere):
        late.close()
    assert ManifestReader(store).verify().mini_batches == FIRST_CHUNK


def test_no_end_is_put_where_another_plan_goes_on() -> None:
    store = planned(FIRST_CHUNK + 1)
    store.delete("manifest/end.json")
    writer = ManifestWriter(store, clock=Clock())
    for number in range(FIRST_CHUNK):
        writer.add(batch(number))

    with pytest.raises(PlannedElsewhere):
        writer.close()
    assert ManifestReader(store).totals() is None


@pytest.mark.parametrize("count", [0, 5, FIRST_CHUNK, 50])
def test_a_plan_that_only_lacked_its_end_gets_that(count: int) -> None:
    store = planned(count)
    end = store.read("manifest/end.json")
    store.delete("manifest/end.json")
    writer = ManifestWriter(store, resume=ManifestReader(store))

    assert writer.ended
    assert writer.close() is None
    assert store.read("manifest/end.json") == end
    assert len(list(ManifestReader(store).mini_batches())) == count


def test_an_end_that_says_something_else_is_refused() -> None:
    store = planned(FIRST_CHUNK)
    store.replace("manifest/end.json", b"{}")

    with pytest.raises(Corrupt, match=r"end\.json"):
        ManifestWriter(store, resume=ManifestReader(store)).close()


def test_a_leased_range_is_read_from_its_chunk() -> None:
    reader = ManifestReader(planned(100))
    chunk = reader.chunk(FIRST_CHUNK)

    assert [found.number for found in chunk.mini_batches(40, 42)] == [40, 41, 42]
    assert chunk.mini_batch(95) == batch(95)
    with pytest.raises(IndexError):
        chunk.mini_batch(31)
    with pytest.raises(IndexError):
        list(chunk.mini_batches(95, 96))
    assert chunk.columns(40, 41) == ([batch(40).items, batch(41).items], [batch(40).size, batch(41).size])
    for first, last in ((95, 96), (31, 33)):
        with pytest.raises(IndexError):
            chunk.columns(first, last)
    with pytest.raises(NotFound, match="no chunk begins with mini-batch 7"):
        reader.chunk(7)


def test_a_reader_sees_chunks_that_come_later() -> None:
    store = MemoryStore()
    writer = ManifestWriter(store)
    reader = ManifestReader(store)
    assert reader.spans() == []
    writer.add(batch(0))
    writer.flush()

    assert reader.chunk(0).mini_batch(0) == batch(0)


def test_ranges_go_over_chunks() -> None:
    reader = ManifestReader(planned(200))

    assert [found.number for found in reader.mini_batches(30, 130)] == list(range(30, 131))
    assert len(list(reader.mini_batches())) == 200
    assert [found.number for found in reader.mini_batches(198)] == [198, 199]
    assert [(info.first, info.items) for info in reader.chunks()] == [(0, 32), (32, 64), (96, 104)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, st.integers(0, 1000)), max_size=200), st.integers(1, 5), st.integers(1, 3000))
def test_any_names_come_back(entries: list[tuple[str, int]], size: int, most: int) -> None:
    items = [Item(name if ".." not in name else "dots", weight) for name, weight in entries]
    store = MemoryStore()
    writer = ManifestWriter(store, clock=Clock())
    batches = list(cut(items, size, most))
    for found in batches:
        writer.add(found)
    writer.close()

    reader = ManifestReader(store)
    assert list(reader.mini_batches()) == batches
    columns = [reader.chunk(first).columns(first, last) for first, last in reader.spans()]
    assert [names for items, _ in columns for names in items] == [found.items for found in batches]
    assert [bytes_ for _, sizes in columns for bytes_ in sizes] == [found.size for found in batches]
    assert reader.verify() == Totals(mini_batches=len(batches), items=len(items), size=sum(item.size for item in items))
    assert reader.last_item(list(reader.chunks())) == (items[-1].name if items else None)


FIRST_PATH = "manifest/000000000000.jsonl"


def spoil(store: MemoryStore, old: bytes, new: bytes) -> ManifestReader:
    data = store.read(FIRST_PATH)
    assert old in data
    store.replace(FIRST_PATH, data.replace(old, new, 1))
    return ManifestReader(store)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b'{"n":3,', b'{"n":4,', r"line 4 \(mini-batch 3\): n is 4"),
        (b'{"n":3,', b'{"m":3,', "line 4 .* it is no mini-batch"),
        (b'{"n":3,', b'"n":3,', "line 4 .* it is no mini-batch"),
        (b'{"n":3,"items":["item-3"],"bytes":5}', b"[]", "line 4 .* it is no mini-batch"),
        (b'["item-3"]', b"[]", "line 4 .* it has no items"),
        (b'["item-3"]', b'""', "line 4 .* it has no items"),
        (b'["item-3"]', b"[3]", "line 4 .* it is no mini-batch"),
        (b'["item-3"]', b'["a","../../etc/passwd"]', "line 4 .* '../../etc/passwd' is no path in the input"),
        (b'["item-3"]', b'["/etc/passwd"]', "line 4 .* '/etc/passwd' is no path in the input"),
        (b'["item-3"]', b'["a","","b"]', "line 4 .* '' is no path in the input"),
        (b'["item-3"]', b'["a\\u0000b"]', "line 4 .* is no path in the input"),
        (b'"item-3"', b'"item-\xff"', "line 4 holds the byte 0xff"),
        (b'"bytes":5}\n{"n":4', b'"bytes":-5}\n{"n":4', "line 4 .* bytes is -5"),
        (b'"bytes":5}\n{"n":4', b'"bytes":5.5}\n{"n":4', "line 4 .* bytes is 5.5"),
        (b'"bytes":5}\n{"n":4', b'"bytes":5} \n{"n":4', "line 4 "),
        (b'{"n":4,', b'\n{"n":4,', "33 mini-batches, not 32"),
        (b'"bytes":5}\n{"n":4', b'"bytes":5} {"n":4', "31 mini-batches, not 32"),
        (b'{"next":32}', b'{"next":33}', "32 mini-batches, not 33"),
        (b'{"next":32}', b'{"next":-1}', "truncated"),
        (b'{"next":32}', b"[]", "truncated"),
        (b'{"next":32}\n', b"", "truncated"),
    ],
)
def test_damage_is_named(old: bytes, new: bytes, what: str) -> None:
    reader = spoil(planned(40), old, new)

    with pytest.raises(Corrupt, match=f"{FIRST_PATH}: {what}"):
        reader.verify()
    with pytest.raises(Corrupt, match=f"{FIRST_PATH}: {what}"):
        reader.chunk(0).columns(0, FIRST_CHUNK - 1)


@pytest.mark.parametrize("cut_off", [1, 2, 12, 20, 500])
def test_a_chunk_that_was_cut_short_is_named(cut_off: int) -> None:
    store = planned(40)
    store.replace(FIRST_PATH, store.read(FIRST_PATH)[:-cut_off])

    with pytest.raises(Corrupt, match=f"{FIRST_PATH}: truncated"):
        ManifestReader(store).chunk(0)


def test_an_emptied_chunk_is_named() -> None:
    store = planned(40)
    store.replace(FIRST_PATH, b"")

    with pytest.raises(Corrupt, match="truncated"):
        ManifestReader(store).chunk(0)


def test_missing_and_doubled_chunks_are_named() -> None:
    store = planned(200)
    first, second, third = chunk_paths(store)
    store.move(second, "elsewhere")
    with pytest.raises(Corrupt, match=f"{third}: .*missing"):
        ManifestReader(store).verify()

    store.move("elsewhere", second)
    store.create("manifest/000000000030.jsonl", b"")
    with pytest.raises(Corrupt, match="there twice"):
        ManifestReader(store).verify()
    store.delete("manifest/000000000030.jsonl")
    store.delete(first)
    with pytest.raises(Corrupt, match="missing"):
        ManifestReader(store).spans()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"mini_batches":1,"items":-1,"bytes":1}', b"\xff"])
def test_a_damaged_end_is_named(data: bytes) -> None:
    store = planned(40)
    store.replace("manifest/end.json", data)

    with pytest.raises(Corrupt, match=r"manifest/end\.json"):
        ManifestReader(store).totals()


def test_an_end_that_does_not_agree_is_named() -> None:
    store = planned(40)
    store.replace("manifest/end.json", b'{"mini_batches":41,"items":40,"bytes":200}')

    with pytest.raises(Corrupt, match="says"):
        ManifestReader(store).verify()

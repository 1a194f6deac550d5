from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import Corrupt, NotFound
from gristmill_storage.files import MemoryStore
from gristmill_storage.job_folder import INDEX
from gristmill_storage.output_index import (
    NEXT,
    Header,
    IndexReader,
    IndexWriter,
    Record,
    Segment,
    WrittenFile,
    fingerprint,
    settle,
)
from gristmill_storage.part_format import Piece

HEADER = Header(job="j", format="csv", output="o.csv", columns=("a", "ü"), size=5, crc=7)
COUNTS = st.integers(0, 1 << 40)
PIECES = st.builds(Piece, items=COUNTS, succeeded=COUNTS, rows=COUNTS, size=COUNTS)
RECORDS = st.builds(
    Record,
    mini_batch=COUNTS,
    items=COUNTS,
    succeeded=COUNTS,
    failed=COUNTS,
    rows=COUNTS,
    size=COUNTS,
    crc=COUNTS,
    pieces=st.lists(PIECES, max_size=3).map(tuple),
)
FILES = st.builds(
    WrittenFile, name=st.text(min_size=1), crc=COUNTS, sources=st.lists(st.tuples(COUNTS, COUNTS)).map(tuple)
)
SEGMENTS = st.builds(Segment, first=COUNTS, last=COUNTS, size=COUNTS, crc=COUNTS)


def written(store, records, segments=(), files=(), path=INDEX) -> None:
    with IndexWriter(store, path, HEADER) as writer:
        for record in records:
            writer.record(record)
        for segment in segments:
            writer.segment(segment)
        for file in files:
            writer.file(file)
        writer.publish(size=11, crc=13)


@given(st.lists(RECORDS), st.lists(SEGMENTS), st.lists(FILES))
@settings(deadline=None, max_examples=50)
def test_what_goes_in_comes_out(records, segments, files) -> None:
    written(store := MemoryStore(), records, segments, files)

    index = IndexReader(store)

    assert index.header == HEADER
    assert (index.mini_batches, index.size, index.crc) == (len(records), 11, 13)
    assert list(index.records()) == records
    assert list(index.segments()) == segments
    assert list(index.files()) == files


RECORD = Record(mini_batch=0, items=2, succeeded=1, failed=1, rows=1, size=3, crc=4)


def test_a_flipped_byte_anywhere_is_found() -> None:
    written(store := MemoryStore(), [RECORD] * 3)
    data = store.read(INDEX)

    for place in range(len(data)):
        store.replace(INDEX, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(Corrupt):
            IndexReader(store)


def test_an_index_that_was_cut_short_is_found() -> None:
    written(store := MemoryStore(), [RECORD] * 600)
    data = store.read(INDEX)

    for length in [*range(200), len(data) - 1, len(data) - 3, data.rindex(b"\n", 0, -1) + 1]:
        store.replace(INDEX, data[:length])
        with pytest.raises(Corrupt):
            IndexReader(store)


def test_another_version_is_refused() -> None:
    store = MemoryStore()
    first = b'{"index":9}\n'
    sealed = first + b'["end",0,0,0,'
    store.create(INDEX, sealed + f"{zlib.crc32(sealed)}]\n".encode())

    with pytest.raises(Corrupt, match="version 9"):
        IndexReader(store)


def test_no_index_is_not_a_damaged_one() -> None:
    with pytest.raises(NotFound):
        IndexReader(MemoryStore())


def test_what_was_not_published_is_not_there() -> None:
    store = MemoryStore()
    with IndexWriter(store, INDEX, HEADER) as writer:
        writer.record(RECORD)

    assert not store.exists(INDEX)


def test_the_next_index_takes_the_place_of_the_present_one_as_often_as_it_is_asked_to() -> None:
    written(store := MemoryStore(), [])
    written(store, [RECORD], path=NEXT)

    settle(store)
    settle(store)

    assert list(IndexReader(store).records()) == [RECORD]
    assert not store.exists(NEXT)


def test_a_fingerprint_is_size_and_crc() -> None:
    store = MemoryStore()
    store.create("f", b"abc" * 700_000)

    assert fingerprint(store, "f") == (2_100_000, zlib.crc32(b"abc" * 700_000))
    assert fingerprint(store, "none") is None

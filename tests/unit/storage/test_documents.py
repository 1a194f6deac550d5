from __future__ import annotations

import pytest

from gristmill.errors import Corrupt, NotFound
from gristmill_storage.documents import read_document
from gristmill_storage.memory_store import MemoryStore


def test_an_object_comes_back() -> None:
    store = MemoryStore()
    store.create("a.json", b'{"x": [1]}')

    assert read_document(store, "a.json") == {"x": [1]}


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(NotFound):
        read_document(MemoryStore(), "a.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"5", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_object_is_corrupt(data: bytes) -> None:
    store = MemoryStore()
    store.create("a.json", data)

    with pytest.raises(Corrupt, match=r"a\.json: is no JSON"):
        read_document(store, "a.json")

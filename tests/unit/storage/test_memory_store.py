"""What is particular to the store in memory; what it shares with the others is in test_store.py."""

from __future__ import annotations

import uuid

import pytest

from gristmill.errors import AlreadyExists, NotFound
from gristmill_storage.memory_store import MemoryStore


def test_stores_without_a_name_share_nothing() -> None:
    one, other = MemoryStore(), MemoryStore()
    one.create("a", b"")

    assert not other.exists("a")


def test_stores_of_one_name_share_their_files() -> None:
    name = f"memory://{uuid.uuid4().hex}"
    MemoryStore(f"{name}/folder").create("a", b"A")

    assert MemoryStore(name).read("folder/a") == b"A"
    assert [entry.path for entry in MemoryStore(f"{name}/folder/").list()] == ["a"]
    assert not MemoryStore(f"{name}/fold").exists("er/a")


def test_what_was_written_does_not_change_with_the_buffer() -> None:
    store = MemoryStore()
    buffer = bytearray(b"abc")
    with store.writer("a") as writer:
        writer.write(buffer)
        buffer[:] = b"xyz"
        writer.publish()

    assert store.read("a") == b"abc"


def test_messages_name_the_file() -> None:
    with pytest.raises(NotFound, match=r"^memory://a: no such file$"):
        MemoryStore().read("a")
    store = MemoryStore(f"memory://{uuid.uuid4().hex}/x")
    store.create("a", b"")
    with pytest.raises(AlreadyExists, match=f"^{store.url}/a: already there$"):
        store.create("a", b"")


def test_nothing_has_a_real_path() -> None:
    assert MemoryStore().local_path("a") is None

"""Copies of remote items: whole, under their names, and never outside their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import NotFound, StorageFailed
from gristmill_storage.fetching import contained, fetch, local_name
from gristmill_storage.files import Store
from gristmill_storage.memory_store import MemoryStore


def test_a_copy_lies_at_its_name(store: Store, tmp_path: Path) -> None:
    for name in ("a.png", "sub/b c#%?.png", "é/日本.txt"):
        store.create(name, name.encode())

        assert fetch(store, name, tmp_path / "in") == tmp_path / "in" / name
        assert (tmp_path / "in" / name).read_bytes() == name.encode()


def test_fetching_again_puts_the_new_in_place_of_the_old(tmp_path: Path) -> None:
    store = MemoryStore()
    store.replace("a", b"old")
    fetch(store, "a", tmp_path)
    store.replace("a", b"new")

    assert fetch(store, "a", tmp_path).read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208


def test_what_is_not_there_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        fetch(store, "no", tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_said(tmp_path: Path) -> None:
    store = MemoryStore()
    store.create("a", b"file")
    store.create("a/b", b"below it")
    fetch(store, "a", tmp_path)

    with pytest.raises(StorageFailed, match="cannot be written"):
        fetch(store, "a/b", tmp_path)


@pytest.mark.parametrize("name", ["a", "a/b.c", "...", "a..b/c", "~", "-", " ", "a\nb"])
def test_usual_names_stay(name: str) -> None:
    assert local_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "a/../b", "a//b", "..", ".", "", "a\0b", "x" * 5000 + ".png", "d/" * 2000],
)
def test_hostile_names_stay_inside(name: str, tmp_path: Path) -> None:
    path = contained(tmp_path, name)

    assert tmp_path in path.parents
    assert ".." not in path.parts
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    assert path.resolve().is_relative_to(tmp_path.resolve())


def test_replaced_names_keep_their_endings() -> None:
    assert local_name("../a.png").endswith(".png")
    assert local_name("x" * 500 + ".jpeg").endswith(".jpeg")
    assert len(local_name("x" * 500 + ".jpeg")) < 100


@given(st.text(max_size=30), st.text(max_size=30))
def test_other_names_have_other_places(one: str, other: str) -> None:
    if one != other:
        assert local_name(one) != local_name(other)


@given(st.text("./\0a", max_size=12))
def test_no_name_leads_out(name: str) -> None:
    parts = local_name(name).split("/")

    assert not {"", ".", ".."} & set(parts)
    assert "\0" not in "".join(parts)

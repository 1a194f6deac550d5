"""Which names are items."""

from __future__ import annotations

import pytest

from gristmill_storage.selection import MARKER_FILES, is_item, is_listed, is_searched


@pytest.mark.parametrize(
    "name",
    [b"_img.png", b"_SUCCESS.png", b"_started_abc", b"_committed_", b"a_metadata", b"folder$", b"a$folder", b"\n"],
)
def test_a_users_own_files_are_items(name: bytes) -> None:
    assert is_item(name)


@pytest.mark.parametrize("mark", MARKER_FILES)
def test_documented_marks_are_none(mark: str) -> None:
    name = mark.replace("<digits>", "123").replace("<name>", "any\nthing").encode()

    assert not is_item(name)


def test_folders() -> None:
    assert is_searched(b"_images")
    assert not any(map(is_searched, (b".git", b"_delta_log", b"_temporary", b"__MACOSX")))


def test_whole_paths() -> None:
    assert is_listed(b"a/b/c")
    assert not any(map(is_listed, (b"a/.b/c", b"a/b/.c", b".a/b", b"a/_SUCCESS", b"_delta_log/a")))

"""Uploads over HTTP: streamed into the workspace, whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill.trees import Tree
from gristmill_scheduler.http import routes_uploads
from gristmill_scheduler.http.services import About

TAR = {"content-type": "application/x-tar"}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.bin").write_bytes(b"b" * 300_000)
    return Tree.of(folder)


def archive(tree: Tree) -> bytes:
    stream = io.BytesIO()
    tree.write(stream)
    return stream.getvalue()


def test_a_tree_is_taken_once_and_found_then(open_world: Any, tree: Tree) -> None:
    path, data = f"/uploads/{tree.digest}", archive(tree)
    assert open_world.ask("GET", path).status_code == 404

    first = open_world.ask("PUT", path, content=data, headers=TAR)
    again = open_world.ask("PUT", path, content=data, headers=TAR)

    assert (first.status_code, again.status_code) == (201, 200)
    assert open_world.ask("GET", path).json() == first.json() == again.json()
    store = open_world.services.workspace.store
    assert store.read(f"uploads/{tree.digest}/sub/b.bin") == b"b" * 300_000


def test_a_tree_comes_in_pieces_of_any_size(open_world: Any, tree: Tree) -> None:
    data = archive(tree)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), 70_001):
            yield data[start : start + 70_001]
            yield b""

    assert open_world.ask("PUT", f"/uploads/{tree.digest}", content=pieces(), headers=TAR).status_code == 201


@pytest.mark.parametrize("data", [b"", b"no archive", b"x" * 100_000])
def test_what_is_no_archive_of_that_tree_leaves_nothing(open_world: Any, tree: Tree, data: bytes) -> None:
    answer = open_world.ask("PUT", f"/uploads/{tree.digest}", content=data, headers=TAR)

    assert answer.status_code == 400
    assert list(open_world.services.workspace.store.list("uploads")) == []


def test_an_archive_that_ends_in_its_middle_leaves_nothing(open_world: Any, tree: Tree) -> None:
    data = archive(tree)[:150_000]

    assert open_world.ask("PUT", f"/uploads/{tree.digest}", content=data, headers=TAR).status_code == 400
    assert list(open_world.services.workspace.store.list("uploads")) == []


@pytest.mark.parametrize("most", [{"most_upload_bytes": 1000}, {"most_upload_files": 1}])
def test_more_than_may_be_sent_is_refused_while_it_comes(make_world: Any, tree: Tree, most: dict[str, int]) -> None:
    world = make_world(about=About(url="http://localhost", **most), insecure_local=True)

    answer = world.ask("PUT", f"/uploads/{tree.digest}", content=iter([archive(tree)]), headers=TAR)

    assert (answer.status_code, answer.json()["error"]["class"]) == (413, "TooLarge")
    assert list(world.services.workspace.store.list("uploads")) == []


@pytest.mark.parametrize("name", ["x", "../../etc", "%2e%2e", "A" * 64, "0" * 63, "0" * 64 + "%00"])
def test_a_name_that_is_no_digest_is_refused(open_world: Any, name: str) -> None:
    answer = open_world.ask("PUT", f"/uploads/{name}", content=b"", headers=TAR)

    assert answer.status_code in (400, 404)
    assert list(open_world.services.workspace.store.list()) == []


def test_an_upload_says_that_it_is_an_archive(open_world: Any) -> None:
    answer = open_world.ask("PUT", f"/uploads/{'0' * 64}", content=b"", headers={"content-type": "text/plain"})

    assert answer.status_code == 415


def test_a_fault_of_the_connection_is_no_fault_of_the_servers(
    open_world: Any, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leave(_body: object) -> bytes:
        raise routes_uploads.ClientDisconnect

    monkeypatch.setattr(routes_uploads.Body, "_next", leave)

    answer = open_world.ask("PUT", f"/uploads/{tree.digest}", content=archive(tree), headers=TAR)

    assert (answer.status_code, answer.json()["detail"]) == (400, "the upload ended in its middle; send it again")

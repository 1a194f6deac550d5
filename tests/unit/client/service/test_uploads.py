from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from answering import CUT, Reply, Server
from gristmill import errors
from gristmill.machine import machine_id
from gristmill.service import uploads as module
from gristmill.service.http import Http
from gristmill.service.uploads import Uploads, Use, is_reference
from gristmill.trees import Tree


class Store:
    """The server's side of uploads."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.held: dict[str, dict[str, bytes]] = {}

    def take(self, tree: str) -> None:
        """Let a tree be taken."""
        where = f"/uploads/{tree}"
        self.server.answers[f"GET {where}"] = lambda _: {"tree": tree, "url": "u"} if tree in self.held else None
        self.server.answers[f"PUT {where}"] = lambda request: self.put(tree, request.body)

    def put(self, tree: str, body: bytes) -> Reply:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as archive:
            self.held[tree] = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]
        return Reply(201, {"tree": tree, "url": "u"})


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store(server)
    put = Uploads.put

    def expecting(self: Uploads, tree: Tree) -> None:
        if f"PUT /uploads/{tree.digest}" not in server.answers:
            store.take(tree.digest)
        put(self, tree)

    monkeypatch.setattr(Uploads, "put", expecting)
    return store


@pytest.fixture
def uploads(http: Http, server: Server) -> Uploads:
    server.answers["GET /info"] = {"machine": "another", "allowed_roots": ["/"]}
    return Uploads(http)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "a.bin").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


FILES = {"weights/a.bin": b"weights", "config.json": b"{}"}


def test_a_folder_is_sent_with_all_that_is_in_it(uploads: Uploads, store: Store, folder: Path) -> None:
    reference = uploads.bring(folder, Use.CODE)

    (tree,) = store.held
    assert reference == f"upload:{tree}"
    assert store.held[tree] == FILES
    assert tree == Tree.of(folder).digest


def test_what_is_there_already_is_not_sent(uploads: Uploads, store: Store, server: Server, folder: Path) -> None:
    first = uploads.bring(folder, Use.CODE)

    assert uploads.bring(str(folder), Use.CODE) == first
    assert [word for word in server.asked() if word.startswith("PUT")] == [f"PUT /uploads/{first[7:]}"]


def test_a_models_folder_keeps_its_name(uploads: Uploads, store: Store, folder: Path) -> None:
    reference = uploads.bring(folder, Use.MODEL)

    (tree,) = store.held
    assert reference == f"upload:{tree}/model"
    assert store.held[tree] == {f"model/{name}": content for name, content in FILES.items()}


@pytest.mark.parametrize("use", list(Use))
def test_a_file_keeps_its_name(uploads: Uploads, store: Store, folder: Path, use: Use) -> None:
    reference = uploads.bring(folder / "config.json", use)

    (tree,) = store.held
    assert reference == f"upload:{tree}/config.json"
    assert store.held[tree] == {"config.json": b"{}"}


def test_the_progress_is_told(http: Http, uploads: Uploads, store: Store, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    telling = Uploads(http, progress=lambda sent, size: told.append((sent, size)))

    telling.bring(folder, Use.CODE)

    assert told[-1] == (9, 9)
    assert told == sorted(told)
    telling.bring(folder, Use.CODE)
    assert told[-1] == (0, 0)


def test_an_upload_that_is_cut_is_sent_again(uploads: Uploads, store: Store, server: Server, folder: Path) -> None:
    tree = Tree.of(folder).digest
    store.take(tree)
    server.answers[f"PUT /uploads/{tree}"] = [CUT, Reply(503), lambda request: store.put(tree, request.body)]
    server.answers[f"PUT /uploads/{tree}"] = _in_turn(server.answers[f"PUT /uploads/{tree}"])

    assert uploads.bring(folder, Use.CODE) == f"upload:{tree}"
    assert store.held[tree] == FILES


def _in_turn(answers: list[Any]) -> Any:
    def answer(request: Any) -> Any:
        found = answers.pop(0)
        return found(request) if callable(found) else found

    return answer


def test_what_the_server_refuses_is_told_at_once(uploads: Uploads, store: Store, server: Server, folder: Path) -> None:
    tree = Tree.of(folder).digest
    store.take(tree)
    problem = {"class": "TooLarge", "message": "too large", "detail": ""}
    server.answers[f"PUT /uploads/{tree}"] = Reply(413, {"error": problem})

    with pytest.raises(errors.TooLarge, match="too large"):
        uploads.bring(folder, Use.CODE)
    assert len([word for word in server.asked() if word.startswith("PUT")]) == 1


def test_a_file_that_changes_while_it_is_sent_is_not_taken(
    uploads: Uploads, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree.of(folder)
    (folder / "config.json").write_text("[]")

    with pytest.raises(errors.Mistake, match="was changed while it was sent"):
        uploads.put(tree)
    assert store.held == {}


def test_nothing_there_is_refused(uploads: Uploads, tmp_path: Path) -> None:
    with pytest.raises(errors.InputNotFound, match="there is no such file or folder"):
        uploads.bring(tmp_path / "none", Use.INPUT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.InputNotFound, match="there is no file in it"):
        uploads.bring(tmp_path / "empty", Use.MODEL)


def test_a_reference_stays_as_it_is(uploads: Uploads, server: Server) -> None:
    assert uploads.bring("azureml:m:1", Use.MODEL) == "azureml:m:1"
    assert server.seen == []


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("azureml:m@latest", True),
        ("upload:abc/x", True),
        ("models:/m/1", True),
        ("runs:/r/model", True),
        ("https://host/x", True),
        ("/subscriptions/x", True),
        ("file:///x", False),
        ("/data/x", False),
        ("x/y", False),
        ("uploads/x", False),
    ],
)
def test_references_are_told_from_paths(address: str, is_one: bool) -> None:
    assert is_reference(address) is is_one


@pytest.fixture
def beside(http: Http, server: Server, folder: Path) -> Uploads:
    """Uploads to a server on this machine that may open the folder's parent."""
    server.answers["GET /info"] = {"machine": machine_id(), "allowed_roots": ["/none", str(folder.parent)]}
    return Uploads(http)


needs_machine = pytest.mark.skipif(not machine_id(), reason="this machine has no name")


@needs_machine
def test_on_the_same_machine_an_input_stays_where_it_is(beside: Uploads, server: Server, folder: Path) -> None:
    assert beside.bring(folder, Use.INPUT) == str(folder)
    assert beside.bring(folder.as_uri(), Use.INPUT) == str(folder)
    assert server.asked() == ["GET /info"]


@needs_machine
def test_on_the_same_machine_code_is_copied_all_the_same(beside: Uploads, store: Store, folder: Path) -> None:
    assert beside.bring(folder, Use.CODE).startswith("upload:")


@needs_machine
def test_on_the_same_machine_only_a_big_model_stays_where_it_is(
    beside: Uploads, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert beside.bring(folder, Use.MODEL).startswith("upload:")
    monkeypatch.setattr(module, "_BIG", 9)
    assert beside.bring(folder, Use.MODEL) == str(folder)
    assert beside.bring(folder / "config.json", Use.MODEL).startswith("upload:")


@needs_machine
def test_what_the_server_may_not_open_is_sent(
    beside: Uploads, store: Store, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x").write_text("1")
    (folder.parent / "link").symlink_to(elsewhere)

    assert beside.bring(elsewhere, Use.INPUT).startswith("upload:")
    assert beside.bring(folder.parent / "link", Use.INPUT).startswith("upload:")


def test_a_machine_without_a_name_is_never_the_same(
    http: Http, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["GET /info"] = {"machine": "", "allowed_roots": ["/"]}
    monkeypatch.setattr(module, "machine_id", lambda: "")

    assert not Uploads(http).same_machine()

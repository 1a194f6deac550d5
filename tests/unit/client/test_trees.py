from __future__ import annotations

import hashlib
import io
import os
import random
import tarfile
from pathlib import Path

import pytest

from gristmill.errors import InputNotFound, Mistake
from gristmill.trees import Tree, digest_of

CONTENT = {"a.txt": b"A", "deep/er/b.bin": bytes(3000), "deep/c": b"", "z ä\n.txt": b"Z" * 512, "deep.txt": b"dot"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, data in CONTENT.items():
        write(tmp_path / "folder" / path, data)
    return tmp_path / "folder"


def write(path: Path, data: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def archive(tree: Tree) -> bytes:
    stream = io.BytesIO()
    tree.write(stream)
    return stream.getvalue()


def extracted(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def paths(tree: Tree) -> list[str]:
    return [file.path for file in tree.files]


def test_a_folder_is_its_files(folder: Path) -> None:
    (folder / "empty" / "folder").mkdir(parents=True)
    tree = Tree.of(folder)

    assert paths(tree) == ["a.txt", "deep.txt", "deep/c", "deep/er/b.bin", "z ä\n.txt"]
    assert tree.count == 5
    assert tree.size == sum(map(len, CONTENT.values()))
    assert extracted(archive(tree)) == CONTENT


def test_a_file_is_a_tree_under_its_own_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert extracted(archive(Tree.of(folder / "a.txt"))) == {"a.txt": b"A"}
    monkeypatch.chdir(folder)
    assert Tree.of(Path("a.txt")).digest == Tree.of(folder / "a.txt").digest


def test_a_tree_can_be_put_under_a_folder(folder: Path) -> None:
    assert extracted(archive(Tree.of(folder, under="model"))) == {
        f"model/{path}": data for path, data in CONTENT.items()
    }
    assert paths(Tree.of(folder / "a.txt", under="model")) == ["model/a.txt"]


def test_the_digest_is_that_of_paths_sizes_and_content(tmp_path: Path) -> None:
    write(tmp_path / "b", b"B")
    write(tmp_path / "a", b"")
    empty, b = hashlib.sha256().hexdigest(), hashlib.sha256(b"B").hexdigest()
    known = hashlib.sha256(f"a\0{0}\0{empty}\nb\0{1}\0{b}\n".encode()).hexdigest()

    assert Tree.of(tmp_path).digest == known
    assert digest_of([("b", 1, b), ("a", 0, empty)]) == known


def test_dates_modes_and_empty_folders_do_not_change_a_tree(folder: Path) -> None:
    before = Tree.of(folder)
    os.utime(folder / "a.txt", (1, 1))
    (folder / "a.txt").chmod(0o700)
    (folder / "new").mkdir()
    after = Tree.of(folder)

    assert after.digest == before.digest
    assert archive(after) == archive(before)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.txt").write_bytes(b"B"),
        lambda folder: (folder / "a.txt").write_bytes(b""),
        lambda folder: (folder / "a.txt").rename(folder / "b.txt"),
        lambda folder: (folder / "deep" / "c").unlink(),
        lambda folder: (folder / "new").write_bytes(b""),
    ],
)
def test_any_change_of_a_file_changes_the_digest(folder: Path, change) -> None:
    before = Tree.of(folder).digest
    change(folder)

    assert Tree.of(folder).digest != before


def test_names_cannot_be_mistaken_for_other_lines() -> None:
    word = "0" * 64

    assert digest_of([("a", 1, word), ("b", 1, word)]) != digest_of([(f"a\n1\n{word}\nb", 1, word)])
    assert digest_of([]) == hashlib.sha256(b"").hexdigest()


def test_what_nobody_wants_is_left_out_at_any_depth(folder: Path) -> None:
    before = Tree.of(folder).digest
    for left_out in ("__pycache__", ".git", ".gristmill"):
        write(folder / left_out / "x")
        write(folder / "deep" / "er" / left_out / "y" / "z")
    assert Tree.of(folder).digest == before
    write(folder / ".gitignore")
    write(folder / "deep" / ".git")
    assert {".gitignore", "deep/.git"} < set(paths(Tree.of(folder)))


def test_links_inside_are_followed(folder: Path) -> None:
    (folder / "link.txt").symlink_to("a.txt")
    (folder / "again").symlink_to(folder / "deep", target_is_directory=True)

    found = extracted(archive(Tree.of(folder)))
    assert found["link.txt"] == b"A"
    assert found["again/er/b.bin"] == CONTENT["deep/er/b.bin"]


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)

    assert Tree.of(tmp_path / "link").digest == Tree.of(folder).digest


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("../outside.txt", "is a link that leads out of"),
        ("..", "is a link that leads out of"),
        ("/etc", "is a link that leads out of"),
        ("nothing", "is a link to nothing"),
        ("trap", "is a link to nothing"),
        (".", "is a link to a folder that holds it"),
    ],
)
def test_links_that_lead_elsewhere_are_refused(folder: Path, target: str, message: str) -> None:
    write(folder.parent / "outside.txt")
    (folder / "trap").symlink_to(target)

    with pytest.raises(Mistake, match=rf"trap: {message}"):
        Tree.of(folder)


def test_a_link_back_to_a_folder_above_is_a_circle(folder: Path) -> None:
    (folder / "deep" / "er" / "up").symlink_to("..", target_is_directory=True)

    with pytest.raises(Mistake, match="up: is a link to a folder that holds it"):
        Tree.of(folder)


def test_what_is_no_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(Mistake, match="pipe: is neither a file nor a folder"):
        Tree.of(folder)
    with pytest.raises(InputNotFound, match="nowhere: there is nothing"):
        Tree.of(folder / "nowhere")


@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone"])
def test_a_file_that_changes_before_it_is_sent_stops_the_sending(tmp_path: Path, change: str) -> None:
    write(tmp_path / "a", b"12345")
    tree = Tree.of(tmp_path)
    if change == "gone":
        (tmp_path / "a").unlink()
    else:
        write(tmp_path / "a", {"longer": b"54321+", "shorter": b"1234", "other": b"54321"}[change])

    with pytest.raises(Mistake, match=r"a: (was changed while it was sent|cannot be read)"):
        archive(tree)


def test_a_file_that_grows_is_sent_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "a", b"12345")
    tree = Tree.of(tmp_path)
    write(tmp_path / "a", b"12345 and more")

    assert extracted(archive(tree)) == {"a": b"12345"}


def test_names_that_are_long_or_no_utf_8_travel(tmp_path: Path) -> None:
    names = ["x" * 200 + "/" + "y" * 200, os.fsdecode(b"latin-\xe4"), "ä" * 120]
    for name in names:
        write(tmp_path / name, name.encode(errors="surrogateescape"))
    tree = Tree.of(tmp_path)

    assert extracted(archive(tree)) == {name: name.encode(errors="surrogateescape") for name in names}


def test_large_files_go_in_blocks(tmp_path: Path) -> None:
    write(tmp_path / "big", random.Random(0).randbytes(2_500_000))
    blocks = [*Tree.of(tmp_path).blocks()]

    assert max(map(len, blocks)) == 1 << 20
    assert sum(map(len, blocks)) % 512 == 0

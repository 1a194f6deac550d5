"""What is particular to a folder as a store: durability, the disk's errors, odd names, file systems without links."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gristmill.errors import AlreadyExists, Mistake, NotFound, StorageFailed
from gristmill_storage.files import is_local, normalize, open_store, scheme
from gristmill_storage.local_store import TEMPORARY, LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(f"{TEMPORARY}*"))


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


def test_nothing_hidden_is_left_behind(store: LocalStore, tmp_path: Path) -> None:
    store.create("a/b", b"1")
    store.replace("a/b", b"2")
    with pytest.raises(AlreadyExists):
        store.create("a/b", b"3")
    with store.writer("a/c") as writer:
        writer.write(b"x")

    assert hidden(tmp_path) == []


def test_what_dead_writers_left_is_never_listed(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"{TEMPORARY}dead").write_bytes(b"half")
    store.create("a/whole", b"")

    assert [entry.path for entry in store.list()] == ["a/whole"]
    store.delete_tree("a")
    assert not (tmp_path / "a").exists()


CREATE_FOR_EVER = """
import sys
from gristmill_storage.local_store import LocalStore
store = LocalStore(sys.argv[1])
for number in range(1_000_000):
    store.create(f"{number:06d}", b"x" * 100_000)
"""


def test_a_killed_writer_leaves_whole_files_only(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    with subprocess.Popen([sys.executable, "-c", CREATE_FOR_EVER, str(tmp_path / "out")]) as process:
        while len(list(store.list())) < 20:
            assert process.poll() is None
        process.kill()

    entries = list(store.list())
    assert [entry.path for entry in entries] == [f"{number:06d}" for number in range(len(entries))]
    assert {entry.size for entry in entries} == {100_000}


def test_files_and_folders_are_synced(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else path.name[: len(TEMPORARY)])
        fsync(fd)

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc to look into")
    monkeypatch.setattr(os, "fsync", note)
    store.create("new/file", b"x")

    # The folder that was made, in the one above it; the file; the file's name.
    assert synced == ["folder", TEMPORARY, "folder"]


@pytest.mark.parametrize("links", [True, False])
def test_of_racing_creators_one_wins(store: LocalStore, monkeypatch: pytest.MonkeyPatch, *, links: bool) -> None:
    if not links:
        without_links(monkeypatch)
    for race in range(50):
        won: list[int] = []
        gate = threading.Barrier(4)

        def create(number: int, race: int = race, won: list[int] = won, gate: threading.Barrier = gate) -> None:
            gate.wait()
            try:
                store.create(f"prize-{race}", b"%d" % number)
                won.append(number)
            except AlreadyExists:
                pass

        threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.read(f"prize-{race}") == b"%d" % won[0]


def test_without_links_it_works_the_same(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(monkeypatch)
    store.create("a", b"A")
    store.create("b", b"B")
    with pytest.raises(AlreadyExists):
        store.create("a", b"other")
    with pytest.raises(AlreadyExists):
        store.move("a", "b")
    store.move("a", "c")

    assert [entry.path for entry in store.list()] == ["b", "c"]
    assert hidden(tmp_path) == [f"{TEMPORARY}lock"]


def test_a_link_that_was_made_though_the_reply_was_lost_counts(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def repeated(source: str, target: str) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", repeated)
    store.create("a", b"A")

    assert store.read("a") == b"A"


def test_a_name_that_was_taken_and_is_free_again_at_once_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"theirs")
    link = os.link

    def removed_meanwhile(source: str, target: str) -> None:
        try:
            link(source, target)
        finally:
            (tmp_path / "a").unlink()

    monkeypatch.setattr(os, "link", removed_meanwhile)
    with pytest.raises(AlreadyExists):
        LocalStore(tmp_path).create("a", b"ours")
    assert [*tmp_path.iterdir()] == []


def test_a_file_may_not_be_moved_onto_itself_unless_overwriting(store: LocalStore) -> None:
    store.create("a", b"A")
    with pytest.raises(AlreadyExists):
        store.move("a", "a")

    assert store.read("a") == b"A"


@pytest.mark.parametrize("broken", ["copy_file_range", None])
def test_copies_are_the_same_with_and_without_the_kernel(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str | None
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    if broken and hasattr(os, broken):
        monkeypatch.setattr(os, broken, refuse)
    content = os.urandom(3_000_000)
    (tmp_path / "source").write_bytes(content)
    with (tmp_path / "source").open("rb") as source, store.writer("copy") as writer:
        writer.write(b"<")
        writer.copy_from(source, 1_000, 2_900_000)
        writer.write(b">")
        assert writer.tell() == 2_900_002
        writer.publish()

    assert store.read("copy") == b"<" + content[1_000:2_901_000] + b">"


def test_a_full_disk_is_said_in_one_line(store: LocalStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)

    with pytest.raises(StorageFailed) as caught:
        store.create("a/b", b"x")
    assert str(caught.value) == f"{tmp_path}/a/b: cannot be written: No space left on device"
    assert hidden(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write anything")
def test_what_is_not_permitted_is_said_in_one_line(store: LocalStore, tmp_path: Path) -> None:
    store.create("locked/a", b"x")
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(StorageFailed, match="locked/a: cannot be read: Permission denied"):
            store.read("locked/a")
        with pytest.raises(StorageFailed, match="locked/b: cannot be written: Permission denied"):
            store.create("locked/b", b"x")
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_file_in_a_folders_place_is_said_in_one_line(store: LocalStore) -> None:
    store.create("a", b"x")

    with pytest.raises(StorageFailed, match=r"a: the folder cannot be made|a/b: cannot be written"):
        store.create("a/b", b"x")
    with pytest.raises(NotFound):
        store.read("a/b")
    with pytest.raises(StorageFailed, match="cannot be written"):
        store.create("n" * 300, b"x")
    assert list(store.list("a")) == []


def test_names_that_are_no_utf8_pass(store: LocalStore, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.txt")
    store.create(f"a/{name}", b"x")

    assert [entry.path for entry in store.list()] == [f"a/{name}"]
    assert [os.fsencode(path.name) for path in (tmp_path / "a").iterdir()] == [b"caf\xe9\n.txt"]
    with pytest.raises(AlreadyExists) as caught:
        store.create(f"a/{name}", b"y")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_bytes_order_wins_over_letters(store: LocalStore) -> None:
    names = [os.fsdecode(name) for name in (b"\xff", "￿".encode(), "😀".encode(), b"\x80", b"z")]
    for name in names:
        store.create(name, b"")

    assert [os.fsencode(entry.path) for entry in store.list()] == sorted(map(os.fsencode, names))


def test_links_to_folders_are_not_entered_nor_deleted_through(store: LocalStore, tmp_path: Path) -> None:
    store.create("real/a", b"x")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "tree" / "file").symlink_to(tmp_path / "real" / "a")

    assert [entry.path for entry in store.list("tree")] == ["tree/file"]
    store.delete_tree("tree")
    assert store.read("real/a") == b"x"


def test_a_real_path_is_given(store: LocalStore, tmp_path: Path) -> None:
    assert store.local_path("a/b") == tmp_path / "a" / "b"
    assert store.url == str(tmp_path)


def test_addresses(tmp_path: Path) -> None:
    assert [scheme(url) for url in ("/a", "a", "s3://b", "S3://b", "a:b", "file:///a")] == [
        "",
        "",
        "s3",
        "s3",
        "",
        "file",
    ]
    assert [is_local(url) for url in ("/a", "file:///a", "s3://b/c", "a b://c")] == [True, True, False, True]
    assert normalize("../x/./y", tmp_path) == str(tmp_path.parent / "x" / "y")
    assert normalize("/a//b/", tmp_path) == "/a/b"
    assert normalize("file:///a%20b/c%23", tmp_path) == "/a b/c#"
    assert normalize("s3://b/../c", tmp_path) == "s3://b/../c"


def test_addresses_that_cannot_be_opened() -> None:
    with pytest.raises(Mistake, match="no store is known for ftp://"):
        open_store("ftp://host/x")
    with pytest.raises(Mistake, match="has no host"):
        open_store("file://host/x")


def test_a_file_url_opens_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    open_store(f"file://{tmp_path}/a%20b").create("x", b"1")

    assert (tmp_path / "a b" / "x").read_bytes() == b"1"


def test_syncing_a_folder_may_be_unsupported(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def only_files(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", only_files)
    store.create("a/b", b"x")

    assert store.read("a/b") == b"x"

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import Mistake, ResourceNotFound, StorageFailed, TooLarge
from gristmill.trees import Tree, digest_of
from gristmill_storage.files import LocalStore, MemoryStore, Store
from gristmill_storage.workspace import Uploads, Workspace, tree_in

CONTENT = {"score.py": b"print()", "deep/er/b.bin": bytes(3000), ".complete": b"mine", "empty": b""}


@pytest.fixture(params=["local", "memory"])
def uploads(request: pytest.FixtureRequest, tmp_path: Path) -> Uploads:
    return Uploads(LocalStore(tmp_path / "w") if request.param == "local" else MemoryStore())


def tar(*members: tuple[str | tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.type == tarfile.REGTYPE:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def digest(content: dict[str, bytes]) -> str:
    return digest_of((path, len(data), hashlib.sha256(data).hexdigest()) for path, data in content.items())


def receive(uploads: Uploads, tree: str, data: bytes, *, most_bytes: int = 10_000, most_files: int = 10) -> None:
    uploads.receive(tree, io.BytesIO(data), most_bytes=most_bytes, most_files=most_files)


def content(store: Store, tree: str) -> dict[str, bytes]:
    start = f"uploads/{tree}/"
    return {entry.path.removeprefix(start): store.read(entry.path) for entry in store.list(start)}


def left(store: Store) -> list[str]:
    path = store.local_path("uploads")
    if path:
        return sorted(entry.name for entry in path.iterdir()) if path.exists() else []
    return [entry.path for entry in store.list()]


def assert_nothing(uploads: Uploads, tree: str) -> None:
    assert not uploads.exists(tree)
    assert left(uploads.store) == []


def test_a_tree_arrives_on_every_kind_of_store(store: Store, tmp_path: Path) -> None:
    for path, data in CONTENT.items():
        (tmp_path / "folder" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / path).write_bytes(data)
    tree, stream = Tree.of(tmp_path / "folder"), io.BytesIO()
    tree.write(stream)
    uploads = Workspace(store).uploads

    assert not uploads.exists(tree.digest)
    receive(uploads, tree.digest, stream.getvalue())
    assert uploads.exists(tree.digest)
    assert content(store, tree.digest) == CONTENT
    assert uploads.url(tree.digest) == f"{store.url}/uploads/{tree.digest}"
    assert uploads.url(tree.digest, "deep/er/b.bin") == f"{store.url}/uploads/{tree.digest}/deep/er/b.bin"
    assert uploads.url(tree.digest, "deep") == f"{store.url}/uploads/{tree.digest}/deep"
    with pytest.raises(ResourceNotFound, match="holds no other"):
        uploads.url(tree.digest, "other")
    with pytest.raises(Mistake, match=r"\.\."):
        uploads.url(tree.digest, "../x")


def test_nothing_but_the_mark_lies_beside_a_tree(uploads: Uploads) -> None:
    tree = digest({"a": b"A"})
    receive(uploads, tree, tar(("a", b"A")))

    names = {path.removeprefix("uploads/").split("/")[0] for path in left(uploads.store)}
    assert names == {tree, f"{tree}.complete"}


def test_a_tree_that_is_there_is_not_read_again(uploads: Uploads) -> None:
    tree = digest({"a": b"A"})
    receive(uploads, tree, tar(("a", b"A")))
    receive(uploads, tree, b"nonsense")

    assert content(uploads.store, tree) == {"a": b"A"}


def test_a_tree_without_files_is_one(uploads: Uploads) -> None:
    receive(uploads, digest({}), tar())

    assert uploads.exists(digest({}))
    assert content(uploads.store, digest({})) == {}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_each_format_are_taken(uploads: Uploads, form: int) -> None:
    long = "/".join(["n" * 50] * (4 if form == tarfile.USTAR_FORMAT else 8))
    folder = tarfile.TarInfo("./folder/")
    folder.type = tarfile.DIRTYPE
    tree = digest({"folder/ä": b"1", long: b"2", "x" * 90: b"3"})
    receive(uploads, tree, tar((folder, b""), ("./folder/ä", b"1"), (long, b"2"), ("x" * 90, b"3"), form=form))

    assert content(uploads.store, tree) == {"folder/ä": b"1", long: b"2", "x" * 90: b"3"}


def special(name: str, kind: bytes, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT)


END = bytes(1024)

HOSTILE = {
    "symbolic link": (tar((special("a", tarfile.SYMTYPE, linkname="/etc/passwd"), b"")), "'a' is a symbolic link"),
    "link through which to write": (
        tar((special("a", tarfile.SYMTYPE, linkname="/tmp"), b""), ("a/b", b"x")),
        "'a' is a symbolic link",
    ),
    "hard link": (tar(("b", b""), (special("a", tarfile.LNKTYPE, linkname="b"), b"")), "'a' is a hard link"),
    "character device": (tar((special("a", tarfile.CHRTYPE), b"")), "'a' is a device"),
    "block device": (tar((special("a", tarfile.BLKTYPE), b"")), "'a' is a device"),
    "pipe": (tar((special("a", tarfile.FIFOTYPE), b"")), "'a' is a pipe"),
    "contiguous": (tar((special("a", tarfile.CONTTYPE), b"")), "'a' is something unknown"),
    "unknown kind": (header(special("a", b"Z")) + END, "'a' is something unknown"),
    "sparse": (header(special("a", tarfile.GNUTYPE_SPARSE)) + END, "'a' is a sparse file"),
    "parent": (tar(("../a", b"x")), "'../a' is no path below a folder"),
    "parent inside": (tar(("a/../../b", b"x")), "is no path below"),
    "parent alone": (tar(("..", b"x")), "is no path below"),
    "here": (tar((".", b"x")), "is no path below"),
    "absolute": (tar(("/etc/passwd", b"x")), "'/etc/passwd' is no path below"),
    "double slash": (tar(("a//b", b"x")), "is no path below"),
    "behind a slash": (tar((".//etc", b"x")), "is no path below"),
    "no name": (header(special("", tarfile.REGTYPE)) + END, "is no path below"),
    "NUL in an extended name": (tar((special("x", tarfile.REGTYPE, pax_headers={"path": "a\0b"}), b"")), "is no path"),
    "parent in an extended name": (
        tar((special("x", tarfile.REGTYPE, pax_headers={"path": "../x"}), b"")),
        "'../x' is no path below",
    ),
    "parent in a long name": (
        header(special("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=5))
        + b"../ab".ljust(512, b"\0")
        + tar(("a", b"x")),
        "'../ab' is no path below",
    ),
    "sparse in an extended header": (
        tar((special("a", tarfile.REGTYPE, pax_headers={"GNU.sparse.major": "1"}), b"")),
        "is a sparse file",
    ),
    "twice": (tar(("a", b"x"), ("a", b"y")), "'a' is in it twice"),
    "twice, spelled otherwise": (tar(("a", b"x"), ("./a", b"y")), "'a' is in it twice"),
    "file and folder": (tar(("a", b"x"), ("a/b", b"y")), "'a/b' is in it twice"),
    "folder and file": (tar(("a/b", b"x"), ("a", b"y")), "'a' is in it twice"),
    "file and deep folder": (tar(("a", b"x"), ("a/b/c", b"y")), "'a/b/c' is in it twice"),
    "too long a name": (tar(("a" * 300, b"x")), "is a name that the server cannot give a file"),
    "too long a path": (tar(("/".join(["a" * 100] * 11), b"x")), "is too long or too deep"),
    "too deep a path": (tar(("/".join(["a"] * 101), b"x")), "is too long or too deep"),
    "empty": (b"", "ends too early"),
    "cut in a header": (tar(("a", b"x"))[:100], "ends too early"),
    "cut in the content": (tar(("a", b"x" * 2000))[:1000], "ends within 'a'"),
    "cut in the filling": (tar(("a", b"x"))[:600], "ends too early"),
    "without an end": (tar(("a", b"x"))[:1024], "ends too early"),
    "text": (b"hello" * 1000, "is no tar archive"),
    "compressed": (gzip.compress(os.urandom(2000)), "is no tar archive"),
    "damaged header": (tar(("a", b"x")).replace(b"ustar", b"vstar"), "is no tar archive"),
    "nonsense in an extended header": (
        header(special("x", tarfile.XHDTYPE, size=10)) + b"no length=".ljust(512, b"\0") + END,
        "is no tar archive",
    ),
    "length of nothing in an extended header": (
        header(special("x", tarfile.XHDTYPE, size=9)) + b"0 path=a\n".ljust(512, b"\0") + END,
        "is no tar archive",
    ),
    "negative size in an extended header": (
        header(special("x", tarfile.XHDTYPE, size=12)) + b"12 size=-12\n".ljust(512, b"\0") + tar(("a", b"x")),
        "more than",
    ),
    "other content": (tar(("a", b"y")), "what came is another tree"),
    "other name": (tar(("b", b"x")), "what came is another tree"),
    "more": (tar(("a", b"x"), ("b", b"x")), "what came is another tree"),
    "less": (tar(), "what came is another tree"),
}


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_archives_that_are_not_what_they_should_be_leave_nothing(uploads: Uploads, data: bytes, message: str) -> None:
    tree = digest({"a": b"x"})
    with pytest.raises(Mistake, match="upload") as caught:
        receive(uploads, tree, data)

    assert message in str(caught.value)
    assert_nothing(uploads, tree)


TOO_MUCH = {
    "bytes": tar(("a", bytes(6000)), ("b", bytes(6000))),
    "files": tar(*((str(n), b"") for n in range(11))),
    "claims a terabyte": header(special("a", tarfile.REGTYPE, size=1 << 40)) + bytes(5000),
    "claims a terabyte in an extended header": (
        header(special("x", tarfile.XHDTYPE, size=22)) + b"22 size=1099511627776\n".ljust(512, b"\0") + tar(("a", b"x"))
    ),
    "extended header of a gigabyte": header(special("x", tarfile.XHDTYPE, size=1 << 30)) + bytes(5000),
    "long name of a gigabyte": header(special("x", tarfile.GNUTYPE_LONGNAME, size=1 << 30)) + bytes(5000),
    "folders without end": tar(*((special(str(n), tarfile.DIRTYPE), b"") for n in range(200))),
    "headers without end": (header(special("x", tarfile.XGLTYPE, size=0))) * 200 + END,
}


@pytest.mark.parametrize("data", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_archives_that_are_too_large_are_refused_before_they_are_read(uploads: Uploads, data: bytes) -> None:
    tree = digest({"a": b"x"})
    with pytest.raises(TooLarge, match="upload: "):
        receive(uploads, tree, data)

    assert_nothing(uploads, tree)


def test_as_much_as_is_allowed_is_taken(uploads: Uploads) -> None:
    files = {str(n): bytes(1000) for n in range(10)}
    receive(uploads, digest(files), tar(*files.items()))

    assert content(uploads.store, digest(files)) == files


@pytest.mark.parametrize("tree", ["", "..", "a" * 63, "A" * 64, "a" * 65, "a" * 64 + "\n", "../" + "a" * 61])
def test_what_is_no_digest_names_no_tree(uploads: Uploads, tree: str) -> None:
    for act in (uploads.exists, uploads.url, lambda tree: receive(uploads, tree, tar())):
        with pytest.raises(Mistake, match="64 hexadecimal digits"):
            act(tree)


def test_what_was_never_sent_has_no_address(uploads: Uploads) -> None:
    with pytest.raises(ResourceNotFound, match="there is none; send it again"):
        uploads.url("a" * 64)


class Slow(io.RawIOBase):
    """A stream that gives what it has in small pieces, one of them when told."""

    def __init__(self, data: bytes, step: int = 700) -> None:
        self.data, self.step = memoryview(data), step

    def read(self, size: int = -1) -> bytes:
        block, self.data = self.data[: min(size, self.step)], self.data[min(size, self.step) :]
        return bytes(block)


def test_streams_may_give_less_than_they_are_asked_for(uploads: Uploads) -> None:
    tree = digest(CONTENT)
    uploads.receive(tree, Slow(tar(*CONTENT.items()), 7), most_bytes=10_000, most_files=10)  # type: ignore[arg-type]

    assert content(uploads.store, tree) == CONTENT


def test_a_tree_shows_itself_only_when_it_is_whole(uploads: Uploads) -> None:
    tree, data = digest(CONTENT), tar(*CONTENT.items())

    class Watched(Slow):
        def read(self, size: int = -1) -> bytes:
            assert not uploads.exists(tree)
            assert content(uploads.store, tree) == {}
            return super().read(size)

    uploads.receive(tree, Watched(data), most_bytes=10_000, most_files=10)  # type: ignore[arg-type]
    assert uploads.exists(tree)


def test_the_same_tree_may_come_from_many_at_once(uploads: Uploads) -> None:
    tree, data = digest(CONTENT), tar(*CONTENT.items())
    begin = threading.Barrier(8)

    class Together(Slow):
        def read(self, size: int = -1) -> bytes:
            if len(self.data) == len(data):
                begin.wait(10)
            return super().read(size)

    def send(_: int) -> None:
        uploads.receive(tree, Together(data), most_bytes=10_000, most_files=10)  # type: ignore[arg-type]

    with ThreadPoolExecutor(8) as pool:
        [*pool.map(send, range(8))]
    assert content(uploads.store, tree) == CONTENT
    assert {path.removeprefix("uploads/").split("/")[0] for path in left(uploads.store)} == {tree, f"{tree}.complete"}


def test_a_wrong_upload_spoils_nothing_of_a_right_one(uploads: Uploads) -> None:
    tree, data = digest(CONTENT), tar(*CONTENT.items())

    class Attacked(Slow):
        def read(self, size: int = -1) -> bytes:
            with pytest.raises(Mistake, match="another tree"):
                receive(uploads, tree, tar(("score.py", b"evil()!")))
            return super().read(size)

    uploads.receive(tree, Attacked(data, 4096), most_bytes=10_000, most_files=10)  # type: ignore[arg-type]
    assert content(uploads.store, tree) == CONTENT


def test_a_tree_whose_server_died_before_the_mark_is_completed_by_the_next_upload(uploads: Uploads) -> None:
    tree = digest(CONTENT)
    receive(uploads, tree, tar(*CONTENT.items()))
    uploads.store.delete(f"uploads/{tree}.complete")
    assert not uploads.exists(tree)
    receive(uploads, tree, tar(*CONTENT.items()))

    assert uploads.exists(tree)
    assert content(uploads.store, tree) == CONTENT


def test_what_dead_servers_left_goes_after_a_day(tmp_path: Path) -> None:
    uploads = Uploads(LocalStore(tmp_path))
    for name, age in (("old", 25 * 3600), ("new", 3600)):
        folder = tmp_path / "uploads" / f".arriving-{name}"
        (folder / "deep").mkdir(parents=True)
        then = folder.stat().st_mtime - age
        os.utime(folder, (then, then))
    receive(uploads, digest({}), tar())

    assert ".arriving-old" not in left(uploads.store)
    assert ".arriving-new" in left(uploads.store)


def test_a_store_that_fails_leaves_no_mark() -> None:
    class Full(MemoryStore):
        def writer(self, path: str, *, overwrite: bool = False) -> Any:
            if path.endswith("score.py"):
                raise StorageFailed("full")
            return super().writer(path, overwrite=overwrite)

    uploads, tree = Uploads(Full()), digest(CONTENT)
    with pytest.raises(StorageFailed, match="full"):
        receive(uploads, tree, tar(*CONTENT.items()))
    assert not uploads.exists(tree)


def test_memory_is_flat(tmp_path: Path) -> None:
    size = 20 << 20
    info = special("big", tarfile.REGTYPE, size=size)

    class Endless(Slow):
        def __init__(self) -> None:
            self.pieces = self._pieces()

        def _pieces(self) -> Iterator[bytes]:
            yield header(info)
            for _ in range(size >> 16):
                yield bytes(1 << 16)
            yield END

        def read(self, size: int = -1) -> bytes:
            return next(self.pieces, b"")

    tree = digest_of([("big", size, hashlib.sha256(bytes(size)).hexdigest())])
    tracemalloc.start()
    try:
        Uploads(LocalStore(tmp_path)).receive(tree, Endless(), most_bytes=size, most_files=1)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 2 << 20


def test_a_registry_that_may_have_a_tree_is_known(uploads: Uploads) -> None:
    tree = digest(CONTENT)
    assert uploads.registry_of(tree) == ""

    uploads.note_registered(tree, "one")
    uploads.note_registered(tree, "one")

    assert uploads.registry_of(tree) == "one"


@pytest.mark.parametrize(
    ("address", "tree"),
    [
        (f"upload:{'a' * 64}", "a" * 64),
        (f"upload:{'a' * 64}/in/it", "a" * 64),
        (f"/w/uploads/{'b' * 64}", "b" * 64),
        (f"s3://w/uploads/{'b' * 64}/in/it", "b" * 64),
        (f"/w/uploads/{'b' * 65}", ""),
        (f"/w/{'b' * 64}", ""),
        ("https://x/", ""),
    ],
)
def test_the_tree_in_an_address_is_found(address: str, tree: str) -> None:
    assert tree_in(address) == tree


def test_it_is_known_when_a_tree_was_asked_for(uploads: Uploads) -> None:
    tree = digest(CONTENT)
    assert not uploads.exists(tree)
    assert tree not in uploads.asked
    receive(uploads, tree, tar(*CONTENT.items()))
    uploads.exists(tree)

    assert tree in uploads.asked

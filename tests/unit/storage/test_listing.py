"""What an input holds: every item once, in one order, and clear words where it cannot be used."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gristmill.errors import InputEmpty, InputNotFound, Mistake, StorageFailed
from gristmill.spec import Input, InputType
from gristmill_storage import local_input
from gristmill_storage.files import Store, open_store
from gristmill_storage.listing import Item, check_input, input_root, input_store, input_url, list_input
from gristmill_storage.sorting import pages_in_order


def folder(path: Path | str) -> Input:
    return Input(uri=str(path))


def single(path: Path | str) -> Input:
    return Input(uri=str(path), type=InputType.URI_FILE)


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"12345")
    return root


def names(given: Input, *, recursive: bool = True, after: str | None = None) -> list[str]:
    return [item.name for item in list_input(given, recursive=recursive, after=after)]


NAMES = [
    "a/z", "a-b", "a.b/c", "a0", "a/b/c", "b", "é", "z", "ä/1", "日本/😀", "\uff5e", "A",
    "sp ace", "new\nline", "a/#1?%20.x", "-", "~", "_img.png", "_started.png", "x_SUCCESS", "_metadata.csv",
]  # fmt: skip


def test_items_come_in_the_order_of_their_paths_bytes(tmp_path: Path) -> None:
    fill(tmp_path, *NAMES)

    assert names(folder(tmp_path)) == sorted(NAMES, key=os.fsencode)


def test_the_order_is_the_same_in_a_store(s3_url: str, tmp_path: Path) -> None:
    for name in [name for name in NAMES if "\n" not in name]:  # which the test's server does not take
        fill(tmp_path, name)
        open_store(s3_url).create(name, b"12345")

    assert list(list_input(folder(s3_url), recursive=True)) == [Item(name, 5) for name in names(folder(tmp_path))]
    assert names(folder(s3_url), recursive=False) == names(folder(tmp_path), recursive=False)
    assert names(folder(s3_url), after="b") == names(folder(tmp_path), after="b")


def test_names_that_are_no_utf8_are_items(tmp_path: Path) -> None:
    given = [os.fsdecode(name) for name in (b"\xff.png", b"\x80/x", "￿".encode(), b"z")]
    fill(tmp_path, *given)

    assert names(folder(tmp_path)) == [os.fsdecode(name) for name in sorted(map(os.fsencode, given))]


def test_sizes_only_where_they_are_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, "a/b")

    assert list(list_input(folder(tmp_path), recursive=True)) == [Item("a/b", 0)]
    assert list(list_input(folder(tmp_path), recursive=True, sizes=True)) == [Item("a/b", 5)]
    assert list(list_input(single(tmp_path / "a/b"), recursive=True, sizes=True)) == [Item("b", 5)]


def test_folders_are_left_out_when_asked(tmp_path: Path) -> None:
    fill(tmp_path, "a/b", "c")

    assert names(folder(tmp_path), recursive=False) == ["c"]


PASSED_OVER = [
    ".hidden", ".git/config", "a/.b/c", "_SUCCESS", "a/_SUCCESS.crc", "_started_123", "a/_committed_9",
    "_committed_vacuum77", "_metadata", "_common_metadata", "x_$folder$", "Thumbs.db", "desktop.ini",
    "_delta_log/0.json", "a/_temporary/0/part", "__MACOSX/x",
]  # fmt: skip


def test_hidden_files_and_marks_are_passed_over_at_every_level(tmp_path: Path) -> None:
    fill(tmp_path, "a/kept", *PASSED_OVER)

    assert names(folder(tmp_path)) == ["a/kept"]


def test_hidden_files_and_marks_are_passed_over_in_stores(store: Store) -> None:
    for name in ("a/kept", *PASSED_OVER):
        store.create(name, b"")

    assert names(folder(store.url)) == ["a/kept"]


def test_the_root_itself_may_be_hidden(tmp_path: Path) -> None:
    fill(tmp_path / ".cache" / "_temporary", "a")

    assert names(folder(tmp_path / ".cache" / "_temporary")) == ["a"]


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "x", "deep/y")
    fill(tmp_path / "in", "sub/a")
    (tmp_path / "in" / "file").symlink_to(tmp_path / "elsewhere" / "x")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "sub" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "sub" / "self").symlink_to(tmp_path / "in" / "sub")
    (tmp_path / "in" / "folder2").symlink_to(tmp_path / "elsewhere")

    assert names(folder(tmp_path / "in")) == [
        "file",
        "folder/deep/y",
        "folder/x",
        "folder2/deep/y",
        "folder2/x",
        "sub/a",
    ]
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert names(folder(tmp_path / "link")) == names(folder(tmp_path / "in"))


@pytest.mark.parametrize("odd", [None, "sub/x", ".hidden", "_SUCCESS", "a.db", "Thumbs.db", "round", "é", "\udcff"])
def test_a_folder_of_many_files_is_listed_whatever_stands_between_them(tmp_path: Path, odd: str | None) -> None:
    fill(tmp_path, *(f"{number * 7919 % 500:03d}.png" for number in range(500)))
    if odd == "round":
        (tmp_path / odd).symlink_to(tmp_path / odd)
    elif odd:
        fill(tmp_path, odd)
    is_one = odd not in (None, ".hidden", "_SUCCESS", "Thumbs.db")

    assert names(folder(tmp_path)) == [f"{number:03d}.png" for number in range(500)] + [odd] * is_one


def test_a_folder_that_is_sorted_in_runs_has_the_same_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, *NAMES, *(f"{number * 7919 % 300:03d}é" for number in range(300)))
    fill(tmp_path, *(f".{number}" for number in range(30)), "_SUCCESS", "part_$folder$", "150-/x", "\udcff")
    whole = names(folder(tmp_path))

    monkeypatch.setattr(local_input, "pages_in_order", partial(pages_in_order, run=50, early=20))

    assert names(folder(tmp_path)) == whole
    assert whole == sorted(whole, key=os.fsencode)
    assert len(whole) == len(NAMES) + 302
    assert names(folder(tmp_path), after="150é") == whole[whole.index("150é") + 1 :]


def test_links_that_lead_nowhere_are_items(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "no such file")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / ".gone").symlink_to(tmp_path / "no such file")

    assert list(list_input(folder(tmp_path), recursive=True, sizes=True)) == [Item("gone"), Item("round")]


def test_pipes_and_sockets_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")

        assert names(folder(tmp_path)) == ["a"]
        with pytest.raises(Mistake, match="neither a file nor a folder"):
            check_input(single(tmp_path / "pipe"), recursive=True)


def test_very_deep_folders_are_searched(tmp_path: Path) -> None:
    path = "/".join(["d"] * 1500 + ["file"])
    folders = [tmp_path / ("d/" * depth) for depth in range(1, 1501)]
    for each in folders:
        each.mkdir()
    (tmp_path / path).write_bytes(b"")
    try:
        assert names(folder(tmp_path)) == [path]
        check_input(folder(tmp_path), recursive=True)
    finally:
        (tmp_path / path).unlink()
        for each in reversed(folders):
            each.rmdir()


@pytest.mark.parametrize("place", ["listing", "checking"])
def test_a_folder_that_cannot_be_read_is_never_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    fill(tmp_path, "locked/a")
    opened = os.open

    def refuse(path: bytes, *options: int) -> int:
        if os.fsencode(path).rstrip(b"/").endswith(b"locked"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *options)

    monkeypatch.setattr(local_input.os, "open", refuse)
    acts: dict[str, Callable[[], object]] = {
        "listing": lambda: names(folder(tmp_path)),
        "checking": lambda: check_input(folder(tmp_path), recursive=True),
    }
    with pytest.raises(StorageFailed, match=r"the folder .*locked/? cannot be listed: Permission denied"):
        acts[place]()


def test_a_plan_goes_on_behind_any_item(tmp_path: Path) -> None:
    fill(tmp_path, *NAMES)
    every = names(folder(tmp_path))

    for place, name in enumerate(every):
        assert names(folder(tmp_path), after=name) == every[place + 1 :]
    assert names(folder(tmp_path), after="a/b") == [name for name in every if os.fsencode(name) > b"a/b"]
    assert names(single(tmp_path / "b"), after="b") == []


def test_one_file_is_one_item_whatever_its_name(store: Store, tmp_path: Path) -> None:
    for name in (".hidden", "_SUCCESS", "a b#.csv"):
        store.create(f"sub/{name}", b"12345")
        given = single(f"{store.url}/sub/{name}")
        check_input(given, recursive=True, output_folder=f"{store.url}/sub")

        assert list(list_input(given, recursive=True, sizes=True)) == [Item(name, 5)]
        assert input_url(given) == f"{store.url}/sub"
        assert input_store(given).read(name) == b"12345"


def test_local_inputs_have_a_root() -> None:
    assert input_root(folder("/data/in/")) == "/data/in"
    assert input_root(single("/data/in/a b.csv")) == "/data/in"
    assert input_root(single("/a")) == "/"
    assert input_root(single("file:///data/in/a%20b.csv")) == "/data/in"
    assert input_root(folder("s3://bucket/x")) is None
    assert input_root(folder("memory://x")) is None


def test_what_does_not_exist_is_said(store: Store) -> None:
    store.create("there/a", b"")
    for given in (folder(f"{store.url}/no"), single(f"{store.url}/no"), single(f"{store.url}/there/no")):
        with pytest.raises(InputNotFound, match="does not exist"):
            check_input(given, recursive=True)
        with pytest.raises(InputNotFound, match="does not exist"):
            list(list_input(given, recursive=True))


def test_a_file_is_no_folder_and_a_folder_no_file(store: Store) -> None:
    store.create("there/a", b"")

    with pytest.raises(Mistake, match=r"there/a is a file: give its folder, or type uri_file"):
        check_input(folder(f"{store.url}/there/a"), recursive=True)
    with pytest.raises(Mistake, match=r"there is a folder: give one file, or type uri_folder"):
        check_input(single(f"{store.url}/there"), recursive=True)


def test_an_input_without_items_is_said(store: Store) -> None:
    store.create("in/.hidden", b"")
    with pytest.raises(InputEmpty, match="holds no file to score"):
        check_input(folder(f"{store.url}/in"), recursive=True)
    store.create("in/sub/a", b"")
    check_input(folder(f"{store.url}/in"), recursive=True)
    with pytest.raises(InputEmpty, match=r"folders are not searched, since settings\.recursive is false"):
        check_input(folder(f"{store.url}/in"), recursive=False)


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)

    with pytest.raises(InputEmpty):
        check_input(folder(tmp_path / "in"), recursive=True)
    assert names(folder(tmp_path / "in")) == []


def test_the_check_stops_at_the_first_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, *(f"{number}" for number in range(100)))
    looked: list[list[bytes]] = []
    keys_of = local_input._keys_of

    def count(batch: list[os.DirEntry[bytes]], *, recursive: bool) -> list[bytes]:
        looked.append(keys_of(batch, recursive=recursive))
        return looked[-1]

    monkeypatch.setattr(local_input, "_keys_of", count)
    check_input(folder(tmp_path), recursive=True)

    assert len(looked) == 1
    assert len(looked[0]) < 100


def test_results_are_never_read_as_input(store: Store) -> None:
    store.create("in/sub/a", b"")
    store.create("in/b", b"")
    given = folder(f"{store.url}/in")
    for output in ("in/out", "in", "in/sub", "in/", "in/sub/new/deep"):
        with pytest.raises(Mistake, match="results would be read as input; give a folder outside of it"):
            check_input(given, recursive=True, output_folder=f"{store.url}/{output}")
        with pytest.raises(Mistake, match="results would be read as input"):
            list_input(given, recursive=True, output_folder=f"{store.url}/{output}")
    with pytest.raises(Mistake, match="same folder"):
        check_input(given, recursive=False, output_folder=f"{store.url}/in")


def test_an_output_that_is_not_listed_is_fine(store: Store, tmp_path: Path) -> None:
    store.create("in/b", b"")
    given = folder(f"{store.url}/in")
    for output in ("", "/in-out", "/in/.out", "/in/.gristmill/x", "/other"):
        check_input(given, recursive=True, output_folder=f"{store.url}{output}")
    check_input(given, recursive=False, output_folder=f"{store.url}/in/out")
    check_input(given, recursive=True, output_folder=f"memory://{uuid.uuid4().hex}")
    check_input(given, recursive=True, output_folder=str(tmp_path / "elsewhere"))


def test_an_output_inside_by_way_of_a_link_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "in", "a", "sub/b")
    (tmp_path / "out").symlink_to(tmp_path / "in" / "sub")

    with pytest.raises(Mistake, match="is inside the input"):
        check_input(folder(tmp_path / "in"), recursive=True, output_folder=str(tmp_path / "out"))


def test_marks_of_folders_in_a_store_are_no_items(s3_url: str) -> None:
    import s3fs

    bucket, _, root = s3_url.removeprefix("s3://").partition("/")
    driver = s3fs.S3FileSystem()
    for key in (f"{root}/", f"{root}/sub/", f"{root}/sub/a"):
        driver.call_s3("put_object", Bucket=bucket, Key=key, Body=b"")

    assert names(folder(s3_url)) == ["sub/a"]


@pytest.mark.parametrize("key", ["a/../../b", "/abs"])
def test_keys_that_can_be_no_path_are_said(s3_url: str, key: str) -> None:
    import s3fs

    bucket, _, root = s3_url.removeprefix("s3://").partition("/")
    s3fs.S3FileSystem().call_s3("put_object", Bucket=bucket, Key=f"{root}/{key}", Body=b"")

    with pytest.raises(Mistake, match="can be no file's path; rename it there"):
        names(folder(s3_url))


def test_more_than_a_page_of_objects_is_listed_whole(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")  # the server's pages, of a thousand objects otherwise
    store = open_store(s3_url)
    expected = [f"{number:05d}" for number in range(31)]
    for name in expected:
        store.replace(name, b"")

    assert names(folder(s3_url)) == expected

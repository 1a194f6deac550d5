"""What is particular to stores behind fsspec: lost replies, refusals, web servers, stores without conditions."""

from __future__ import annotations

import errno
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gristmill.errors import AlreadyExists, InputNotFound, MissingExtra, Mistake, NotFound, StorageFailed
from gristmill.spec import Input, InputType
from gristmill_storage import drivers, fsspec_store
from gristmill_storage.files import excludes, open_store
from gristmill_storage.fsspec_store import LEAST_AHEAD, READ_AHEAD, FsspecStore
from gristmill_storage.fsspec_writer import BUFFER
from gristmill_storage.listing import check_input, fetch, input_store, list_input


@pytest.fixture
def s3(s3_url: str) -> FsspecStore:
    store = open_store(s3_url)
    assert isinstance(store, FsspecStore)
    return store


@pytest.fixture
def plain() -> FsspecStore:
    """A store without a conditional put: fsspec's own in memory."""
    return FsspecStore(f"memory://{uuid.uuid4().hex}/folder", extra="none")


def uploads(store: FsspecStore) -> list[dict[str, Any]]:
    bucket = store.url.removeprefix("s3://").partition("/")[0]
    found: list[dict[str, Any]] = store.fs.call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads", [])
    return found


def refusal(condition: str | None) -> OSError:
    """What s3fs raises for a condition that was not met: stores other than AWS do not name the condition."""
    if condition:
        return FileExistsError(errno.EEXIST, "precondition")
    error = OSError(errno.EINVAL, "At least one of the pre-conditions you specified did not hold")
    cause = RuntimeError()
    cause.response = {"ResponseMetadata": {"HTTPStatusCode": 412}}  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("condition", ["If-None-Match", None])
@pytest.mark.parametrize("content", [b"mine", b""])
def test_a_create_whose_reply_was_lost_counts(
    s3: FsspecStore, monkeypatch: pytest.MonkeyPatch, condition: str | None, content: bytes
) -> None:
    put = s3.fs.pipe_file

    def lose_the_reply(*args: Any, **kwargs: Any) -> None:
        put(*args, **kwargs)
        raise refusal(condition)

    monkeypatch.setattr(s3.fs, "pipe_file", lose_the_reply)
    s3.create("a", content)

    assert s3.read("a") == content


@pytest.mark.parametrize("condition", ["If-None-Match", None])
def test_a_refused_create_is_refused(s3: FsspecStore, monkeypatch: pytest.MonkeyPatch, condition: str | None) -> None:
    s3.create("a", b"theirs")

    def refuse(*_: Any, **__: Any) -> None:
        raise refusal(condition)

    monkeypatch.setattr(s3.fs, "pipe_file", refuse)
    for content in (b"mine..", b"longer than theirs"):
        with pytest.raises(AlreadyExists, match=f"^{s3.url}/a: already there$"):
            s3.create("a", content)


def test_a_create_that_met_another_is_tried_again(s3: FsspecStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put = s3.fs.pipe_file
    calls: list[int] = []

    def conflict_first(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise OSError(errno.EBUSY, "ConditionalRequestConflict")
        put(*args, **kwargs)

    monkeypatch.setattr(s3.fs, "pipe_file", conflict_first)
    s3.create("a", b"A")

    assert (len(calls), s3.read("a")) == (3, b"A")


def test_conflicts_without_end_are_said(s3: FsspecStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(*_: Any, **__: Any) -> None:
        raise OSError(errno.EBUSY, "ConditionalRequestConflict")

    monkeypatch.setattr(s3.fs, "pipe_file", conflict)
    with pytest.raises(StorageFailed, match="ConditionalRequestConflict"):
        s3.create("a", b"A")


def test_an_upload_whose_reply_was_lost_counts(s3: FsspecStore) -> None:
    content = bytes(range(256)) * (BUFFER // 256) + b"more"
    s3.create("a", content)

    with s3.writer("a") as writer:
        writer.write(content)
        writer.publish()
    with s3.writer("a") as writer:
        writer.write(content[:-1] + b"!")
        with pytest.raises(AlreadyExists):
            writer.publish()

    assert s3.read("a") == content
    assert uploads(s3) == []


def test_a_discarded_upload_leaves_nothing_even_when_it_is_collected(s3: FsspecStore) -> None:
    with s3.writer("a") as writer:
        writer.write(b"x" * (2 * BUFFER + 1))
        assert len(uploads(s3)) == 1
    del writer

    assert uploads(s3) == []
    assert not s3.exists("a")


def test_a_store_that_ignores_conditions_is_found_out(s3: FsspecStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert excludes(s3, "probe")
    put = s3.fs.pipe_file

    def ignore(path: str, data: bytes, **_: Any) -> None:
        put(path, data)

    monkeypatch.setattr(s3.fs, "pipe_file", ignore)
    assert not excludes(s3, "probe")
    assert list(s3.list()) == []


def test_a_bucket_that_is_not_there(s3_endpoint: str) -> None:
    store = open_store(f"s3://no-{uuid.uuid4().hex}/x")

    assert list(store.list()) == []
    with pytest.raises(NotFound):
        store.create("a", b"")
    with pytest.raises(InputNotFound):
        check_input(Input(uri=store.url), recursive=True)


def test_a_server_that_is_not_there_is_said_in_one_line(s3: FsspecStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Could not connect to https://host/x?signature=secret\nagain, nor to 'key:secret@box'")

    monkeypatch.setattr(s3.fs, "cat_file", fail)
    with pytest.raises(StorageFailed) as caught:
        s3.read("a")
    assert (
        str(caught.value)
        == f"{s3.url}/a: RuntimeError: Could not connect to https://host/x?... again, nor to '***@box'"
    )


def test_without_conditions_the_same_is_kept_for_one_writer(plain: FsspecStore) -> None:
    plain.create("sub/a", b"A")
    plain.create("empty", b"")
    for path in ("sub/a", "empty"):
        with pytest.raises(AlreadyExists):
            plain.create(path, b"other")
    with plain.writer("large") as writer:
        writer.write(b"x" * (BUFFER + 1))
        writer.publish()
    with plain.writer("sub/a") as writer:
        writer.write(b"other")
        with pytest.raises(AlreadyExists):
            writer.publish()
    with plain.writer("large") as writer, pytest.raises(AlreadyExists):
        writer.write(b"x" * (BUFFER + 2))

    assert [(entry.path, entry.size) for entry in plain.list()] == [("empty", 0), ("large", BUFFER + 1), ("sub/a", 1)]
    assert [entry.path for entry in plain.list(recursive=False)] == ["empty", "large"]
    assert [entry.path for entry in plain.list("sub")] == ["sub/a"]
    plain.move("sub/a", "b")
    assert (plain.read("b"), plain.exists("sub/a")) == (b"A", False)


def test_a_driver_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.setitem(sys.modules, "gcsfs.core", None)
    monkeypatch.setitem(sys.modules, "adlfs", None)
    for name in ("gs", "abfs"):  # what another test of this process has used is known there
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, name, raising=False)
    monkeypatch.delitem(sys.modules, "gristmill_storage.google_driver", raising=False)
    for url, extra in (("gs://bucket/x", "gcs"), ("abfs://box@account/x", "azure")):
        with pytest.raises(MissingExtra, match=rf"pip install 'gristmill\[{extra}\]'"):
            open_store(url)


class Pages(SimpleHTTPRequestHandler):
    """Files and listings of a folder, without a word on stderr."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if "secret" in self.path and "sig=s3cret" not in self.path:
            self.send_error(403)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        if "secret" in self.path and "sig=s3cret" not in self.path:
            self.send_error(403)
        else:
            super().do_HEAD()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=str(tmp_path / "site")))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


ON_SITE = ["a/b & c.txt", "a/ü #1?%20.txt", "a/deep/er/x", "z", "a-b/y", ".hidden/x", "_SUCCESS"]


def test_a_web_servers_listing_is_an_input(site: str, tmp_path: Path) -> None:
    for name in ON_SITE:
        (tmp_path / "site" / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / "data" / name).write_bytes(name.encode())
    (tmp_path / "site" / "elsewhere").write_bytes(b"")
    given = Input(uri=f"{site}/data/")
    check_input(given, recursive=True, output_folder="/elsewhere")

    names = [item.name for item in list_input(given, recursive=True)]

    assert names == ["a-b/y", "a/b & c.txt", "a/deep/er/x", "a/ü #1?%20.txt", "z"]
    for name in names:
        assert fetch(input_store(given), name, tmp_path / "copies").read_bytes() == name.encode()
    assert [item.name for item in list_input(given, recursive=False)] == ["z"]


def test_a_file_on_the_web_is_an_input_with_its_signature(site: str, tmp_path: Path) -> None:
    (tmp_path / "site" / "secret").mkdir(parents=True)
    (tmp_path / "site" / "secret" / "a b.csv").write_bytes(b"1,2")
    given = Input(uri=f"{site}/secret/a%20b.csv?sig=s3cret", type=InputType.URI_FILE)
    check_input(given, recursive=True)

    assert [(item.name, item.size) for item in list_input(given, recursive=True)] == [("a b.csv", 3)]
    store = input_store(given)
    assert fetch(store, "a b.csv", tmp_path).read_bytes() == b"1,2"
    assert store.read("a b.csv") == b"1,2"
    assert store.url == f"{site}/secret"


def test_what_is_not_on_the_web_is_said_without_the_signature(site: str, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    for given in (
        Input(uri=f"{site}/no.csv?sig=s3cret", type=InputType.URI_FILE),
        Input(uri=f"{site}/no/?sig=s3cret"),
        Input(uri=f"{site}?sig=s3cret", type=InputType.URI_FILE),
        Input(uri=f"{site}/secret.csv", type=InputType.URI_FILE),
    ):
        with pytest.raises((Mistake, StorageFailed)) as caught:
            check_input(given, recursive=True)
        assert "s3cret" not in str(caught.value)


def test_the_web_is_for_reading(site: str, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    store = open_store(site)
    for act in (partial(store.create, "a", b""), partial(store.replace, "a", b""), partial(store.writer, "a")):
        with pytest.raises(Mistake, match="http:// can be read, not written"):
            act()
    with pytest.raises(Mistake):
        store.delete("a")


def test_downloads_have_no_limit_in_all() -> None:
    timeout = drivers.options("https")["client_kwargs"]["timeout"]

    assert (timeout.total, timeout.sock_read) == (None, 60)
    assert drivers.options("abfs") == {"max_concurrency": 4}
    assert drivers.options("gs") == {"use_experimental_adaptive_prefetching": False}


def test_streams_that_are_open_together_read_less_ahead_each(s3: FsspecStore, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.create("a", b"content")
    asked: list[int] = []
    real = s3.fs.open

    def opened(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs["block_size"])
        return real(*args, **kwargs)

    monkeypatch.setattr(s3.fs, "open", opened)
    monkeypatch.setattr(fsspec_store, "AHEAD_TOGETHER", 4 * READ_AHEAD)
    with ExitStack() as stack:
        streams = [stack.enter_context(s3.open("a")) for _ in range(40)]
        assert [stream.read() for stream in streams] == [b"content"] * 40
    s3.open("a").close()

    assert asked[:4] == [READ_AHEAD] * 4
    assert asked[4:8] == [4 * READ_AHEAD // count for count in (5, 6, 7, 8)]
    assert asked[39] == LEAST_AHEAD
    assert asked[40] == READ_AHEAD

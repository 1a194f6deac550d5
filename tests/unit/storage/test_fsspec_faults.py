"""An object store behind a network that loses replies, breaks off, and says that it is busy: real S3 requests."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from faulty_proxy import FaultyProxy

from gristmill.errors import AlreadyExists, StorageFailed
from gristmill_storage import drivers, fsspec_store, fsspec_writer
from gristmill_storage import patience as patience_module
from gristmill_storage.files import open_store
from gristmill_storage.fsspec_store import FsspecStore
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import PatientStore, patient

#: The least that S3 takes for a piece of an upload.
PIECE = 5 << 20

#: More than a driver's own repetitions.
MANY = 6


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_endpoint) as proxy:
        yield proxy


@pytest.fixture
def direct(s3_url: str) -> FsspecStore:
    """The store as another writer reaches it."""
    store = open_store(s3_url)
    assert isinstance(store, FsspecStore)
    assert not store.exists("nothing")
    return store


@dataclass(frozen=True)
class Far:
    """A store, what is between, and the store as another writer reaches it."""

    store: PatientStore
    proxy: FaultyProxy
    direct: FsspecStore


@pytest.fixture
def far(proxy: FaultyProxy, direct: FsspecStore, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Far:
    """The store through the proxy, waited for; drivers' own repetitions are few."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setattr(fsspec_writer, "BUFFER", PIECE)
    monkeypatch.setattr(patience_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setattr(drivers, "options", lambda *_: {"config_kwargs": {"retries": {"max_attempts": 0}}})
    # A client of its own; those of other writers stay, for it takes a third of a second to make one.
    monkeypatch.setattr(s3fs.S3FileSystem, "_cache", {})
    return Far(patient(open_store(s3_url), Patience(30)), proxy, direct)


def uploads(store: FsspecStore) -> int:
    """Return how many uploads have been begun and not ended."""
    bucket = store.address("x").partition("/")[0]
    return len(store.fs.call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads", ()))


@pytest.mark.parametrize("action", ["lose", "reset", "busy"])
@pytest.mark.parametrize("times", [1, MANY])
def test_a_small_file_is_created_once(far, action, times) -> None:
    far.proxy.add("PUT .*/a/b", action, times=times)

    far.store.create("a/b", b"mine")

    assert [entry.path for entry in far.direct.list()] == ["a/b"]
    assert far.direct.read("a/b") == b"mine"


def test_another_writers_file_is_refused_though_a_reply_was_lost(far) -> None:
    far.direct.create("a/b", b"theirs")
    far.proxy.add("PUT .*/a/b", "lose", times=MANY)

    with pytest.raises(AlreadyExists):
        far.store.create("a/b", b"mine!!")

    assert far.direct.read("a/b") == b"theirs"


@pytest.mark.parametrize(
    ("asked", "action"),
    [
        (r"POST .*\?uploads", "busy"),
        (r"PUT .*partNumber=1", "busy"),
        (r"PUT .*partNumber=1", "lose"),
        (r"PUT .*partNumber=2", "reset"),
        (r"POST .*uploadId", "busy"),
        (r"POST .*uploadId", "reset"),
        (r"POST .*uploadId", "lose"),
    ],
)
@pytest.mark.parametrize(("times", "overwrite"), [(1, True), (MANY, False)])
def test_an_upload_is_published_once_and_whole(far, asked, action, times, overwrite) -> None:
    data = os.urandom(PIECE + 1000)
    if overwrite:
        far.direct.create("a", b"old")
    far.proxy.add(asked, action, times=times)

    with far.store.writer("a", overwrite=overwrite) as writer:
        writer.write(data[:1000])
        writer.write(data[1000:])
        writer.publish()

    assert [entry.path for entry in far.direct.list()] == ["a"]
    assert far.direct.read("a") == data
    assert uploads(far.direct) == 0


def test_an_upload_that_another_writer_was_faster_than_is_refused_and_aborted(far) -> None:
    far.proxy.add(r"POST .*uploadId", "lose", times=2)
    with far.store.writer("a") as writer:
        writer.write(os.urandom(PIECE + 10))
        far.direct.create("a", b"theirs")
        with pytest.raises(AlreadyExists):
            writer.publish()

    assert far.direct.read("a") == b"theirs"
    assert uploads(far.direct) == 0


def test_an_upload_that_is_given_up_is_aborted(far) -> None:
    far.store.patience.end()
    far.proxy.add("PUT .*partNumber=2", "busy", times=1000)

    with pytest.raises(StorageFailed, match="reduce your request rate"), far.store.writer("a") as writer:
        writer.write(os.urandom(3 * PIECE))

    assert uploads(far.direct) == 0
    assert not far.direct.exists("a")


@pytest.mark.parametrize("action", ["cut", "reset", "busy"])
@pytest.mark.parametrize("times", [1, MANY])
def test_reading_goes_on_where_it_broke_off(far, tmp_path, action, times) -> None:
    data = os.urandom(100_000)
    far.direct.create("a", data)
    far.proxy.add("GET .*/a", action, times=times)

    assert far.store.read("a") == data
    far.proxy.add("GET .*/a", action, times=times)
    with far.store.open("a") as file:
        assert file.read(10) == data[:10]
        assert file.seek(-10, 2) == len(data) - 10
        assert file.read() == data[-10:]
    far.proxy.add("GET .*/a", action, times=times)
    far.store.download("a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_looking_listing_and_removing_are_done_all_the_same(far) -> None:
    for name in ("a/1", "a/2", "b"):
        far.direct.create(name, b"x")
    for asked in ("GET .*list-type", "HEAD", "DELETE"):
        far.proxy.add(asked, "busy", times=MANY)

    assert [entry.path for entry in far.store.list("a")] == ["a/1", "a/2"]
    assert far.store.exists("b")
    far.store.delete_tree("a")
    assert [entry.path for entry in far.direct.list()] == ["b"]


def test_a_store_that_stays_busy_fails_with_its_own_words(far) -> None:
    far.proxy.add("PUT", "busy", times=10**6)
    store = patient(far.store, Patience(0.5))
    begun = time.monotonic()

    with pytest.raises(StorageFailed, match="reduce your request rate"):
        store.create("a", b"x")

    assert time.monotonic() - begun < 20


def test_a_refused_permission_is_waited_for_by_writers_alone(far) -> None:
    far.proxy.add("PUT .*/a", "forbid", times=3)
    far.store.create("a", b"x")
    assert far.direct.read("a") == b"x"

    far.proxy.add("GET .*/a", "forbid", times=1000)
    with pytest.raises(StorageFailed, match="Access Denied"):
        far.store.read("a")
    assert sum(request.startswith("GET") for request in far.proxy.log) < 10


def test_uploads_of_killed_writers_are_swept_when_they_are_old(far, monkeypatch) -> None:
    killed = far.direct.writer("a/b")
    for _ in range(3):
        killed.write(os.urandom(8 << 20))
    assert uploads(far.direct) == 1

    # The server of these tests says of every upload that it was begun in 2010.
    monkeypatch.setattr(fsspec_store, "_STALE", timedelta(days=100 * 365))
    assert far.direct.sweep() == 0
    monkeypatch.setattr(fsspec_store, "_STALE", timedelta(0))
    assert far.direct.sweep("elsewhere") == 0
    assert far.direct.sweep() == 1
    assert uploads(far.direct) == 0
    killed.close()

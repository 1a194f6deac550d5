"""Which faults are waited out, for how long, and what is said meanwhile."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from faulty_store import Faults, FaultyStore, failure

from gristmill.errors import AlreadyExists, Corrupt, LedgerFailed, Mistake, NotFound, StorageFailed
from gristmill_storage import patience as patience_module
from gristmill_storage.local_store import LocalStore
from gristmill_storage.memory_store import MemoryStore
from gristmill_storage.patience import Patience, may_pass
from gristmill_storage.patient_store import PatientStore, patience_of, patient
from gristmill_storage.store import Store


@pytest.fixture(params=["local", "memory"])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "store") if request.param == "local" else MemoryStore()


@pytest.fixture
def faulty(inner: Store) -> FaultyStore:
    return FaultyStore(inner)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "FIRST_PAUSE", 0.002)


def waiting(store: Store, seconds: float = 10) -> PatientStore:
    return patient(store, Patience(seconds))


class Answer(Exception):
    """What a driver raises for a server's answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class ClientPayloadError(Exception):
    """Called as aiohttp calls it."""


def caused(cause: BaseException) -> StorageFailed:
    error = StorageFailed("x")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        *(failure(getattr(errno, name)) for name in ("ENOSPC", "EDQUOT", "EIO", "ESTALE", "ETIMEDOUT", "EAGAIN")),
        *(failure(getattr(errno, name)) for name in ("EBUSY", "ECONNREFUSED", "ECONNRESET", "ENOTCONN")),
        caused(TimeoutError()),
        caused(ConnectionError("lost")),
        caused(ClientPayloadError()),
        *(caused(Answer(status)) for status in (429, 500, 502, 503, 504)),
    ],
    ids=str,
)
def test_what_may_pass_is_waited_for_by_readers_and_writers(error: StorageFailed) -> None:
    assert may_pass(error, writing=True)
    assert may_pass(error, writing=False)


@pytest.mark.parametrize(
    "error", [*map(failure, (errno.EROFS, errno.EACCES, errno.EPERM)), caused(Answer(403))], ids=str
)
def test_a_lost_permission_is_waited_for_by_writers_alone(error: StorageFailed) -> None:
    assert may_pass(error, writing=True)
    assert not may_pass(error, writing=False)


def test_what_will_not_mend_is_never_waited_for() -> None:
    full = OSError(errno.ENOSPC, "full")
    for kind in (NotFound, AlreadyExists, Corrupt, Mistake, LedgerFailed):
        error = kind("x")
        error.__cause__ = full
        assert not may_pass(error, writing=True), kind
    for cause in (OSError(errno.ENOENT, ""), OSError(errno.EINVAL, ""), Answer(400), Answer(404), ValueError()):
        assert not may_pass(caused(cause), writing=True), cause


def test_what_a_caller_is_mending_is_not_taken_for_the_cause() -> None:
    error = StorageFailed("something else")
    error.__context__ = OSError(errno.ENOSPC, "full")

    assert not may_pass(error, writing=True)


def read_all(store: Store) -> bytes:
    with store.open("there") as file:
        return file.read()


OPERATIONS: dict[str, Any] = {
    "read": lambda store: store.read("there") == b"0123456789",
    "read_range": lambda store: store.read_range("there", 2, 3) == b"234",
    "open": lambda store: read_all(store) == b"0123456789",
    "create": lambda store: store.create("new", b"n") or store.read("new") == b"n",
    "replace": lambda store: store.replace("there", b"n") or store.read("there") == b"n",
    "exists": lambda store: store.exists("there"),
    "size": lambda store: store.size("there") == 10,
    "list": lambda store: [entry.path for entry in store.list()] == ["a/1", "a/2", "there"],
    "move": lambda store: store.move("there", "b/new") or (store.exists("b/new") and not store.exists("there")),
    "delete": lambda store: store.delete("there") or not store.exists("there"),
    "delete_tree": lambda store: store.delete_tree("a") or not list(store.list("a")),
}


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("skip", [0, 1])
def test_every_operation_that_fails_twice_is_done_once(faulty: FaultyStore, kind: str, when: Any, skip: int) -> None:
    for path, data in [("there", b"0123456789"), ("a/1", b""), ("a/2", b"")]:
        faulty.inner.create(path, data)
    faulty.faults.add(kind, when=when, error=errno.EIO, times=2, skip=skip if kind == "list" else 0)

    assert OPERATIONS[kind](waiting(faulty))


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        ("writer", "before"),
        ("writer", "after"),
        ("writer.write", "before"),
        ("writer.publish", "before"),
        ("writer.publish", "after"),
    ],
)
def test_a_stream_goes_on_where_it_was(faulty: FaultyStore, inner: Store, kind: str, when: Any) -> None:
    faulty.faults.add(kind, when=when, error=errno.ENOSPC, times=3, skip=1 if kind == "writer.write" else 0)
    pieces = [os.urandom(size) for size in (10, 1 << 20, 3, 2 << 20, 1)]

    with waiting(faulty).writer("a/b") as writer:
        for piece in pieces:
            writer.write(piece)
        assert writer.tell() == sum(map(len, pieces))
        writer.publish()

    assert inner.read("a/b") == b"".join(pieces)


def test_another_writers_file_stays_refused_after_a_failure(faulty: FaultyStore, inner: Store) -> None:
    inner.create("a", b"theirs")
    faulty.faults.add("create", error=errno.EIO)

    with pytest.raises(AlreadyExists):
        waiting(faulty).create("a", b"mine")

    assert inner.read("a") == b"theirs"


def test_what_is_there_is_refused_without_a_failure_even_if_it_is_the_same() -> None:
    store = waiting(MemoryStore())
    store.create("a", b"same")

    with pytest.raises(AlreadyExists):
        store.create("a", b"same")


def test_patience_ends_and_the_error_says_what_the_system_said_and_how_long_was_tried(tmp_path: Path) -> None:
    faulty = FaultyStore(LocalStore(tmp_path))
    faulty.faults.add("replace", error=errno.ENOSPC, times=1000)
    begun = time.monotonic()

    with pytest.raises(StorageFailed, match=r"No space left on device \(tried for 1 s\)"):
        waiting(faulty, 1.1).replace("a", b"")

    assert 1 <= time.monotonic() - begun < 5


def test_a_second_patience_does_not_wait_for_what_the_first_has_waited_for() -> None:
    faulty = FaultyStore(MemoryStore())
    faulty.faults.add("read", error=errno.EIO, times=10**6)
    store = waiting(faulty, 0.1)
    begun = time.monotonic()

    with pytest.raises(StorageFailed):
        Patience(30).call(lambda: store.read("a"))

    assert time.monotonic() - begun < 10


def test_no_patience_is_no_wait() -> None:
    faulty = FaultyStore(MemoryStore())
    faulty.faults.add("read", error=errno.EIO)

    with pytest.raises(StorageFailed):
        waiting(faulty, 0).read("a")

    assert len(faulty.faults.log) == 1
    assert patience_of(faulty).call(lambda: 1) == 1


def test_an_outage_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    faulty = FaultyStore(MemoryStore())
    faulty.faults.add("replace", error=errno.ENOSPC, times=5)
    patience, told = Patience(30), []
    patience.tell = told.append

    with caplog.at_level("INFO", "gristmill.storage"):
        patient(faulty, patience).replace("a", b"")

    assert told == ["waiting for storage: injected: No space left on device", ""]
    assert len(caplog.records) == 2


def test_each_fault_that_may_pass_is_counted_and_no_other() -> None:
    patience, counted = Patience(10), []
    patience.fault = lambda: counted.append(1)
    errors = [failure(errno.EIO), failure(errno.ETIMEDOUT)]

    def action() -> str:
        if errors:
            raise errors.pop()
        return "done"

    def hopeless() -> None:
        raise NotFound("x")

    assert patience.call(action) == "done"
    with pytest.raises(NotFound):
        patience.call(hopeless)
    assert len(counted) == 2


def test_a_thousand_files_on_a_store_that_is_gone_take_as_long_as_one() -> None:
    faulty = FaultyStore(MemoryStore())
    faulty.faults.add("read", error=errno.ETIMEDOUT, times=10**6)
    store = waiting(faulty, 0.3)
    begun = time.monotonic()

    for _ in range(1000):
        with pytest.raises(StorageFailed):
            store.read("a")

    assert time.monotonic() - begun < 5


def test_reading_goes_on_while_writing_is_out() -> None:
    faulty = FaultyStore(MemoryStore())
    faulty.inner.create("a", b"1")
    faulty.faults.add("replace", error=errno.ENOSPC, times=10**6)
    store = waiting(faulty, 0.2)
    with pytest.raises(StorageFailed):
        store.replace("a", b"2")

    assert store.read("a") == b"1"
    with pytest.raises(StorageFailed, match=r"No space left on device$"):  # the same outage: not waited for again
        store.replace("a", b"2")


@pytest.mark.parametrize("way", ["end", "pointless"])
def test_who_waits_gives_up_when_there_is_nothing_to_wait_for(way: str) -> None:
    faulty = FaultyStore(MemoryStore())
    faulty.faults.add("read", error=errno.EIO, times=10**6)
    patience = Patience(60)
    over = threading.Event()
    patience.pointless = over.is_set
    timer = threading.Timer(0.2, patience.end if way == "end" else over.set)
    timer.start()
    begun = time.monotonic()

    with pytest.raises(StorageFailed, match="Input/output error"):
        patient(faulty, patience).read("a")

    timer.join()
    assert time.monotonic() - begun < 10


class Flaky:
    """A file that fails now and then, as one on a drive that is mounted again."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file = file
        self._faults = faults

    def read(self, size: int = -1) -> bytes:
        self._faults.at("read", "", "before")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_file_is_opened_again_where_reading_fails(inner: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    faults, opened = Faults(), []
    inner.create("a", b"0123456789")
    original = type(inner).open

    def flaky(self: Any, path: str) -> Any:
        opened.append(path)
        return Flaky(original(self, path), faults)

    monkeypatch.setattr(type(inner), "open", flaky)
    faults.add("read", error=OSError(errno.ESTALE, os.strerror(errno.ESTALE)), skip=1, times=2)  # type: ignore[arg-type]
    with waiting(inner).open("a") as file:
        assert file.read(4) == b"0123"
        assert file.read(4) == b"4567"
        assert file.seek(-1, 2) == 9
        assert file.read() == b"9"
        assert file.tell() == 10
    assert len(opened) == 3


def test_a_copy_that_fails_half_way_goes_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(5 << 20)
    (tmp_path / "source").write_bytes(data)
    copy, calls = os.copy_file_range, []

    def short(source: int, target: int, count: int, start: int, at: int) -> int:
        calls.append(start)
        if len(calls) in (2, 3):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copy(source, target, min(count, 1 << 20), start, at)

    monkeypatch.setattr(os, "copy_file_range", short)
    with (tmp_path / "source").open("rb") as source, waiting(LocalStore(tmp_path)).writer("target") as writer:
        writer.write(b"head")
        writer.copy_from(source, 0, len(data))
        writer.write(b"tail")
        writer.publish()

    assert (tmp_path / "target").read_bytes() == b"head" + data + b"tail"
    assert calls[:4] == [0, 1 << 20, 1 << 20, 1 << 20]


def test_a_write_that_was_half_done_is_done_over_not_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(3 << 20)
    write, calls = os.pwrite, []

    def short(fd: int, piece: Any, at: int) -> int:
        calls.append(at)
        if len(calls) in (2, 5, 6):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return write(fd, piece[: 1 << 19], at)

    monkeypatch.setattr(os, "pwrite", short)
    with waiting(LocalStore(tmp_path)).writer("target") as writer:
        writer.write(b"head")
        writer.write(data[:1000])
        writer.write(data[1000:])
        writer.publish()

    assert (tmp_path / "target").read_bytes() == b"head" + data


def test_what_a_failed_fsync_may_have_dropped_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes, fsync, failed = [], os.fsync, []

    def once(fd: int) -> None:
        if not failed:
            failed.append(fd)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    write = os.pwrite
    store = waiting(LocalStore(tmp_path))
    with store.writer("a") as writer:
        writer.write(b"x" * 1000)
        monkeypatch.setattr(os, "fsync", once)
        monkeypatch.setattr(os, "pwrite", lambda *given: writes.append(given[2]) or write(*given))
        writer.publish()

    assert writes == [0, 0]
    assert (tmp_path / "a").read_bytes() == b"x" * 1000


def test_what_is_not_held_any_more_is_not_believed_after_a_failed_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with waiting(LocalStore(tmp_path), 60).writer("a") as writer:
        writer.write(b"x" * (2 << 20))
        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(StorageFailed, match="Input/output error"):
            writer.publish()
        assert writer.spoiled
    assert list(tmp_path.iterdir()) == []

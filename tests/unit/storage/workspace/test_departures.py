"""An upload that nothing needs goes by steps that are taken back while they can be."""

from __future__ import annotations

import hashlib
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gristmill.errors import StorageFailed
from gristmill.trees import digest_of
from gristmill_storage.files import LocalStore, MemoryStore
from gristmill_storage.workspace import Departures, Step, Uploads

DAY, HOUR = 86400.0, 3600.0
TREE = digest_of([("a.txt", 1, hashlib.sha256(b"x").hexdigest())])


class Place:
    """Uploads, and their departures."""

    def __init__(self, store: LocalStore | MemoryStore) -> None:
        self.uploads, self.departures = Uploads(store), Departures(store)
        self.send()

    def send(self) -> None:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            info = tarfile.TarInfo("a.txt")
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
        self.uploads.receive(TREE, io.BytesIO(stream.getvalue()), most_bytes=10, most_files=1)

    def advance(self, day: float, *, over: float = 0.0) -> Step | None:
        return self.departures.advance(TREE, now=day * DAY, seconds=30 * DAY, over=over)

    def hide(self) -> None:
        assert self.advance(1) is Step.UNNEEDED
        assert self.advance(32) is Step.HIDDEN

    @property
    def files(self) -> list[str]:
        return [entry.path for entry in self.uploads.store.list("uploads") if not entry.path.endswith(".leaving")]


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(LocalStore(tmp_path / "w") if request.param == "local" else MemoryStore())


def test_it_is_hidden_after_so_long_and_deleted_an_hour_later(place: Place) -> None:
    assert place.advance(1) is Step.UNNEEDED
    assert place.advance(30.9) is Step.UNNEEDED
    assert place.uploads.exists(TREE)

    assert place.advance(31.1) is Step.HIDDEN
    assert not place.uploads.exists(TREE)
    assert place.advance(31.1 + 0.9 * HOUR / DAY) is Step.HIDDEN
    assert place.uploads.store.read(f"uploads/{TREE}/a.txt") == b"x"

    assert place.advance(31.1 + 1.1 * HOUR / DAY) is None
    assert place.departures.trees() == {}
    assert place.files == []


def test_the_end_of_the_last_job_that_read_it_counts(place: Place) -> None:
    place.advance(1)

    assert place.advance(35, over=6 * DAY) is Step.UNNEEDED
    assert place.advance(36.1, over=6 * DAY) is Step.HIDDEN


def test_what_is_needed_again_is_there_as_before(place: Place) -> None:
    for undo in (lambda: place.advance(1), place.hide):
        undo()
        place.departures.need(TREE)

        assert place.uploads.exists(TREE)
        assert place.departures.trees() == {TREE: frozenset({"complete"})}
        assert place.uploads.store.read(f"uploads/{TREE}/a.txt") == b"x"


def test_what_is_needed_and_stays_anyway_is_let_alone(place: Place) -> None:
    place.departures.need(TREE)

    assert place.departures.trees() == {TREE: frozenset({"complete"})}


def test_what_is_sent_again_while_it_is_hidden_stays_as_long_as_before(place: Place) -> None:
    place.hide()
    place.send()

    assert place.advance(33) is Step.UNNEEDED
    assert place.advance(62) is Step.UNNEEDED
    assert place.uploads.exists(TREE)


def test_a_server_that_died_while_it_deleted_leaves_no_half_of_it(place: Place) -> None:
    place.hide()
    place.uploads.store.replace(f"uploads/{TREE}.leaving", b'{"step": "going", "since": 1}')

    place.departures.need(TREE)  # too late
    assert not place.uploads.exists(TREE)

    assert place.advance(40) is None
    assert place.departures.trees() == {}


def test_a_tree_that_is_sent_while_it_is_deleted_is_there_whole_or_not(tmp_path: Path) -> None:
    place = Place(LocalStore(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(place.send) for _ in range(20)]
        for _ in range(20):
            place.uploads.store.delete(f"uploads/{TREE}.complete")
            place.uploads.store.replace(f"uploads/{TREE}.leaving", b'{"step": "going", "since": 1}')
            place.advance(1)
        failures = [error for each in sending if (error := each.exception()) is not None]

    assert all(isinstance(error, StorageFailed) for error in failures)
    if place.uploads.exists(TREE):
        assert place.uploads.store.read(f"uploads/{TREE}/a.txt") == b"x"


def test_a_tree_that_was_sent_just_before_its_files_were_deleted_is_not_said_to_be_there() -> None:
    class Late(MemoryStore):
        def delete_tree(self, prefix: str) -> None:
            place.send()
            super().delete_tree(prefix)

    place = Place(Late())
    place.hide()

    assert place.advance(33) is None
    assert not place.uploads.exists(TREE)
    place.send()
    assert place.uploads.store.read(f"uploads/{TREE}/a.txt") == b"x"


@pytest.mark.parametrize(
    "said", [b"", b"[]", b"{}", b'{"step": "other", "since": 1}', b'{"step": "going", "since": "x"}']
)
def test_a_mark_that_says_nothing_begins_anew(place: Place, said: bytes) -> None:
    place.uploads.store.replace(f"uploads/{TREE}.leaving", said)

    assert place.advance(100) is Step.UNNEEDED
    assert place.uploads.exists(TREE)


def test_what_is_no_tree_is_let_alone(place: Place) -> None:
    for name in ("note.txt", f"{TREE}x.complete", ".arriving-1"):
        place.uploads.store.create(f"uploads/{name}", b"")

    assert list(place.departures.trees()) == [TREE]

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import (
    AlreadyExists,
    Conflict,
    Corrupt,
    Mistake,
    PreconditionFailed,
    ResourceNotFound,
    StorageFailed,
)
from gristmill_storage.files import LocalStore, MemoryStore, Store
from gristmill_storage.workspace import Documents, Versioned, Workspace


@pytest.fixture
def memory() -> Documents:
    return Documents(MemoryStore(), "things")


class Interrupted:
    """A store that lets something happen once, right before or after a call of a kind."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        action = getattr(self.inner, name)
        if not callable(action):
            return action

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            self.before.pop(name, lambda: None)()
            result = action(*args, **kwargs)
            if name == "list":
                result = iter([*result])
            self.after.pop(name, lambda: None)()
            return result

        return call


def files(documents: Documents) -> list[str]:
    return [entry.path.removeprefix("documents/things/") for entry in documents.store.list()]


def test_a_document_is_made_changed_and_deleted_on_every_kind_of_store(store: Store) -> None:
    documents = Workspace(store).documents("batch-deployments", "mnist")

    assert documents.find("blue") is None
    assert documents.put("blue", {"a": 1}, expected=0) == Versioned(body={"a": 1}, version=1)
    assert documents.put("blue", {"a": 2}, expected=1) == Versioned(body={"a": 2}, version=2)
    assert documents.put("blue", {"a": 3}).version == 3
    assert documents.get("blue") == Versioned(body={"a": 3}, version=3)
    documents.put("green", {})
    assert documents.names() == ["blue", "green"]
    documents.delete("blue", expected=3)
    assert documents.find("blue") is None
    assert [*documents.all()] == [("green", Versioned(body={}, version=1))]


def test_versions_go_on_after_a_deletion(memory: Documents) -> None:
    memory.put("a", {"life": 1})
    memory.delete("a")

    assert memory.put("a", {"life": 2}, expected=0) == Versioned(body={"life": 2}, version=3)


def test_what_is_expected_is_held_against_what_is_there(memory: Documents) -> None:
    with pytest.raises(PreconditionFailed, match=r"^things/a: version 1 was expected, and there is none$"):
        memory.put("a", {}, expected=1)
    memory.put("a", {})
    with pytest.raises(Conflict, match=r"^things/a: is there already$"):
        memory.put("a", {}, expected=0)
    with pytest.raises(PreconditionFailed, match="version 2 was expected, and it is 1"):
        memory.put("a", {}, expected=2)
    with pytest.raises(PreconditionFailed, match="version 2 was expected, and it is 1"):
        memory.delete("a", expected=2)
    memory.delete("a", expected=1)
    with pytest.raises(PreconditionFailed, match="there is none"):
        memory.put("a", {}, expected=2)
    assert files(memory) == ["a/00000001.json", "a/00000002.json"]


def test_what_is_not_there_cannot_be_had_or_deleted(memory: Documents) -> None:
    for act in (memory.get, memory.delete):
        with pytest.raises(ResourceNotFound, match=r"^things/a: there is none$"):
            act("a")
    memory.put("a", {})
    memory.delete("a")
    for act in (memory.get, memory.delete):
        with pytest.raises(ResourceNotFound, match=r"^things/a: there is none$"):
            act("a")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "_a", "a b", "a\n", "ä", "a" * 256, "a\0"])
def test_names_that_could_be_something_else_are_refused(memory: Documents, name: str) -> None:
    for act in (memory.find, memory.get, memory.delete, lambda name: memory.put(name, {})):
        with pytest.raises(Mistake, match="name "):
            act(name)
    with pytest.raises(Mistake, match="name "):
        Workspace(memory.store).documents("things", name)
    with pytest.raises(Mistake, match="name "):
        Workspace(memory.store).collections(name)


def test_the_longest_name_is_a_name(tmp_path: Path) -> None:
    documents = Documents(LocalStore(tmp_path), "things")
    documents.put("a" * 255, {})

    assert documents.names() == ["a" * 255]


def test_two_versions_are_kept(memory: Documents) -> None:
    for number in range(1, 6):
        memory.put("a", {"n": number})

    assert files(memory) == ["a/00000004.json", "a/00000005.json"]


def test_a_put_costs_five_requests_and_a_get_two() -> None:
    store = Interrupted(MemoryStore())
    documents = Documents(store, "things")
    for _ in range(3):
        documents.put("a", {})
    store.calls.clear()
    documents.put("a", {})
    assert store.calls == ["list", "read", "create", "list", "delete"]
    store.calls.clear()
    documents.get("a")
    assert store.calls == ["list", "read"]


def test_what_is_left_behind_since_it_could_not_be_removed_does_no_harm() -> None:
    store = Interrupted(MemoryStore())
    documents = Documents(store, "things")

    def fail() -> None:
        raise StorageFailed("no")

    for number in range(4):
        store.before["delete"] = fail
        documents.put("a", {"n": number})
    assert documents.get("a").body == {"n": 3}
    store.before.clear()
    documents.put("a", {"n": 4})
    assert files(documents) == ["a/00000004.json", "a/00000005.json"]


def test_a_reader_whose_version_is_removed_meanwhile_looks_again() -> None:
    store = Interrupted(MemoryStore())
    documents, others = Documents(store, "things"), Documents(store.inner, "things")
    others.put("a", {"n": 1})

    def overtake() -> None:
        for number in (2, 3, 4):
            others.put("a", {"n": number})

    store.after["list"] = overtake
    assert documents.get("a") == Versioned(body={"n": 4}, version=4)
    store.after["list"] = overtake
    assert [*documents.all()] == [("a", Versioned(body={"n": 4}, version=7))]


def test_a_folder_that_looks_empty_since_all_in_it_was_replaced_is_looked_at_again() -> None:
    inner = MemoryStore()
    Documents(inner, "things").put("a", {"n": 1})

    class Blinks(Interrupted):
        def list(self, *args: Any, **kwargs: Any) -> Any:
            self.calls.append("list")
            return iter([]) if len(self.calls) == 1 else inner.list(*args, **kwargs)

    assert Documents(Blinks(inner), "things").get("a").body == {"n": 1}


def test_a_writer_whose_file_was_missed_by_one_look_looks_again() -> None:
    inner = MemoryStore()

    class Blinks(Interrupted):
        def list(self, *args: Any, **kwargs: Any) -> Any:
            self.calls.append("list")
            return iter([]) if self.calls[-2:] == ["create", "list"] else inner.list(*args, **kwargs)

        def create(self, path: str, data: bytes) -> None:
            inner.create(path, data)
            self.calls.append("create")

    documents = Documents(Blinks(inner), "things")
    assert [documents.put("a", {"n": n}).version for n in range(3)] == [1, 2, 3]
    assert documents.get("a") == Versioned(body={"n": 2}, version=3)


def test_a_writer_that_lost_the_race_writes_the_next_version() -> None:
    store = Interrupted(MemoryStore())
    documents, others = Documents(store, "things"), Documents(store.inner, "things")
    documents.put("a", {"n": 1})
    store.before["create"] = lambda: others.put("a", {"n": 2}) and None

    assert documents.put("a", {"n": 3}) == Versioned(body={"n": 3}, version=3)
    store.before["create"] = lambda: others.put("a", {"n": 4}) and None
    with pytest.raises(PreconditionFailed, match="version 3 was expected, and it is 4"):
        documents.put("a", {"n": 5}, expected=3)
    store.before["create"] = lambda: others.put("b", {}) and None
    with pytest.raises(Conflict):
        documents.put("b", {}, expected=0)


@pytest.mark.parametrize("meanwhile", [2, 3, 10, 63, 64])
def test_a_writer_that_slept_until_its_number_was_free_again_has_written_nothing(meanwhile: int) -> None:
    store = Interrupted(MemoryStore())
    documents, others = Documents(store, "things"), Documents(store.inner, "things")
    documents.put("a", {"by": "us"})

    def overtake() -> None:
        for _ in range(meanwhile):
            others.put("a", {"by": "them"})

    store.before["create"] = overtake
    with pytest.raises(PreconditionFailed):
        documents.put("a", {"by": "the late one"}, expected=1)
    assert others.get("a") == Versioned(body={"by": "them"}, version=1 + meanwhile)
    assert len(files(others)) == 2

    store.before["create"] = overtake
    assert documents.put("a", {"by": "the late one"}).version == 2 + 2 * meanwhile


@pytest.mark.parametrize("meanwhile", [1, 2, 3, 10, 64])
def test_a_writer_that_sleeps_after_it_has_won_still_knows_that_it_did(meanwhile: int) -> None:
    store = Interrupted(MemoryStore())
    documents, others = Documents(store, "things"), Documents(store.inner, "things")
    documents.put("a", {})

    def follow() -> None:
        for _ in range(meanwhile):
            others.put("a", {"by": "them"})

    store.after["create"] = follow
    assert documents.put("a", {"by": "us"}, expected=1).version == 2
    assert others.get("a").version == 2 + meanwhile


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_writer_that_slept_through_more_than_versions_tell_says_that_it_cannot_know(moment: str) -> None:
    store = Interrupted(MemoryStore())
    documents, others = Documents(store, "things"), Documents(store.inner, "things")
    documents.put("a", {})

    def follow() -> None:
        for _ in range(80):
            others.put("a", {"by": "them"})

    getattr(store, moment)["create"] = follow
    with pytest.raises(StorageFailed, match="nobody can say whether it was among them; look at it again"):
        documents.put("a", {"by": "us"})
    assert others.get("a").body == {"by": "them"}


def test_a_retry_after_a_lost_answer_is_no_race_lost() -> None:
    store = Interrupted(MemoryStore())
    documents = Documents(store, "things")

    class Loses(Interrupted):
        def create(self, path: str, data: bytes) -> None:
            self.inner.create(path, data)
            raise AlreadyExists(path)

    assert Documents(Loses(store.inner), "things").put("a", {"n": 1}).version == 1
    assert documents.get("a") == Versioned(body={"n": 1}, version=1)


def test_the_same_body_of_two_writers_is_two_different_files(memory: Documents) -> None:
    memory.put("a", {"n": 1})
    memory.put("b", {"n": 1})

    assert memory.store.read("documents/things/a/00000001.json") != memory.store.read(
        "documents/things/b/00000001.json"
    )


@pytest.mark.parametrize(
    "torn", [b"", b"{", b"[]", b"nonsense\0", b'{"id": "x"}', b'{"body": []}', b'{"body": {}, "after": 3}', b'"a"']
)
def test_a_torn_version_is_named_and_can_be_written_over(memory: Documents, torn: bytes) -> None:
    memory.put("a", {"n": 1})
    memory.store.create("documents/things/a/00000002.json", torn)

    for act in (memory.get, memory.find, lambda _: memory.names()):
        with pytest.raises(Corrupt, match=r"memory://.*documents/things/a/00000002\.json: is no"):
            act("a")
    with pytest.raises(Corrupt, match=r"00000002\.json"):
        memory.put("a", {}, expected=0)
    assert memory.put("a", {"n": 3}) == Versioned(body={"n": 3}, version=3)
    assert files(memory) == ["a/00000002.json", "a/00000003.json"]
    memory.store.create("documents/things/a/00000004.json", torn)
    memory.delete("a")
    assert memory.find("a") is None


def test_a_version_written_by_hand_is_read(memory: Documents) -> None:
    memory.store.create("documents/things/a/00000007.json", b'{"body": {"n": 7}}')
    memory.store.create("documents/things/b/00000001.json", b'{"deleted": true}')
    memory.store.create("documents/things/c/notes.txt", b"mine")

    assert [*memory.all()] == [("a", Versioned(body={"n": 7}, version=7))]
    assert memory.put("a", {"n": 8}, expected=7).version == 8


def test_what_json_cannot_hold_is_refused(memory: Documents) -> None:
    for value in (float("nan"), object(), {1, 2}):
        with pytest.raises(Mistake, match=r"^things/a: holds what JSON cannot: "):
            memory.put("a", {"value": value})
    assert files(memory) == []


def test_what_put_returns_is_not_the_callers_own(memory: Documents) -> None:
    body: dict[str, Any] = {"list": [1]}
    put = memory.put("a", body)
    body["list"].append(2)

    assert put.body == {"list": [1]}


def test_text_of_any_kind_comes_back(memory: Documents) -> None:
    body = {"ä": "\ud800 \U0001f600 \0 \n", "n": 10**30, "f": 0.1, "none": None}

    assert memory.put("a", body).body == body
    assert memory.get("a").body == body


def test_collections_are_found_below_one_another(memory: Documents) -> None:
    workspace = Workspace(memory.store)
    for name in ("iris", "titanic", "t"):
        workspace.documents("data", name).put("1", {})
    workspace.documents("datastores").put("main", {})
    workspace.documents("data", "gone").put("1", {})
    workspace.documents("data", "gone").delete("1")

    assert workspace.collections("data") == ["gone", "iris", "t", "titanic"]
    assert workspace.collections("datastores") == []
    assert workspace.collections() == ["data", "datastores"]
    assert workspace.documents("data").names() == []
    assert workspace.documents("data", "titanic").names() == ["1"]


def test_names_are_sorted_as_names_not_as_paths(memory: Documents) -> None:
    for name in ("a-b", "a", "a.b", "a0", "B"):
        memory.put(name, {})

    assert memory.names() == ["B", "a", "a-b", "a.b", "a0"]
    assert [name for name, _ in memory.all()] == memory.names()


def test_twenty_writers_who_count_together_lose_no_count(tmp_path: Path) -> None:
    documents = Documents(LocalStore(tmp_path), "things")
    documents.put("counter", {"n": 0, "by": []})
    begin = threading.Barrier(20)

    def count(writer: int) -> None:
        begin.wait(10)
        done = 0
        while done < 3:
            now = documents.get("counter")
            body = {"n": now.body["n"] + 1, "by": [*now.body["by"], [writer, done]]}
            try:
                documents.put("counter", body, expected=now.version)
            except PreconditionFailed:
                continue
            done += 1

    with ThreadPoolExecutor(20) as pool:
        [*pool.map(count, range(20))]
    last = documents.get("counter")
    assert last.version == 61
    assert last.body["n"] == 60
    assert sorted(last.body["by"]) == [[writer, done] for writer in range(20) for done in range(3)]


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_twenty_writers_who_ask_for_nothing_each_get_a_version_of_their_own(kind: str, tmp_path: Path) -> None:
    documents = Documents(LocalStore(tmp_path) if kind == "local" else MemoryStore(), "things")
    begin = threading.Barrier(20)

    def write(writer: int) -> list[int]:
        begin.wait(10)
        return [documents.put("a", {"by": writer}).version for _ in range(3)]

    with ThreadPoolExecutor(20) as pool:
        versions = [*pool.map(write, range(20))]
    assert sorted(itertools.chain(*versions)) == [*range(1, 61)]
    assert all(mine == sorted(mine) for mine in versions)
    # A put that lost its last race to the remover of others may leave one behind; the next change takes it away.
    documents.put("a", {})
    documents.put("a", {})
    assert [Path(file).name for file in files(documents)] == ["00000061.json", "00000062.json"]


def test_one_of_twenty_creates(tmp_path: Path) -> None:
    documents = Documents(LocalStore(tmp_path), "things")
    begin = threading.Barrier(20)

    def create(writer: int) -> int | None:
        begin.wait(10)
        try:
            documents.put("a", {"by": writer}, expected=0)
        except Conflict:
            return None
        return writer

    with ThreadPoolExecutor(20) as pool:
        winners = [winner for winner in pool.map(create, range(20)) if winner is not None]
    assert documents.get("a") == Versioned(body={"by": winners[0]}, version=1)
    assert len(winners) == 1


@pytest.mark.parametrize("seed", range(20))
def test_documents_are_a_dict_with_versions(seed: int) -> None:
    """A random history, held against a plain dict; others change documents at every moment of every call."""
    rng = random.Random(seed)
    store = Interrupted(MemoryStore())
    ours, others = Documents(store, "things"), Documents(store.inner, "things")
    model: dict[str, tuple[int, dict[str, Any] | None]] = {}

    def meddle(name: str, times: int) -> Callable[[], None]:
        def action() -> None:
            for _ in range(times):
                version = model.get(name, (0, None))[0] + 1
                model[name] = (version, {"other": version})
                assert others.put(name, {"other": version}).version == version

        return action

    for step in range(60):
        name = rng.choice("abc")
        if rng.random() < 0.4:
            moment, at = rng.choice([(store.before, "read"), (store.after, "read"), (store.before, "create")])
            moment[at] = meddle(name, rng.choice([1, 2, 5]))
        before = model.get(name, (0, None))
        expected = rng.choice([None, 0, before[0], before[0] + 1])
        deleting = rng.random() < 0.3
        outcome = _outcome(ours, name, None if deleting else {"step": step}, expected)
        after = model.get(name, (0, None))
        if isinstance(outcome, type):
            assert outcome in {_refused(state, expected, deleting=deleting) for state in (before, after)}
        else:
            assert _refused(after, expected, deleting=deleting) is None
            model[name] = (after[0] + 1, None if deleting else {"step": step})
            assert outcome in (None, after[0] + 1)
        store.before.clear()
        store.after.clear()
        live = {name: Versioned(body=body, version=n) for name, (n, body) in model.items() if body is not None}
        assert dict(ours.all()) == live
        assert ours.names() == sorted(live)


def _outcome(documents: Documents, name: str, body: dict[str, Any] | None, expected: int | None) -> Any:
    try:
        if body is None:
            return documents.delete(name, expected=expected)
        return documents.put(name, body, expected=expected).version
    except (Conflict, PreconditionFailed, ResourceNotFound) as error:
        return type(error)


def _refused(state: tuple[int, Any], expected: int | None, *, deleting: bool) -> type[Exception] | None:
    version, lives = state[0], state[1] is not None
    if expected is None:
        return ResourceNotFound if deleting and not lives else None
    if expected == 0 and not deleting:
        return Conflict if lives else None
    return None if lives and version == expected else PreconditionFailed


def test_a_version_s_file_is_small_and_plain(memory: Documents) -> None:
    for number in range(80):
        memory.put("a", {"n": number})
    document = json.loads(memory.store.read("documents/things/a/00000080.json"))

    assert sorted(document) == ["after", "body", "id"]
    assert document["body"] == {"n": 79}
    assert len(document["after"]) == 64
    memory.delete("a")
    assert json.loads(memory.store.read("documents/things/a/00000081.json"))["deleted"] is True

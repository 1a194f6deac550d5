"""Two planners of one job, as when a scheduler slept and another took over: neither contradicts what is planned.

A listing is a list of names here, and need not be the same for both: files come and go.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gristmill.spec import Deployment, Input, Job, Output, Settings
from gristmill_scheduler import plan as plan_module
from gristmill_scheduler.plan import Planner
from gristmill_scheduler.rebuild import rebuild
from gristmill_storage import manifest as manifest_module
from gristmill_storage.ledger import MemoryLedger
from gristmill_storage.listing import Item
from gristmill_storage.manifest import ManifestReader, ManifestWriter, cut
from gristmill_storage.memory_store import MemoryStore

NAMES = [f"{number:03d}" for number in range(20)]
JOB = Job(
    name="j",
    deployment=Deployment(settings=Settings(mini_batch_size=1)),
    input=Input(uri="in"),
    output=Output(folder="out"),
)


class Folder(MemoryStore):
    """A store that does something of its own before one of the operations, as if that had taken long."""

    def __init__(self, pause: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.pause = pause

    def create(self, path: str, data: bytes) -> None:
        self.pause()
        super().create(path, data)
        self.pause()

    def read(self, path: str) -> bytes:
        self.pause()
        return super().read(path)

    def list(self, prefix: str = "", **options: Any) -> Iterator[Any]:
        self.pause()
        return iter(list(super().list(prefix, **options)))


class Ledger(MemoryLedger):
    """A ledger that does so before it is told of a chunk."""

    pause: Callable[[], None] = staticmethod(lambda: None)

    def extend(self, job: str, **options: Any) -> None:
        self.pause()
        super().extend(job, **options)


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.open("j", epoch="1", lease_seconds=9, error_threshold=-1)
    return ledger


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What each planner lists, by the name of its thread; chunks are small, and closed by their number only."""
    found: dict[str, list[str]] = {}

    def listing(*_: Any, **__: Any) -> Iterator[Item]:
        return iter([Item(name, 1) for name in found.get(threading.current_thread().name, NAMES)])

    monkeypatch.setattr(plan_module, "list_input", listing)
    monkeypatch.setattr(manifest_module, "FIRST_CHUNK", 2)
    monkeypatch.setattr(manifest_module, "LARGEST_CHUNK", 4)
    monkeypatch.setattr(manifest_module, "FIRST_SECONDS", 1e9)
    monkeypatch.setattr(manifest_module, "MOST_SECONDS", 1e9)
    return found


def planned(folder: MemoryStore) -> list[str]:
    return [item for mini_batch in ManifestReader(folder).mini_batches() for item in mini_batch.items]


def check(folder: MemoryStore, ledger: MemoryLedger, *lists: list[str]) -> None:
    """Insist on one plan, whole and in order, of items that somebody listed, of which the ledger knows it all."""
    totals = ManifestReader(folder).verify()
    assert ManifestReader(folder).totals() == totals
    items = planned(folder)
    assert items == sorted(set(items))
    assert set.intersection(*map(set, lists)) <= set(items) <= set().union(*lists)
    snapshot = ledger.snapshot("j")
    assert (snapshot.planned, snapshot.items_planned, snapshot.plan_closed) == (len(items), len(items), True)
    assert ledger._jobs["j"].chunks == ManifestReader(folder).spans()
    again = MemoryLedger()
    rebuild(JOB, folder, again, lease_seconds=9)
    assert again.snapshot("j").planned == len(items)
    assert again.snapshot("j").plan_closed


def test_a_plan_that_another_planner_cut_elsewhere_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    folder = MemoryStore()
    others: list[None] = []

    def listing(*_: Any, **__: Any) -> Iterator[Item]:
        for name in NAMES:
            if name == "003" and not others:
                others.append(None)
                writer = ManifestWriter(folder)
                for mini_batch in cut([Item(name, 1) for name in NAMES[:2]], size=1, max_bytes=None, first=0):
                    writer.add(mini_batch)
                writer.flush()
            yield Item(name, 1)

    monkeypatch.setattr(plan_module, "list_input", listing)
    planner = Planner(JOB, folder, ledger)
    planner.start()
    planner._thread.join(10)
    planner.check()

    assert ManifestReader(folder).spans()[0] == (0, 1)
    check(folder, ledger, NAMES)


OTHERS = {
    "the same": NAMES,
    "one more at the end": [*NAMES, "999"],
    "one more in the middle": sorted([*NAMES, "004b"]),
    "one more at the beginning": ["000a", *NAMES[1:]],
    "many more": sorted([*NAMES, *(f"{name}b" for name in NAMES)]),
    "one less": NAMES[:-1],
    "nothing any more": [],
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_one_that_slept_at_any_moment_does_not_contradict_who_planned_meanwhile(
    listings: dict[str, list[str]], other: list[str]
) -> None:
    """At each operation of the first planner in turn, the second one plans everything."""
    moments = 0
    while _sleep_at(moments, listings, other):
        moments += 1
    assert moments > 20


def _sleep_at(moment: int, listings: dict[str, list[str]], other: list[str]) -> bool:
    """Let the first planner sleep before its operation of this number; return whether it came to that."""
    folder, ledger, count = Folder(), Ledger(), iter(range(10_000))
    ledger.open("j", epoch="1", lease_seconds=9, error_threshold=-1)
    slept: list[None] = []
    listings["second"] = other

    def pause() -> None:
        if threading.current_thread().name != "second" and not slept and next(count) == moment:
            slept.append(None)
            second = threading.Thread(target=Planner(JOB, folder, ledger)._plan, name="second")
            second.start()
            second.join(10)

    folder.pause = ledger.pause = pause
    Planner(JOB, folder, ledger)._plan()
    check(folder, ledger, NAMES, other)
    return bool(slept)


@pytest.mark.parametrize("seed", range(60))
def test_planners_that_take_turns_at_random_make_one_plan(
    ledger: Ledger, listings: dict[str, list[str]], seed: int
) -> None:
    """Three at once, each with a listing of its own, and a turn changes hands at any operation."""
    chance = random.Random(seed)
    lists = [chance.choice(list(OTHERS.values())) for _ in range(3)]
    turn = Turns(chance)
    folder = Folder(turn.maybe_change)
    ledger.pause = turn.maybe_change
    faults: list[BaseException] = []

    def plan() -> None:
        try:
            with turn:
                Planner(JOB, folder, ledger)._plan()
        except BaseException as error:  # noqa: BLE001 - told below
            faults.append(error)

    threads = [threading.Thread(target=plan, name=f"planner {number}") for number in range(len(lists))]
    listings.update({thread.name: names for thread, names in zip(threads, lists, strict=True)})
    turn.begin(threads)
    for thread in threads:
        thread.join(30)
    assert faults == []
    turn.over()
    check(folder, ledger, *lists)


class Turns:
    """Lets one thread go on at a time, the same ones for the same seed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._changed = threading.Condition()
        self._names: list[str] = []
        self._turn = ""

    def begin(self, threads: list[threading.Thread]) -> None:
        self._names = [thread.name for thread in threads]
        self._turn = self._names[0]
        for thread in threads:
            thread.start()

    def over(self) -> None:
        assert self._names == []

    def maybe_change(self) -> None:
        if threading.current_thread().name not in self._names:
            return
        with self._changed:
            if self._chance.random() < 0.3:
                self._turn = self._chance.choice(self._names)
                self._changed.notify_all()
            self._wait()

    def __enter__(self) -> None:
        with self._changed:
            self._wait()

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._names.remove(threading.current_thread().name)
            if self._names:
                self._turn = self._chance.choice(self._names)
            self._changed.notify_all()

    def _wait(self) -> None:
        assert self._changed.wait_for(lambda: self._turn == threading.current_thread().name, 30)

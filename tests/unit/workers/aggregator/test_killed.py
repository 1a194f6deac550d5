"""An aggregator that is killed before or after any change that it makes to storage is mended by running it again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from gristmill.spec import Deployment, Input, Job, Output, OutputAction, Settings, to_json
from gristmill_storage import job_folder
from gristmill_storage.files import MemoryStore, open_store
from gristmill_storage.ledger import Entry
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.manifest import ManifestReader, ManifestWriter, MiniBatch
from gristmill_storage.memory_store import _MemoryWriter
from gristmill_storage.output_index import IndexReader
from gristmill_storage.parts import Block, PartWriter, Piece, part_name
from gristmill_storage.retry_plan import RunWriter, runs_of
from gristmill_workers.aggregator import aggregate
from gristmill_workers.aggregator.verify import verify


class Killed(BaseException):
    """What ends a process without asking it."""


#: What changes storage.
CHANGES = [
    (MemoryStore, "create"),
    (MemoryStore, "replace"),
    (MemoryStore, "move"),
    (MemoryStore, "delete"),
    (MemoryStore, "delete_tree"),
    (_MemoryWriter, "_publish"),
    (MemoryLedger, "close"),
]

#: What looks at storage.
LOOKS = [(MemoryStore, name) for name in ("open", "read", "exists", "size", "list")]


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[None]:
    """Raise in place of the change `step` // 2, or right after it."""
    steps = itertools.count()

    def dying(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if next(steps) == step:
                raise Killed
            result = change(*arguments, **options)
            if next(steps) == step:
                raise Killed
            return result

        return run

    with monkeypatch.context() as patch:
        for owner, name in CHANGES:
            patch.setattr(owner, name, dying(getattr(owner, name)))
        yield


@contextmanager
def joined_at(monkeypatch: pytest.MonkeyPatch, step: int, other: Callable[[], Any]) -> Iterator[list[bool]]:
    """Let another do all of its work just before a step; the list holds something once it did."""
    steps, joined = itertools.count(), []

    def joining(take: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if not joined and next(steps) == step:
                joined.append(True)
                other()
            return take(*arguments, **options)

        return run

    with monkeypatch.context() as patch:
        for owner, name in [*CHANGES, *LOOKS]:
            patch.setattr(owner, name, joining(getattr(owner, name)))
        yield joined


class World:
    """A job in memory: mini-batches of two items each, given as the rows of each item (None: it failed)."""

    def __init__(self, job: Job, outcomes: list[list[bytes | None]]) -> None:
        self.job = job
        self.output = open_store(job.output.folder)
        self.folder = open_store(job_folder.url(job.output.folder, job.name))
        self.ledger = MemoryLedger()
        self.outcomes = outcomes
        self.folder.replace(job_folder.SPEC, json.dumps(to_json(job)).encode())
        if ManifestReader(self.folder).totals() is None:
            writer = ManifestWriter(self.folder, clock=lambda: 0.0)
            for number, outcome in enumerate(outcomes):
                writer.add(MiniBatch(number, tuple(f"{number}-{n}" for n in range(len(outcome))), 0))
            writer.close()
        self.open()

    def open(self) -> None:
        self.ledger.forget(self.job.name)
        self.ledger.open(self.job.name, epoch="1", lease_seconds=30, error_threshold=-1)
        totals = ManifestReader(self.folder).totals()
        assert totals
        self.ledger.extend(self.job.name, first=0, count=totals.mini_batches, items=totals.items, size=0, closed=True)

    def score(self, numbers: list[int], serial: int, files: tuple[str, ...] = ()) -> None:
        writer = PartWriter(self.folder, name := part_name("1", min(numbers), "n", serial))
        entries = []
        for number in numbers:
            block, data = self.block(number, files)
            writer.add(block, data)
            entries.append(Entry.of(block))
            for file in block.files:
                self.folder.replace(f"{job_folder.files_folder(name, number)}/{file}", f"{file} {number}\n".encode())
        if not self.folder.exists(job_folder.part_path(name)):
            writer.seal()
        self.ledger.adopt(self.job.name, part=name, entries=entries)

    def block(self, number: int, files: tuple[str, ...]) -> tuple[Block, bytes]:
        outcome = self.outcomes[number]
        pieces = tuple(
            Piece(items=1, succeeded=row is not None, rows=row is not None, size=len(row or b"")) for row in outcome
        )
        items = next(one.items for one in ManifestReader(self.folder).mini_batches() if one.number == number)
        errors = tuple(
            {"file": item, "mini_batch": number, "attempts": 1, "category": "crash", "message": "", "traceback": ""}
            for item, row in zip(items, outcome, strict=True)
            if row is None
        )
        good = sum(piece.succeeded for piece in pieces)
        block = Block(
            mini_batch=number, attempt=1, items=len(outcome), succeeded=good, failed=len(outcome) - good, rows=good,
            seconds=0.0, encoding="text", size=sum(piece.size for piece in pieces), errors=errors, pieces=pieces,
            files=tuple(name.format(number) for name in files) if good else (),
        )  # fmt: skip
        return block, b"".join(row or b"" for row in outcome)

    def aggregate(self, **options: Any) -> dict[str, Any]:
        aggregate(self.job, self.folder, self.ledger, **{"publish": True, **options})
        return json.loads(self.folder.read(job_folder.RESULT))

    def seen(self) -> dict[str, bytes]:
        """What a user sees, without the times in the summary."""
        found = {e.path: self.output.read(e.path) for e in self.output.list() if not e.path.startswith(".gristmill")}
        summary = json.loads(found.pop("summary.json"))
        for key in ("seconds", "throughput"):
            del summary[key]
        return {**found, "summary": json.dumps(summary).encode()}


def job(settings: Settings) -> Job:
    return Job(
        name="j",
        deployment=Deployment(settings=settings),
        input=Input(uri="/in"),
        output=Output(folder=f"memory://{uuid4()}/out"),
    )


FIRST: list[list[bytes | None]] = [[b"a1\n", None], [b"b1\n", b"b2\n"], [None, None]]
AGAIN: list[list[bytes | None]] = [[b"a2\n"], [None, b"c2\n"]]
FILES = ("all.txt", "{}.bin")


def scored(settings: Settings) -> World:
    world = World(job(settings), FIRST)
    world.score([0, 2], 0, FILES)
    world.score([1], 1, FILES)
    return world


def partly(settings: Settings) -> World:
    """A job that was cancelled, of which a part was kept, and that went on."""
    world = World(job(settings), FIRST)
    world.score([0], 0, FILES)
    world.ledger.stop("j", state="canceled", error=None)
    assert world.aggregate(publish=False, partial=True)["status"] == "Canceled"
    world.folder.delete(job_folder.RESULT)
    world.open()
    world.score([0], 0, FILES)
    world.score([1, 2], 1, FILES)
    return world


def retried(settings: Settings) -> World:
    world = scored(settings)
    assert world.aggregate()["error"] is None
    place = open_store(job_folder.url(world.job.output.folder, "r"))
    manifest, runs = ManifestWriter(place, clock=lambda: 0.0), RunWriter(place)
    planned = list(ManifestReader(world.folder).mini_batches())
    for record in IndexReader(world.folder).records():
        for run in runs_of(record):
            manifest.add(MiniBatch(manifest.next, planned[run.mini_batch].items[run.first : run.end], 0))
            runs.add(run)
    runs.publish()
    manifest.close()
    again = World(replace(world.job, name="r", retry_of="j"), AGAIN)
    again.score([0, 1], 0, ("all.txt", "new{}.bin"))
    return again


ROWS = Settings()
NO_ROWS = Settings(output_action=OutputAction.SUMMARY_ONLY)


@pytest.mark.parametrize("settings", [ROWS, NO_ROWS], ids=["rows", "files"])
@pytest.mark.parametrize("begin", [scored, partly, retried])
def test_any_kill_is_mended_by_running_again(monkeypatch, begin, settings) -> None:
    undisturbed = begin(settings)
    result = undisturbed.aggregate()
    assert result["error"] is None
    expected = undisturbed.seen()
    for step in itertools.count():
        world = begin(settings)
        died = False
        with killed_at(monkeypatch, step):
            try:
                world.aggregate()
            except Killed:
                died = True
        if not died:
            break

        again = world.aggregate()

        assert again["error"] is None, f"step {step}: {again['error']}"
        found = world.seen()
        places = world.job.output.folder.encode(), undisturbed.job.output.folder.encode()
        found["summary"] = found["summary"].replace(*places)
        assert found == expected, f"step {step}"
        assert verify(world.folder.url)["faults"] == [], f"step {step}"
        assert not list(world.folder.list(job_folder.PARTS))
    assert step > 20


@pytest.mark.parametrize("settings", [ROWS, NO_ROWS], ids=["rows", "files"])
def test_a_kill_while_a_part_is_kept_is_mended_by_going_on_to_the_end(monkeypatch, settings) -> None:
    for step in itertools.count():
        world = World(job(settings), FIRST)
        world.score([0], 0, FILES)
        world.ledger.stop("j", state="canceled", error=None)
        died = False
        with killed_at(monkeypatch, step):
            try:
                world.aggregate(publish=False, partial=True)
            except Killed:
                died = True
        world.folder.delete(job_folder.RESULT)
        world.open()
        world.score([0], 0, FILES)
        world.score([1, 2], 1, FILES)

        result = world.aggregate()

        assert result["error"] is None, f"step {step}: {result['error']}"
        assert verify(world.folder.url)["faults"] == [], f"step {step}"
        if not died:
            break
    assert step > 10


@pytest.mark.parametrize("settings", [ROWS, NO_ROWS], ids=["rows", "files"])
@pytest.mark.parametrize("begin", [scored, partly, retried])
def test_two_at_once_come_to_one_end(monkeypatch, begin, settings) -> None:
    """A second aggregator does all of its work just before one of the first one's steps."""
    for step in itertools.count():
        world = begin(settings)
        with joined_at(monkeypatch, step, world.aggregate) as joined:
            result = world.aggregate()

        assert result["error"] is None, f"step {step}: {result['error']}"
        assert verify(world.folder.url)["faults"] == [], f"step {step}"
        if not joined:
            break
    assert step > 10

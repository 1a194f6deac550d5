"""The aggregator may be killed before and after each of its steps, and run twice at once: one output, complete.

A step is any call of a store or of the ledger. The kill is an exception that nothing of Gristmill may catch, after
which no further step is carried out; hidden files stay as a killed process leaves them.
"""

from __future__ import annotations

import errno
import importlib
import io
import json
import random
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from faulty_store import Faults, FaultyStore, Killed
from quick import quick_folder

from gristmill.spec import Deployment, Input, Job, Output, OutputAction, RowFormat, Settings
from gristmill_storage import job_folder
from gristmill_storage.files import is_local, open_store
from gristmill_storage.ledger import Entry
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.parts import Block, PartReader, PartWriter, list_parts, part_name
from gristmill_workers.aggregator import aggregate

aggregate_module = importlib.import_module("gristmill_workers.aggregator.aggregate")

#: What a summary holds that another run may give otherwise.
VOLATILE = ("seconds", "throughput")


class FaultyLedger:
    """A ledger whose calls are steps, too."""

    def __init__(self, inner: MemoryLedger, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return lambda *given, **named: self._faults.around(f"ledger.{name}", "", lambda: method(*given, **named))


@dataclass
class Scene:
    """A job that is to be ended."""

    settings: dict[str, Any]
    #: Rows of each mini-batch, in parts; None: all items failed.
    parts: list[dict[int, bytes | None]]
    facts: dict[str, Any] = field(default_factory=dict)
    #: Files that scripts wrote, by mini-batch.
    files: dict[int, tuple[str, ...]] = field(default_factory=dict)
    overwrite: bool = False
    state: str = "scored"
    arguments: dict[str, Any] = field(default_factory=lambda: {"publish": True})


def arrow(**columns: list[Any]) -> bytes:
    table, sink = pa.table(columns), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


TEXT: list[dict[int, bytes | None]] = [{1: b"c\nd\n", 3: None}, {0: b"a\nb\n", 2: b"e\nf\n"}]

SCENES: dict[str, Scene] = {
    "text": Scene({}, TEXT),
    "text, over another": Scene({}, TEXT, overwrite=True),
    "csv with header": Scene(
        {"output_format": RowFormat.CSV, "header": True},
        [{0: b"1 2\n3 4\n", 1: b"5 6\n7 8\n"}],
        facts={"encoding": "csv", "columns": ("a", "b")},
    ),
    "json lines": Scene(
        {"output_format": RowFormat.JSONL, "output_file_name": "rows.jsonl"},
        [{1: b'{"a":1}\n{"a":2}\n'}, {0: b'{"a":3}\n{"a":4}\n'}],
        facts={"encoding": "jsonl", "columns": ("a",)},
    ),
    "parquet": Scene(
        {"output_format": RowFormat.PARQUET, "output_file_name": "rows.parquet"},
        [{1: arrow(a=[1, 2])}, {0: arrow(a=[0.5, 1.5])}],
        facts={"encoding": "arrow", "columns": ("a",)},
    ),
    "written files": Scene(
        {"output_action": OutputAction.SUMMARY_ONLY},
        [{0: b"", 1: b""}, {2: b"", 3: None}],
        facts={"encoding": "none"},
        files={0: ("one.bin", "deep/lines.txt"), 1: ("deep/two.bin",), 2: ("deep/lines.txt",)},
    ),
    "rows and written files, over others": Scene(
        {}, TEXT, files={0: ("lines.txt",), 1: ("deep/two.bin",), 2: ("lines.txt",)}, overwrite=True
    ),
    "nothing succeeded": Scene({}, [{0: None, 1: None}]),
    "stopped": Scene({}, TEXT, state="stopped", arguments={"publish": False}),
    "cancelled, what is finished is kept": Scene(
        {}, [{0: b"a\nb\n", 1: None}], state="canceled", arguments={"publish": False, "partial": True}
    ),
}


class Stage:
    """A scene in a place of its own."""

    def __init__(self, scene: Scene, url: str) -> None:
        self.scene = scene
        self.output = open_store(url)
        self.job = Job(
            name="j",
            deployment=Deployment(name="d", settings=Settings(**scene.settings)),
            input=Input(uri="/in"),
            output=Output(folder=url, overwrite=scene.overwrite),
            submitted=1.0,
        )
        self.folder = open_store(job_folder.url(url, "j"))
        self.ledger = MemoryLedger()
        self.ledger.open("j", epoch="0000000000001", lease_seconds=30, error_threshold=-1)
        numbers = sorted(number for part in scene.parts for number in part)
        self.ledger.extend("j", first=0, count=len(numbers), items=2 * len(numbers), size=0, closed=False)
        for serial, part in enumerate(scene.parts):
            self._part(serial, part)
        if scene.overwrite:
            for name in ("predictions.csv", "errors.jsonl", "lines.txt"):
                self.output.create(name, b"of another job")
        if scene.state == "scored":
            self.ledger.extend("j", first=len(numbers), count=0, items=0, size=0, closed=True)
        else:
            error = {"class": "ThresholdExceeded", "message": "too many", "detail": ""}
            self.ledger.stop("j", state=scene.state, error=error if scene.state == "stopped" else None)

    def _part(self, serial: int, rows: dict[int, bytes | None]) -> None:
        name = part_name("0000000000001", min(rows), "node", serial)
        writer, entries = PartWriter(self.folder, name), []
        for number, data in rows.items():
            block = self._block(number, data)
            writer.add(block, data or b"")
            entries.append(Entry.of(block))
            for file in block.files:
                self.folder.create(f"{job_folder.files_folder(name, number)}/{file}", f"{number}\n".encode())
        writer.seal()
        self.ledger.adopt("j", part=name, entries=entries)

    def _block(self, number: int, data: bytes | None) -> Block:
        failed = 2 if data is None else 0
        errors = tuple(
            {"file": f"{number}-{n}", "mini_batch": number, "attempts": 3, "category": "crash", "message": "m"}
            for n in range(failed)
        )
        facts = {"encoding": "text", **(self.scene.facts if data is not None else {"encoding": "none"})}
        return Block(
            mini_batch=number,
            attempt=1,
            items=2,
            succeeded=2 - failed,
            failed=failed,
            rows=2 - failed,
            seconds=0.25,
            size=len(data or b""),
            errors=errors,
            files=self.scene.files.get(number, ()),
            **facts,
        )

    def aggregate(self, faults: Faults | None = None) -> None:
        """Run the aggregator as a node does, with a plan of faults of its own."""
        faults = faults or Faults()
        if self.ledger.snapshot("j").state == "closed":
            return
        local.faults = faults
        ledger: Any = FaultyLedger(self.ledger, faults)
        aggregate(self.job, FaultyStore(self.folder, faults), ledger, **self.scene.arguments)

    def outcome(self) -> dict[str, Any]:
        """Return everything that the job left, as it can be compared with another run's."""
        found: dict[str, Any] = {}
        for entry in self.output.list():
            data: Any = self.output.read(entry.path)
            if entry.path.endswith("summary.json"):
                data = {key: value for key, value in json.loads(data).items() if key not in VOLATILE}
            elif entry.path.endswith("result.json"):
                data = json.loads(data)
            found[entry.path] = data
        if is_local(self.output.url):
            hidden = [str(path) for path in Path(self.output.url).rglob(".gristmill-tmp-*")]
            assert hidden == [], "what killed aggregators left"
        found["state"] = self.ledger.snapshot("j").state
        return json.loads(json.dumps(found, default=repr).replace(self.output.url, "<output>"))


#: The plan of faults of the thread that aggregates.
local = threading.local()


@pytest.fixture(autouse=True)
def _faulty_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate_module, "open_store", lambda url: FaultyStore(open_store(url), local.faults))


#: Every scene in memory, and those on a disk that differ there: hidden files, moves.
EVERYWHERE = [("memory", name) for name in SCENES] + [
    ("local", name) for name in ("text", "rows and written files, over others", "nothing succeeded")
]
#: Scenes that publish more than one file.
RICH = [
    (kind, name) for kind in ("memory", "local") for name in ("written files", "rows and written files, over others")
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with quick_folder(tmp_path) as made:
        yield made


def place(kind: str, folder: Path) -> str:
    """Return the address of an empty place."""
    unique = uuid.uuid4().hex
    return f"memory://{unique}/out" if kind == "memory" else str(folder / unique / "out")


def kill_at(moment: int) -> Faults:
    faults = Faults()

    def watch(number: int, *_: object) -> None:
        if number == moment:
            raise Killed(f"moment {moment}")

    faults.watch = watch
    return faults


def moments_of(scene: Scene, url: str) -> tuple[dict[str, Any], int]:
    """Return what an undisturbed run leaves, and how many moments it has."""
    stage, faults = Stage(scene, url), Faults()
    stage.aggregate(faults)
    return stage.outcome(), len(faults.log)


@pytest.mark.parametrize(("kind", "name"), EVERYWHERE)
def test_killed_at_any_step_and_run_again_it_leaves_the_same(kind: str, name: str, folder: Path) -> None:
    expected, moments = moments_of(SCENES[name], place(kind, folder))
    assert expected["state"] == "closed"

    for moment in range(moments):
        stage = Stage(SCENES[name], place(kind, folder))
        with pytest.raises(Killed):
            stage.aggregate(kill_at(moment))
        stage.aggregate()

        assert stage.outcome() == expected, f"killed at {moment} of {moments}"


@pytest.mark.parametrize(("kind", "name"), RICH)
def test_killed_twice_and_run_again_it_leaves_the_same(kind: str, name: str, folder: Path) -> None:
    expected, moments = moments_of(SCENES[name], place(kind, folder))
    chance = random.Random(3)

    for _ in range(30):
        kills = [chance.randrange(moments) for _ in range(2)]
        stage = Stage(SCENES[name], place(kind, folder))
        for kill in kills:
            faults = kill_at(kill)
            try:
                stage.aggregate(faults)
            except Killed:
                assert faults.dead
        stage.aggregate()

        assert stage.outcome() == expected, kills


@pytest.mark.parametrize(("kind", "name"), EVERYWHERE)
def test_two_at_once_leave_one_output_complete(kind: str, name: str, folder: Path) -> None:
    expected, _ = moments_of(SCENES[name], place(kind, folder))

    for _ in range(10):
        stage, errors = Stage(SCENES[name], place(kind, folder)), []
        start = threading.Barrier(2)

        def run(stage: Stage = stage, errors: list[BaseException] = errors, start: Any = start) -> None:
            start.wait()
            try:
                stage.aggregate()
            except BaseException as error:  # noqa: BLE001 - the test's own thread must not hide it
                errors.append(error)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert errors == []
        assert stage.outcome() == expected


@pytest.mark.parametrize("kind", ["writer", "writer.publish", "replace", "create"])
def test_a_disk_that_takes_nothing_ends_the_job_with_its_words_in_the_ledger_and_parts_kept(kind: str) -> None:
    expected, _ = moments_of(SCENES["text"], place("memory", Path()))
    stage, faults = Stage(SCENES["text"], place("memory", Path())), Faults()
    rule = faults.add(kind, error=errno.ENOSPC, times=10**6)
    faults.add("replace", error=errno.ENOSPC, times=10**6)

    stage.aggregate(faults)

    ended = stage.ledger.snapshot("j")
    assert (ended.state, ended.status) == ("closed", "Failed")
    assert "No space left on device" in str((ended.error or {})["message"])
    assert not stage.output.exists("predictions.csv")
    assert rule.seen

    stage.ledger = reopened(stage)
    stage.aggregate()
    assert stage.outcome()["predictions.csv"] == expected["predictions.csv"]


def reopened(stage: Stage) -> MemoryLedger:
    """Return a ledger that knows what the job's parts hold, as a resume makes it."""
    ledger = MemoryLedger()
    ledger.open("j", epoch="0000000000002", lease_seconds=30, error_threshold=-1)
    numbers = [number for part in stage.scene.parts for number in part]
    ledger.extend("j", first=0, count=len(numbers), items=2 * len(numbers), size=0, closed=True)
    for name in list_parts(stage.folder):
        with PartReader(stage.folder, name) as part:
            ledger.adopt("j", part=name, entries=[Entry.of(block) for block in part.blocks()])
    return ledger

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gristmill.spec import Deployment, Input, Job, Output, Settings, to_json
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Entry
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.manifest import ManifestReader, ManifestWriter, MiniBatch
from gristmill_storage.parts import Block, PartWriter, Piece, part_name
from gristmill_workers.aggregator import aggregate

EPOCH = "0000000000001"


def job_in(folder: Path, **settings: Any) -> Job:
    return Job(
        name="j",
        deployment=Deployment(name="d", settings=Settings(**settings)),
        input=Input(uri=str(folder / "in")),
        output=Output(folder=str(folder / "out")),
        submitted=1.0,
    )


class Bench:
    """A job whose mini-batches are planned, scored and aggregated by hand."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.output = Path(job.output.folder)
        self.folder = open_store(job_folder.url(job.output.folder, job.name))
        if not self.folder.exists(job_folder.SPEC):
            self.folder.create(job_folder.SPEC, json.dumps(to_json(job)).encode())
        self.ledger = MemoryLedger()
        self.plan: list[tuple[str, ...]] = []
        self._blocks: list[tuple[Block, bytes]] = []
        self._serial = 0
        self.open()

    def open(self) -> None:
        self.ledger.forget(self.job.name)
        self.ledger.open(self.job.name, epoch=EPOCH, lease_seconds=30, error_threshold=-1)
        manifest = ManifestReader(self.folder)
        if manifest.totals() is not None:
            self.plan = [mini_batch.items for mini_batch in manifest.mini_batches()]
            self.extend()

    def planned(self, *sizes: int) -> None:
        """Plan mini-batches of so many items."""
        writer = ManifestWriter(self.folder, clock=lambda: 0.0)
        for number, size in enumerate(sizes):
            items = tuple(f"m{number:04d}-{item}.txt" for item in range(size))
            self.plan.append(items)
            writer.add(MiniBatch(number, items, 0))
        writer.close()
        self.extend()

    def extend(self) -> None:
        count, items = len(self.plan), sum(map(len, self.plan))
        self.ledger.extend(self.job.name, first=0, count=count, items=items, size=0, closed=True)

    def scored(self, number: int, *pieces: tuple[int, bytes | None], **facts: Any) -> None:
        """Score a mini-batch: (items, rows' bytes; None: they failed) for each piece, or one for all of it."""
        made, errors, place = [], [], 0
        for items, data in pieces:
            if data is None:
                errors += [self.error(number, item) for item in self.plan[number][place : place + items]]
            made.append(self.piece(items, data, **facts))
            place += items
        whole = b"".join(data for _, data in pieces if data)
        self.put(number, whole, tuple(made), errors, **facts)

    def piece(self, items: int, data: bytes | None, **facts: Any) -> Piece:
        return Piece(
            items=items,
            succeeded=0 if data is None else items,
            rows=rows_in(data, facts.get("encoding", "text")),
            size=len(data or b""),
            columns=facts.get("columns") if data else None,
        )

    def error(self, number: int, item: str | None) -> dict[str, Any]:
        record = {
            "file": item,
            "mini_batch": number,
            "attempts": 3,
            "category": "crash",
            "message": "m",
            "traceback": "",
        }
        return record if item else {**record, "items": list(self.plan[number])}

    def put(self, number: int, data: bytes, pieces: tuple[Piece, ...], errors: list[Any], **facts: Any) -> None:
        items = len(self.plan[number])
        succeeded = sum(piece.succeeded for piece in pieces)
        block = Block(
            mini_batch=number,
            attempt=1,
            items=items,
            succeeded=succeeded,
            failed=items - succeeded,
            rows=sum(piece.rows for piece in pieces),
            seconds=0.25,
            size=len(data),
            errors=tuple(errors),
            pieces=pieces if len(pieces) > 1 else (),
            **{"encoding": "text", **facts},
        )
        self._blocks.append((block, data))

    def part(self, *, adopt: bool = True) -> str:
        """Seal what was scored into a part, and have it count."""
        self._serial += 1
        name = part_name(EPOCH, min(block.mini_batch for block, _ in self._blocks), "node", self._serial)
        writer = PartWriter(self.folder, name)
        for block, data in self._blocks:
            writer.add(block, data)
        writer.seal()
        if adopt:
            self.ledger.adopt(self.job.name, part=name, entries=[Entry.of(block) for block, _ in self._blocks])
        self._blocks = []
        return name

    def aggregate(self, *, publish: bool = True, partial: bool = False) -> dict[str, Any]:
        aggregate(self.job, self.folder, self.ledger, publish=publish, partial=partial)
        return json.loads(self.folder.read(job_folder.RESULT))

    def read(self, name: str = "predictions.csv") -> bytes:
        return (self.output / name).read_bytes()

    def summary(self) -> dict[str, Any]:
        return json.loads(self.read("summary.json"))

    def errors(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read("errors.jsonl").splitlines()]

    def another(self, **changes: Any) -> Bench:
        return Bench(replace(self.job, **changes))


def rows_in(data: bytes | None, encoding: str) -> int:
    if not data:
        return 0
    return pa.ipc.open_stream(data).read_all().num_rows if encoding == "arrow" else data.count(b"\n")


def arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


@pytest.fixture
def make(tmp_path):
    """Make a bench with settings."""
    return lambda **settings: Bench(job_in(tmp_path, **settings))


@pytest.fixture
def as_arrow():
    return arrow

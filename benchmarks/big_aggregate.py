"""The merge of a job's parts beside `cat` of the same files, both with an fsync at the end.

python -m benchmarks.big_aggregate --megabytes 512 --block 65536 --folder /tmp/merge
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import memory

from gristmill.spec import Deployment, Input, Job, Output, Settings, to_json
from gristmill_storage import job_folder
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Entry
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.manifest import ManifestWriter, MiniBatch
from gristmill_storage.parts import Block, PartWriter, part_name
from gristmill_workers.aggregator import aggregate

#: Bytes of a part, as a node makes them, and mini-batches of a lease.
PART = 16 << 20
LEASE = 8


def make_job(folder: Path, megabytes: int, size: int) -> tuple[Job, MemoryLedger]:
    """Write a job's plan and parts: two nodes took turns; return the job and its ledger."""
    job = Job(
        name="j",
        deployment=Deployment(name="d", settings=Settings()),
        input=Input(uri=str(folder / "in")),
        output=Output(folder=str(folder / "out")),
    )
    store = open_store(job_folder.url(job.output.folder, job.name))
    store.create(job_folder.SPEC, json.dumps(to_json(job)).encode())
    ledger = MemoryLedger()
    ledger.open(job.name, epoch="1", lease_seconds=30, error_threshold=-1)
    count = max(1, (megabytes << 20) // size)
    manifest = ManifestWriter(store)
    for number in range(count):
        manifest.add(MiniBatch(number, (f"{number:09d}.txt",), 0))
    manifest.close()
    ledger.extend(job.name, first=0, count=count, items=count, size=0, closed=True)
    data = (b"some text of a row, which is neither long nor short 0.123456\n" * (size // 60 + 1))[: size - 1] + b"\n"
    per_part = max(1, PART // size)
    for serial, first in enumerate(range(0, count, 2 * per_part)):
        for half in (0, 1):
            numbers = [n for n in range(first, min(count, first + 2 * per_part)) if n // LEASE % 2 == half]
            if numbers:
                _write_part(store, ledger, numbers, data, 2 * serial + half)
    return job, ledger


def _write_part(store: Store, ledger: MemoryLedger, numbers: list[int], data: bytes, serial: int) -> None:
    name = part_name("1", numbers[0], "n", serial)
    writer = PartWriter(store, name)
    facts: dict[str, Any] = {"rows": data.count(b"\n"), "size": len(data)}
    blocks = [
        Block(mini_batch=n, attempt=1, items=1, succeeded=1, failed=0, seconds=0.1, encoding="text", **facts)
        for n in numbers
    ]  # fmt: skip
    for block in blocks:
        writer.add(block, data)
    writer.seal()
    ledger.adopt("j", part=name, entries=[Entry.of(block) for block in blocks])


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return (wall seconds, processor seconds) of a call and its children."""

    def used() -> float:
        return sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )

    began, before = time.monotonic(), used()
    work()
    return round(time.monotonic() - began, 2), round(used() - before, 2)


def measure(folder: Path, megabytes: int, size: int, *, merge_first: bool) -> dict[str, Any]:
    """Make a job, merge it and `cat` its parts; return what both took."""
    shutil.rmtree(folder, ignore_errors=True)
    job, ledger = make_job(folder, megabytes, size)
    store = open_store(job_folder.url(job.output.folder, job.name))
    for part in sorted(Path(store.url, "parts").iterdir()):
        (folder / part.name).hardlink_to(part)  # the merge removes the parts
    os.sync()
    command = [
        "sh",
        "-c",
        'cat "$@" > "$0" && sync "$0"',
        str(folder / "cat"),
        *map(str, sorted(folder.glob("*.part"))),
    ]
    found = {}
    steps: list[tuple[str, Callable[[], object]]] = [
        ("cat", lambda: subprocess.run(command, check=True)),
        ("merge", lambda: aggregate(job, store, ledger, publish=True)),
    ]
    for name, work in reversed(steps) if merge_first else steps:
        found[name] = timed(work)
        (folder / "cat").unlink(missing_ok=True)  # its output may be as large as the disk's rest
    shutil.rmtree(folder)
    return found


def main() -> None:
    """Measure and print JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--megabytes", type=int, default=512)
    arguments.add_argument("--block", type=int, default=1 << 16)
    arguments.add_argument("--times", type=int, default=4)
    arguments.add_argument("--folder", type=Path, required=True)
    given = arguments.parse_args()
    measure(given.folder, 1, given.block, merge_first=True)  # what is imported late is imported now
    before = memory.high_water()
    found = [measure(given.folder, given.megabytes, given.block, merge_first=bool(n % 2)) for n in range(given.times)]
    cat, merge = ([round(sum(each[name][place] for each in found), 2) for place in (0, 1)] for name in ("cat", "merge"))
    print(
        json.dumps(
            {
                "megabytes": given.megabytes,
                "block": given.block,
                "cat": cat,
                "merge": merge,
                "of_cats_speed": {"wall": round(cat[0] / merge[0], 2), "processor": round(cat[1] / merge[1], 2)},
                "grown_mb": (memory.high_water() - before) >> 20,
            }
        )
    )


if __name__ == "__main__":
    main()

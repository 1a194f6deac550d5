"""Planning a million files: listed, cut into mini-batches, written; and how soon the first could be leased.

python -m benchmarks.big_plan --files 1000000 --folders 1 --folder /tmp/plan
python -m benchmarks.big_plan --files 10000000 --synthetic --folder /tmp/plan      names out of nothing, in no order
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import memory

from gristmill.spec import Deployment, Input, Job, Output, Settings
from gristmill_scheduler import plan
from gristmill_scheduler.plan import Planner
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.minibatches import Item
from gristmill_storage.sorting import in_order


class Timed(MemoryLedger):
    """A ledger that notes when it first heard of mini-batches: the time, and the processor time of this process."""

    first: tuple[float, float] | None = None

    def extend(self, job: str, **facts: Any) -> None:
        """Note the time."""
        if facts["count"] and self.first is None:
            self.first = time.monotonic(), time.process_time()
        super().extend(job, **facts)


def fill(folder: Path, files: int, folders: int) -> None:
    """Make empty files, as many in each folder, their names in no order."""
    for number in range(folders):
        place = folder if folders == 1 else folder / f"{number * 7919 % folders:05d}"
        place.mkdir(parents=True, exist_ok=True)
        for one in range(files // folders):
            os.close(os.open(f"{place}/image-{one * 7919 % files:07d}.png", os.O_CREAT | os.O_WRONLY))


def synthetic(files: int) -> Iterator[Item]:
    """Yield items as of one folder, without it: sorted as its names are."""
    names = (b"image-%08d.png" % (one * 7919 % files) for one in range(files))
    return (Item(name.decode()) for name in in_order(names))


def floor(folder: Path, folders: int) -> dict[str, float]:
    """Return the seconds of processor time of what nobody can leave out: naming all files, and sorting their names.

    `bare` is a loop over `os.scandir` that does nothing, `kernel` the system's part of that; `listdir` has no kinds of
    files; `scandir` keeps the names.
    """
    places = [folder] if folders == 1 else sorted(folder.iterdir())
    began, before = time.process_time(), os.times().system
    for place in places:
        with opened(place) as fd, os.scandir(fd) as entries:
            deque(entries, maxlen=0)
    seen, after = time.process_time(), os.times().system
    for place in places:
        with opened(place) as fd:
            os.listdir(fd)
    listed = time.process_time()
    names = []
    for place in places:
        with opened(place) as fd, os.scandir(fd) as entries:
            names += [entry.name for entry in entries if entry.is_file()]
    named = time.process_time()
    names.sort()
    ended = time.process_time()
    spans = {"bare": seen - began, "listdir": listed - seen, "scandir": named - listed, "sort": ended - named}
    return {name: round(seconds, 2) for name, seconds in {**spans, "kernel": after - before}.items()}


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Open a folder, as the product does: entries of a descriptor have no paths made."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def main() -> None:
    """Measure and print JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--files", type=int, default=1_000_000)
    arguments.add_argument("--folders", type=int, default=1)
    arguments.add_argument("--size", type=int, default=10)
    arguments.add_argument("--folder", type=Path, required=True)
    arguments.add_argument("--synthetic", action="store_true")
    given = arguments.parse_args()
    source = given.folder / f"in-{given.files}-{given.folders}"
    if given.synthetic:
        vars(plan)["list_input"] = lambda *_, **__: synthetic(given.files)
    elif not source.exists():
        fill(source, given.files, given.folders)
    shutil.rmtree(given.folder / "out", ignore_errors=True)
    job = Job(
        name="j",
        deployment=Deployment(name="d", settings=Settings(mini_batch_size=given.size)),
        input=Input(uri=str(source)),
        output=Output(folder=str(given.folder / "out")),
    )
    found: dict[str, object] = {"files": given.files, "folders": given.folders}
    ledger = Timed()
    ledger.open(job.name, epoch="1", lease_seconds=30, error_threshold=-1)
    planner = Planner(job, open_store(job_folder.url(job.output.folder, job.name)), ledger)
    before = memory.high_water()
    began, used = time.monotonic(), time.process_time()
    planner.start()
    while not ledger.snapshot(job.name).plan_closed:
        planner.check()
        ledger.wait(job.name, 0.05)
    found["wall"] = round(time.monotonic() - began, 2)
    found["processor"] = round(time.process_time() - used, 2)
    assert ledger.first is not None
    found["first"] = round(ledger.first[0] - began, 2)
    found["first_processor"] = round(ledger.first[1] - used, 2)
    found["grown_mb"] = (memory.high_water() - before) >> 20
    if not given.synthetic:
        found["floor"] = floor(source, given.folders)  # last: it holds all names
    found["planned"] = ledger.snapshot(job.name).items_planned
    print(json.dumps(found))


if __name__ == "__main__":
    main()

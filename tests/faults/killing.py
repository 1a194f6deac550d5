"""Processes that write to a folder and are killed: forks of one that has everything imported, so that each is cheap.

    python killing.py write FOLDER KILLS SEED          writers of one file, killed one after the other
    python killing.py aggregate FOLDER KILLS SEED      an aggregator, killed so often, then one that comes to its end
    python killing.py race FOLDER                      two aggregators that begin at the same moment

It prints how many of the killed had not ended by themselves.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gristmill.errors import AlreadyExists
from gristmill.spec import Job, from_json
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Entry
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.local_store import LocalStore
from gristmill_storage.parts import PartReader, list_parts
from gristmill_workers.aggregator import aggregate


def fork(action: Callable[[], None]) -> int:
    """Carry out an action in a process of its own; return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        action()
        code = 0
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    """Return how a process ended: its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed(action: Callable[[], None], seconds: float) -> bool:
    """Kill a process that does something after a while; return whether it had not ended by itself."""
    pid = fork(action)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return wait(pid) == -signal.SIGKILL


def write_for_ever(folder: str, seed: int) -> None:
    """Write one file in every way, each time whole: so many times one byte, the number of times before it."""
    store, chance = LocalStore(folder), random.Random(seed)
    while True:
        size = chance.randrange(1 << 21)
        data = size.to_bytes(8) + bytes([size % 251]) * size
        way = chance.randrange(4)
        if way == 0:
            store.replace("file", data)
        elif way == 1:
            store.delete("file")
            store.create("file", data)
        elif way == 2:
            with store.writer("file", overwrite=True) as writer:
                for start in range(0, len(data), 70_000):
                    writer.write(data[start : start + 70_000])
                writer.publish()
        else:
            store.replace("other", data)
            store.delete("file")
            try:
                store.move("other", "file")
            except AlreadyExists:
                store.delete("other")


def check(path: Path) -> None:
    """Insist that a file, if it is there, is whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    size = int.from_bytes(data[:8])
    if data[8:] != bytes([size % 251]) * size:
        sys.exit(f"torn: {len(data)} bytes, of {size} and 8")


def write(folder: str, kills: int, seed: int) -> int:
    """Kill writers; after each, the file is whole, and a sweep removes what is hidden."""
    chance, count = random.Random(seed), 0
    for number in range(kills):
        count += killed(lambda number=number: write_for_ever(folder, seed + number), chance.uniform(0.005, 0.06))
        check(Path(folder) / "file")
        LocalStore(folder).sweep()
        left = list(Path(folder).glob(".gristmill-tmp-*"))
        if left:
            sys.exit(f"a sweep has left {left}")
    return count


def ledger_of(folder: str) -> tuple[Job, MemoryLedger]:
    """Return a job and a ledger that knows all of its parts."""
    store = open_store(folder)
    job = from_json(Job, json.loads(store.read(job_folder.SPEC)))
    ledger = MemoryLedger()
    ledger.open(job.name, epoch="0000000000001", lease_seconds=30, error_threshold=-1)
    adopted = []
    for name in list_parts(store):
        with PartReader(store, name) as part:
            adopted.append((name, [Entry.of(block) for block in part.blocks()]))
    count = sum(len(entries) for _, entries in adopted)
    ledger.extend(job.name, first=0, count=count, items=0, size=0, closed=True)
    for name, entries in adopted:
        ledger.adopt(job.name, part=name, entries=entries)
    return job, ledger


def end(folder: str, job: Job, ledger: MemoryLedger) -> None:
    """Aggregate as a node does."""
    aggregate(job, open_store(folder), ledger, publish=True)


def kill_aggregators(folder: str, kills: int, seed: int) -> int:
    """Kill aggregators of one job at random moments, then let one come to its end."""
    job, ledger = ledger_of(folder)
    chance = random.Random(seed)
    count = sum(killed(lambda: end(folder, job, ledger), chance.uniform(0, 0.05)) for _ in range(kills))
    if wait(fork(lambda: end(folder, job, ledger))):
        sys.exit("the last aggregator failed")
    return count


def race(folder: str) -> int:
    """Let two aggregators of one job begin at once."""
    job, ledger = ledger_of(folder)
    receiving, sending = os.pipe()

    def run() -> None:
        os.close(sending)
        os.read(receiving, 1)
        end(folder, job, ledger)

    pids = [fork(run), fork(run)]
    os.close(sending)
    codes = [wait(pid) for pid in pids]
    if any(codes):
        sys.exit(f"aggregators ended with {codes}")
    return 0


if __name__ == "__main__":
    logging.disable()
    what, where, *numbers = sys.argv[1:]
    does = {"write": write, "aggregate": kill_aggregators, "race": race}[what]
    sys.stdout.write(str(does(where, *map(int, numbers))))

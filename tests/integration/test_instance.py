"""Instances with real scorers, under leases that are short: what keeps a lease, and what gives it up."""

from __future__ import annotations

import os
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gristmill.settings import ProcessSettings
from gristmill.spec import CodeConfiguration, Deployment, Input, Job, Output, RetrySettings, Settings
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Commit, Entry
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.manifest import Item, ManifestWriter, cut
from gristmill_storage.parts import Block, PartReader
from gristmill_workers import instance as instance_module
from gristmill_workers import pool as pool_module
from gristmill_workers.assignment import Assignment
from gristmill_workers.instance import Instance
from gristmill_workers.watchdog import Watchdog


class Work:
    """A planned job, and instances that work for it in threads of their own."""

    def __init__(self, folder: Path, ledger: MemoryLedger, script: str, items: int, **settings: Any) -> None:
        for name in ("in", "code", "scratch"):
            (folder / name).mkdir()
        (folder / "code" / "score.py").write_text(textwrap.dedent(script))
        for number in range(items):
            (folder / "in" / f"{number:03d}").write_text("x")
        self.folder, self.ledger = folder, ledger
        self.job = Job(
            name="j",
            deployment=Deployment(
                code_configuration=CodeConfiguration(code=str(folder / "code"), scoring_script="score.py"),
                instance_count=2,
                settings=Settings(**settings),
            ),
            input=Input(uri=str(folder / "in")),
            output=Output(folder=str(folder / "out")),
        )
        self.store = open_store(str(folder / "job"))
        self._plan(items)
        self._threads: list[threading.Thread] = []

    def _plan(self, items: int) -> None:
        self.ledger.open("j", epoch="1", lease_seconds=1, error_threshold=-1)
        writer = ManifestWriter(self.store)
        listed = [Item(name=f"{number:03d}", size=1) for number in range(items)]
        chunks = [writer.add(batch) for batch in cut(listed, self.job.deployment.settings.mini_batch_size)]
        for chunk in filter(None, [*chunks, writer.close()]):
            self.ledger.extend(
                "j", first=chunk.first, count=chunk.count, items=chunk.items, size=chunk.size, closed=False
            )
        totals = writer.totals
        self.ledger.extend("j", first=totals.mini_batches, count=0, items=0, size=0, closed=True)

    def start(self, name: str, slot: int = 0) -> threading.Thread:
        assignment = Assignment(
            job=self.job,
            folder=self.store,
            slot=slot,
            ledger=self.ledger,
            settings=ProcessSettings.read(
                {**os.environ, "GRISTMILL_SCRATCH": str(self.folder / "scratch"), "GRISTMILL_NODE_NAME": name}
            ),
            drain=threading.Event(),
            share=1,
        )
        thread = threading.Thread(target=Instance(assignment).run, name=name, daemon=True)
        thread.start()
        return thread

    def blocks(self) -> list[Block]:
        """What counts, by mini-batch."""
        found: dict[int, Block] = {}
        for part, ranges in self.ledger.parts("j"):
            with PartReader(self.store, part) as reader:
                for block in reader.blocks():
                    if any(first <= block.mini_batch <= last for first, last in ranges):
                        assert block.mini_batch not in found
                        found[block.mini_batch] = block
        return [found[number] for number in sorted(found)]

    def until(self, state: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while self.ledger.snapshot("j").state != state:
            assert time.monotonic() < deadline, self.ledger.snapshot("j")
            time.sleep(0.02)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Work]:
    def make(script: str, items: int, *, ledger: MemoryLedger | None = None, **settings: Any) -> Work:
        return Work(tmp_path, ledger or MemoryLedger(), script, items, **settings)

    return make


SLOW = """
    import time

    def init():
        pass

    def run(mini_batch):
        time.sleep(4)
        return mini_batch
"""

QUICK = """
    def init():
        pass

    def run(mini_batch):
        return mini_batch
"""


def test_a_run_that_lasts_longer_than_its_lease_keeps_it(make) -> None:
    work = make(SLOW, 2, mini_batch_size=1, max_concurrency_per_instance=2)

    work.start("one").join(60)

    snapshot = work.ledger.snapshot("j")
    assert (snapshot.state, snapshot.expiries, snapshot.losses, snapshot.fenced) == ("scored", 0, 0, 0)
    assert [(block.attempt, block.succeeded) for block in work.blocks()] == [(1, 1), (1, 1)]


class StuckLedger(MemoryLedger):
    """A ledger whose first commit is stuck until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.reached = threading.Event()

    def commit(self, job: str, *, instance: str, part: str, entries: Sequence[Entry], **counted: str) -> Commit:
        if not self.reached.is_set():
            self.reached.set()
            assert self.gate.wait(60)
        return super().commit(job, instance=instance, part=part, entries=entries, **counted)


def test_what_an_instance_is_stuck_with_goes_to_another_and_counts_once(make, monkeypatch) -> None:
    monkeypatch.setattr(instance_module, "Watchdog", lambda _seconds: Watchdog(1.0))
    ledger = StuckLedger()
    work = make(QUICK, 20, ledger=ledger, mini_batch_size=2)
    stuck = work.start("stuck")
    assert ledger.reached.wait(30)

    other = work.start("other", slot=1)
    work.until("scored")
    other.join(30)
    assert ledger.snapshot("j").expiries == 1
    ledger.gate.set()
    stuck.join(30)

    assert not stuck.is_alive()
    assert [block.mini_batch for block in work.blocks()] == list(range(10))
    assert ledger.snapshot("j").state == "scored"


def test_rows_that_came_in_files_are_put_together_without_being_read(make, monkeypatch) -> None:
    script = """
        import os

        def init():
            pass

        def run(mini_batch):
            names = [os.path.basename(path) for path in mini_batch]
            if "005" in names:
                raise ValueError("bad")
            return [name * 4_000_000 for name in names]
    """
    work = make(
        script, 8, mini_batch_size=8, isolate_failures=True, retry_settings=RetrySettings(max_retries=1, timeout=60)
    )

    work.start("one").join(60)

    (block,) = work.blocks()
    assert (block.succeeded, block.failed, block.runs) == (7, 1, 7)
    assert [(piece.items, piece.rows) for piece in block.pieces] == [(5, 5), (1, 0), (2, 2)]
    ((part, _),) = work.ledger.parts("j")
    with PartReader(work.store, part) as reader:
        reader.verify()
        lines = reader.read(block).splitlines()
        assert [line[:3] for line in lines] == [b"000", b"001", b"002", b"003", b"004", b"006", b"007"]
        assert all(len(line) == 12_000_000 for line in lines)
        assert [error["file"] for error in reader.errors(block)] == ["005"]
    assert not [path for path in (work.folder / "job" / "files").rglob("*") if path.is_file()]


def test_a_file_that_cannot_be_fetched_takes_no_other_with_it(make) -> None:
    work = make(
        QUICK, 8, mini_batch_size=8, isolate_failures=True, retry_settings=RetrySettings(max_retries=2, timeout=60)
    )
    remote = open_store("memory://fetched/in")
    for number in range(8):
        if number != 5:
            remote.create(f"{number:03d}", b"x")
    work.job = replace(work.job, input=Input(uri="memory://fetched/in"))

    work.start("one").join(60)

    (block,) = work.blocks()
    assert (block.attempt, block.succeeded, block.failed) == (2, 7, 1)
    ((part, _),) = work.ledger.parts("j")
    with PartReader(work.store, part) as reader:
        assert [(error["file"], error["category"]) for error in reader.errors(block)] == [("005", "fetch")]
        assert len(reader.read(block).splitlines()) == 7


def test_an_instance_that_hangs_is_overtaken_by_another_and_leaves_at_once(make, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pool_module, "LEAVE_SECONDS", 60.0)
    script = f"""
        import os, time

        def init():
            pass

        def run(mini_batch):
            if mini_batch[0].endswith("003"):
                try:
                    os.close(os.open({str(tmp_path / "first")!r}, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    pass
                else:
                    time.sleep(600)
            return mini_batch
    """
    work = make(script, 12, mini_batch_size=1, speculate=True)
    hanging = work.start("one")
    while not (tmp_path / "first").exists():
        assert hanging.is_alive()
        time.sleep(0.02)

    other = work.start("two", slot=1)
    work.until("scored")
    began = time.monotonic()
    hanging.join(90)
    other.join(90)

    assert time.monotonic() - began < 30
    snapshot = work.ledger.snapshot("j")
    assert (snapshot.fenced, snapshot.losses) == (0, 0)
    assert snapshot.copies >= 1
    assert [(block.mini_batch, block.attempt) for block in work.blocks()] == [(number, 1) for number in range(12)]


SLOW_AFTER_A_QUICK_ERROR = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        if mini_batch[0].endswith("000"):
            raise ValueError("at once")
        time.sleep(0.05)
        return mini_batch
"""


class CountingLedger(MemoryLedger):
    """Notes how many mini-batches are asked for at once."""

    most = 0

    def lease(self, job: str, *, limit: int, **more: Any) -> Any:
        self.most = max(self.most, limit)
        return super().lease(job, limit=limit, **more)


def test_a_mini_batch_that_fails_at_once_does_not_have_its_instance_take_all_the_others(make) -> None:
    ledger = CountingLedger()
    work = make(
        SLOW_AFTER_A_QUICK_ERROR,
        60,
        ledger=ledger,
        mini_batch_size=1,
        max_concurrency_per_instance=1,
        retry_settings=RetrySettings(max_retries=2),
    )

    work.start("one").join(60)

    assert [block.failed for block in work.blocks()] == [1] + 59 * [0]
    assert ledger.most <= 10


SLOWER_AND_SLOWER = """
    import time

    def init():
        pass

    def run(mini_batch):
        if int(mini_batch[0].rpartition("/")[2]) >= 1000:
            time.sleep(0.02)
        return mini_batch
"""


def test_what_is_leased_and_turns_out_to_be_slow_is_given_to_another_instance(make) -> None:
    work = make(SLOWER_AND_SLOWER, 1600, mini_batch_size=1, max_concurrency_per_instance=1)

    threads = [work.start(name, slot) for slot, name in enumerate(("one", "two"))]
    for thread in threads:
        thread.join(60)

    assert [block.succeeded for block in work.blocks()] == 1600 * [1]
    shares = [
        sum(last - max(first, 1000) + 1 for _, ranges in parts for first, last in ranges if last >= 1000)
        for parts in ([found for found in work.ledger.parts("j") if name in found[0]] for name in ("-one-", "-two-"))
    ]
    assert sum(shares) == 600
    assert min(shares) >= 60


STEADY = """
    import time

    def init():
        pass

    def run(mini_batch):
        time.sleep(0.15)
        return mini_batch
"""


def test_an_instance_whose_place_is_wanted_finishes_what_it_is_in_and_leaves_the_rest(make) -> None:
    work = make(STEADY, items=12, mini_batch_size=1)
    first = work.start("a")
    while not work.ledger.snapshot("j").leased:
        time.sleep(0.01)
    work.ledger.share("j", instances=0)
    first.join(10)

    left = work.ledger.snapshot("j")
    assert (left.state, left.instances, left.leased) == ("open", [], 0)
    assert 1 <= left.done < 12
    work.start("b").join(10)
    assert work.ledger.snapshot("j").done == left.done  # there was no place for it
    work.ledger.share("j", instances=None)
    work.start("c")
    work.until("scored")
    assert len(work.blocks()) == 12
    assert {block.attempt for block in work.blocks()} == {1}
    found = work.ledger.snapshot("j")
    assert (found.losses, found.expiries, found.fenced, found.failures) == (0, 0, 0, {})

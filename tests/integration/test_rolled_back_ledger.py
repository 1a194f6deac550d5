"""A ledger's server that loses what it had acknowledged (a power cut, a replica that took over), under real instances.

Every key of the job is set back to what it was before one call, after that call was answered.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill.settings import ProcessSettings
from gristmill.spec import CodeConfiguration, Deployment, Input, Job, Output, Settings
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Commit, Lease, Ledger
from gristmill_storage.manifest import Item, ManifestWriter, cut
from gristmill_storage.parts import PartReader
from gristmill_workers.assignment import Assignment
from gristmill_workers.instance import Instance
from gristmill_workers.watchdog import stacks

redis = pytest.importorskip("redis")

ITEMS = 60
SCRIPT = """
import time

def init():
    pass

def run(mini_batch):
    time.sleep(0.02)
    return mini_batch
"""


class Forgetful(Ledger):
    """A ledger whose server forgets the calls that `loses` names, each by its method and how many came before."""

    def __init__(self, url: str, *loses: tuple[str, int]) -> None:
        super().__init__(url)
        self._client = redis.Redis.from_url(url)
        self._loses = set(loses)
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self.lost: list[Any] = []

    def close_client(self) -> None:
        self._client.close()
        self.disconnect()

    def _losing(self, method: str, call: Callable[[], Any], counts: Callable[[Any], bool]) -> Any:
        with self._lock:
            keys = list(self._client.scan_iter("gristmill:{j}:*", count=1000))
            before = {name: self._client.dump(name) for name in keys}
            answer = call()
            if not counts(answer):
                return answer
            number = self._counts[method] = self._counts.get(method, -1) + 1
            if (method, number) in self._loses:
                self._client.delete(*self._client.scan_iter("gristmill:{j}:*", count=1000))
                for name, value in before.items():
                    if value is not None:
                        self._client.restore(name, 3_600_000, value)
                self.lost.append(answer)
            return answer

    def commit(self, job: str, **given: Any) -> Commit:
        found: Commit = self._losing("commit", lambda: super(Forgetful, self).commit(job, **given), lambda _: True)
        return found

    def lease(self, job: str, **given: Any) -> Any:
        return self._losing(
            "lease", lambda: super(Forgetful, self).lease(job, **given), lambda answer: isinstance(answer, Lease)
        )

    def renew(self, job: str, **given: Any) -> str:
        with self._lock:  # what is set back is one call, not those beside it
            return super().renew(job, **given)


class Bench:
    """A planned job on a real server, and instances one after the other, as a coordinator starts them."""

    def __init__(self, folder: Path, ledger: Forgetful, *, speculate: bool) -> None:
        for name in ("in", "code", "scratch"):
            (folder / name).mkdir()
        (folder / "code" / "score.py").write_text(SCRIPT)
        for number in range(ITEMS):
            (folder / "in" / f"{number:03d}").write_text("x")
        self.folder, self.ledger = folder, ledger
        settings = Settings(mini_batch_size=1, max_concurrency_per_instance=2, speculate=speculate)
        self.job = Job(
            name="j",
            deployment=Deployment(
                code_configuration=CodeConfiguration(code=str(folder / "code"), scoring_script="score.py"),
                settings=settings,
            ),
            input=Input(uri=str(folder / "in")),
            output=Output(folder=str(folder / "out")),
        )
        self.store = open_store(str(folder / "job"))
        ledger.open("j", epoch="1", lease_seconds=5, error_threshold=-1)
        writer = ManifestWriter(self.store)
        listed = (Item(name=f"{number:03d}", size=1) for number in range(ITEMS))
        for chunk in filter(None, [*(writer.add(batch) for batch in cut(listed, 1)), writer.close()]):
            size = chunk.size
            ledger.extend("j", first=chunk.first, count=chunk.count, items=chunk.items, size=size, closed=False)
        ledger.extend("j", first=ITEMS, count=0, items=0, size=0, closed=True)

    def run(self) -> int:
        """Let instances work until all is scored; return how many it took."""
        settings = ProcessSettings.read({**os.environ, "GRISTMILL_SCRATCH": str(self.folder / "scratch")})
        deadline = time.monotonic() + 120
        started = 0
        while self.ledger.snapshot("j").state != "scored":
            assert time.monotonic() < deadline, self.ledger.snapshot("j")
            assignment = Assignment(
                job=self.job,
                folder=self.store,
                slot=0,
                ledger=self.ledger,
                settings=settings,
                drain=threading.Event(),
                share=1,
            )
            started += 1
            thread = threading.Thread(target=Instance(assignment).run, daemon=True)
            thread.start()
            thread.join(deadline - time.monotonic())
            assert not thread.is_alive(), (self.ledger.snapshot("j"), stacks())
        return started

    def rows(self) -> list[str]:
        """What counts, of all parts."""
        found: list[str] = []
        for part, ranges in self.ledger.parts("j"):
            with PartReader(self.store, part) as reader:
                for block in reader.blocks():
                    if any(first <= block.mini_batch <= last for first, last in ranges):
                        found.append(f"{block.mini_batch:03d}")
                        assert block.succeeded == 1
        return sorted(found)


@pytest.fixture
def make(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    ledgers: list[Forgetful] = []

    def make(*loses: tuple[str, int], speculate: bool = False) -> Bench:
        ledgers.append(Forgetful(redis_url, *loses))
        return Bench(tmp_path, ledgers[-1], speculate=speculate)

    yield make
    for ledger in ledgers:
        ledger.close_client()


@pytest.mark.parametrize("speculate", [False, True])
@pytest.mark.parametrize("number", [0, 1])
def test_a_commit_that_is_forgotten_is_made_good(make, number, speculate) -> None:
    bench = make(("commit", number), speculate=speculate)

    assert bench.run() == 1

    assert len(bench.ledger.lost) == 1
    assert bench.ledger.lost[0].accepted
    assert bench.rows() == [f"{number:03d}" for number in range(ITEMS)]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_lease_that_is_forgotten_is_made_good(make, number) -> None:
    bench = make(("lease", number))

    assert bench.run() <= 2

    assert len(bench.ledger.lost) == 1
    assert bench.rows() == [f"{number:03d}" for number in range(ITEMS)]


def test_all_that_a_server_forgets_is_made_good(make) -> None:
    bench = make(("lease", 1), ("commit", 0), ("lease", 4), ("commit", 1), ("commit", 3))

    bench.run()

    assert len(bench.ledger.lost) >= 3
    assert bench.rows() == [f"{number:03d}" for number in range(ITEMS)]

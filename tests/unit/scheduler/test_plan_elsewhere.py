"""Two planners of one job, as when a scheduler slept and another took over: the later goes on behind the earlier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gristmill.spec import Deployment, Input, Job, Output, Settings
from gristmill_scheduler import plan as plan_module
from gristmill_scheduler.plan import Planner
from gristmill_storage.ledger import MemoryLedger
from gristmill_storage.listing import Item
from gristmill_storage.manifest import ManifestReader, ManifestWriter, cut
from gristmill_storage.memory_store import MemoryStore

ITEMS = [Item(f"{number:03d}", 1) for number in range(20)]


def test_a_plan_that_another_planner_cut_elsewhere_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(
        name="j",
        deployment=Deployment(settings=Settings(mini_batch_size=1)),
        input=Input(uri="in"),
        output=Output(folder="out"),
    )
    folder, ledger = MemoryStore(), MemoryLedger()
    ledger.open("j", epoch="1", lease_seconds=9, error_threshold=-1)
    others: list[None] = []

    def listing(*_: Any, **__: Any) -> Iterator[Item]:
        for item in ITEMS:
            if item.name == "003" and not others:
                others.append(None)
                writer = ManifestWriter(folder)
                for mini_batch in cut(ITEMS[:2], size=1, max_bytes=None, first=0):
                    writer.add(mini_batch)
                writer.flush()
            yield item

    monkeypatch.setattr(plan_module, "list_input", listing)
    planner = Planner(job, folder, ledger)
    planner.start()
    planner._thread.join(10)
    planner.check()

    spans = ManifestReader(folder).spans()
    assert spans[0] == (0, 1)
    planned = [item for mini_batch in ManifestReader(folder).mini_batches() for item in mini_batch.items]
    assert planned == [item.name for item in ITEMS]
    snapshot = ledger.snapshot("j")
    assert (snapshot.planned, snapshot.plan_closed) == (20, True)

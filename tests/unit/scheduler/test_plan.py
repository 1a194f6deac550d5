from __future__ import annotations

import itertools
import threading

import pytest

from gristmill.errors import StorageFailed
from gristmill_scheduler import plan as plan_module
from gristmill_scheduler.plan import Planner
from gristmill_scheduler.rebuild import rebuild
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Lease
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.listing import list_input
from gristmill_storage.manifest import ManifestReader


def test_the_first_mini_batches_can_be_leased_while_the_listing_goes_on(make_job, monkeypatch) -> None:
    job = make_job(count=2000, mini_batch_size=1)
    ledger = MemoryLedger()
    ledger.open(job.name, epoch="1", lease_seconds=30, error_threshold=-1)
    ledger.register(job.name, instance="i", info={})
    go_on = threading.Event()

    def slow(*arguments, **options):
        for number, item in enumerate(list_input(*arguments, **options)):
            if number == 1000:
                assert go_on.wait(10)
            yield item

    monkeypatch.setattr(plan_module, "list_input", slow)
    planner = Planner(job, open_store(job_folder.url(job.output.folder, job.name)), ledger)
    planner.start()
    ledger.wait(job.name, 5)
    while not isinstance(lease := ledger.lease(job.name, instance="i", limit=5), Lease):
        planner.check()

    assert not ledger.snapshot(job.name).plan_closed
    assert lease.first == 0
    go_on.set()
    planner._thread.join(10)
    snapshot = ledger.snapshot(job.name)
    assert snapshot.plan_closed
    assert (snapshot.planned, snapshot.items_planned) == (2000, 2000)


def test_a_plan_that_was_ended_goes_on_where_it_was(make_job, monkeypatch) -> None:
    job = make_job(count=500, mini_batch_size=3)
    folder = open_store(job_folder.url(job.output.folder, job.name))

    def plan() -> None:
        ledger = MemoryLedger()
        ledger.open(job.name, epoch="1", lease_seconds=30, error_threshold=-1)
        rebuild(job, folder, ledger, lease_seconds=30)
        Planner(job, folder, ledger)._plan()

    def breaking(*arguments, **options):
        yield from itertools.islice(list_input(*arguments, **options), 250)
        raise StorageFailed("the share is away")

    monkeypatch.setattr(plan_module, "list_input", breaking)
    with pytest.raises(StorageFailed):
        plan()
    assert ManifestReader(folder).spans()
    assert ManifestReader(folder).totals() is None

    monkeypatch.setattr(plan_module, "list_input", list_input)
    plan()

    manifest = ManifestReader(folder)
    items = [item for mini_batch in manifest.mini_batches() for item in mini_batch.items]
    assert items == [f"{number:04d}.txt" for number in range(500)]
    assert manifest.totals() is not None

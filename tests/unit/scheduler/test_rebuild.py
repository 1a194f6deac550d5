from __future__ import annotations

import pytest

from gristmill.errors import LedgerLost, StorageFailed
from gristmill_scheduler.rebuild import new_epoch, rebuild
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.manifest import Item, ManifestWriter, cut
from gristmill_storage.parts import Block, PartWriter, part_name


@pytest.fixture
def folder(tmp_path):
    """A job's folder with a plan of five mini-batches."""
    store = open_store(str(tmp_path / "job"))
    writer = ManifestWriter(store)
    for mini_batch in cut((Item(f"{n}.txt") for n in range(10)), 2):
        writer.add(mini_batch)
    writer.close()
    return store


def part(store, epoch: str, failed: dict[int, int]) -> str:
    """Write a part with the mini-batches given, each with so many of its two items failed."""
    name = part_name(epoch, min(failed), "node", 1)
    writer = PartWriter(store, name)
    for number, count in failed.items():
        writer.add(
            Block(mini_batch=number, attempt=1, items=2, succeeded=2 - count, failed=count, rows=0, seconds=0.0), b""
        )
    writer.seal()
    return name


def rebuilt(job, folder, **options) -> MemoryLedger:
    ledger = MemoryLedger()
    rebuild(job, folder, ledger, lease_seconds=30, **options)
    return ledger


def test_what_parts_hold_is_done_and_the_rest_is_to_do(make_job, folder) -> None:
    part(folder, "1", {0: 0, 3: 1})
    job = make_job()

    snapshot = rebuilt(job, folder).snapshot(job.name)

    assert (snapshot.planned, snapshot.plan_closed, snapshot.items_planned) == (5, True, 10)
    assert (snapshot.done, snapshot.succeeded, snapshot.failed) == (2, 3, 1)
    assert snapshot.state == "open"


def test_the_first_part_by_name_wins(make_job, folder) -> None:
    second, first = part(folder, "2", {0: 0, 1: 0}), part(folder, "1", {0: 0})
    job = make_job()

    assert dict(rebuilt(job, folder).parts(job.name)) == {first: [(0, 0)], second: [(1, 1)]}


def test_a_success_wins_over_a_failure_whichever_comes_first(make_job, folder) -> None:
    failed, good = part(folder, "1", {0: 2, 1: 2}), part(folder, "2", {0: 0})
    job = make_job()

    assert dict(rebuilt(job, folder).parts(job.name)) == {good: [(0, 0)], failed: [(1, 1)]}


def test_what_failed_can_be_asked_for_again(make_job, folder) -> None:
    part(folder, "1", {0: 0, 1: 1, 2: 2})
    job = make_job()

    snapshot = rebuilt(job, folder, retry_failed=True).snapshot(job.name)

    assert (snapshot.done, snapshot.failed) == (1, 0)


def test_a_damaged_part_is_scored_again(make_job, folder) -> None:
    name = part(folder, "1", {0: 0})
    path = folder.local_path(job_folder.part_path(name))
    path.write_bytes(path.read_bytes()[:-1])
    job = make_job()

    assert rebuilt(job, folder).snapshot(job.name).done == 0


def test_a_job_whose_parts_hold_everything_is_scored(make_job, folder) -> None:
    part(folder, "1", dict.fromkeys(range(5), 0))
    job = make_job()

    assert rebuilt(job, folder).snapshot(job.name).state == "scored"


def test_an_epoch_follows_all_of_the_parts_even_when_the_clock_went_back(make_job, folder) -> None:
    part(folder, "9999999999998", {0: 0})
    job = make_job()

    assert rebuilt(job, folder).snapshot(job.name).epoch == "9999999999999"


def test_epochs_that_are_no_moments_do_not_count(folder) -> None:
    part(folder, "later", {0: 0})

    assert new_epoch(folder).isdecimal()


@pytest.mark.parametrize("taken", [True, False])
def test_a_job_that_an_aggregator_ended_meanwhile_is_not_opened(make_job, folder, monkeypatch, taken) -> None:
    name = part(folder, "1", {0: 0})
    job, ledger = make_job(), MemoryLedger()
    adopt = ledger.adopt

    def end(*arguments, **options) -> None:
        adopt(*arguments, **options)
        folder.replace(job_folder.RESULT, b"{}")
        if taken:
            folder.delete(job_folder.part_path(name))
            raise StorageFailed("a part is gone")

    monkeypatch.setattr(ledger, "adopt", end)

    with pytest.raises(LedgerLost):
        rebuild(job, folder, ledger, lease_seconds=30)

    with pytest.raises(LedgerLost):
        ledger.snapshot(job.name)

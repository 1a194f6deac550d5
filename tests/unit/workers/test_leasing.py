from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill.spec import Deployment, Settings, Tuning
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Lease
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.manifest import Item, ManifestReader, ManifestWriter, cut
from gristmill_workers import leasing as leasing_module
from gristmill_workers.leasing import Leasing
from gristmill_workers.verdict import Retry
from gristmill_workers.work import Work

RETRY = Retry(category="exception", delay=0.0, message="no", traceback="")


class Ledger(MemoryLedger):
    """Notes how copies were asked for."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: self.now)
        self.now = 1000.0
        self.asked: list[float | None] = []

    def lease(self, job: str, *, copy_after: float | None = None, **more: Any) -> Any:
        self.asked.append(copy_after)
        return super().lease(job, copy_after=copy_after, **more)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    ledger = Ledger()
    monkeypatch.setattr(leasing_module.time, "monotonic", lambda: ledger.now)
    return ledger


@pytest.fixture
def make(tmp_path: Path, ledger: Ledger):
    store = open_store(str(tmp_path / "job"))

    def make(
        *, ahead: int | None = None, scorers: int = 2, fixed: int | None = None, instances: int = 2, **changes: Any
    ) -> Leasing:
        tuning = Tuning(lease_mini_batches=fixed)
        settings = Settings(max_concurrency_per_instance=scorers, mini_batch_size=2, tuning=tuning, **changes)
        deployment = Deployment(instance_count=instances, settings=settings)
        return Leasing(ledger, job="j", instance="i", folder=store, deployment=deployment, ahead=ahead)

    writer = ManifestWriter(store)
    for batch in cut((Item(name=f"{n:03d}", size=1) for n in range(20)), 2):
        assert writer.add(batch) is None
    writer.close()
    ledger.open("j", epoch="1", lease_seconds=30, error_threshold=-1)
    ledger.extend("j", first=0, count=10, items=20, size=20, closed=True)
    ledger.register("j", instance="i", info={})
    return make


def numbers(works: list[Work]) -> list[int]:
    return [work.number for work in works]


def test_as_many_are_leased_as_the_pace_asks_for(make) -> None:
    leasing = make()

    first = leasing.more(0, None, idle=True)
    assert first is not None
    assert (numbers(first.works), first.losses) == ([0, 1], 0)
    assert (first.works[0].items, first.works[0].attempt, first.works[0].alone) == (("000", "001"), 1, False)
    more = leasing.more(1, 0.2, idle=False)
    assert more is not None
    assert numbers(more.works) == [2, 3, 4]
    assert leasing.more(4, 0.2, idle=False) is None


def test_a_lease_is_at_most_twice_the_one_before_however_quick_the_first_mini_batches_were(make) -> None:
    leasing, held, leased = make(), 0, []

    while held < 10:
        found = leasing.more(held, 1e-5 if held else None, idle=False)
        assert found is not None
        held += len(found.works)
        leased.append(held)

    assert leased == [2, 4, 8, 10]


def test_thousands_are_leased_after_a_few_calls(make, ledger) -> None:
    leasing = make()
    limits = []
    lease = ledger.lease

    def count(job: str, *, limit: int, **more: Any) -> Any:
        limits.append(limit)
        return lease(job, limit=1, **more)

    ledger.lease = count
    while len(limits) < 10:
        assert leasing.more(0, 5e-5, idle=False) is not None
        leasing.soon()
    assert limits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]


def test_an_only_instance_keeps_what_it_has_whatever_the_pace(make) -> None:
    assert make(instances=1).surplus(1000, 0.25) == 0
    assert make(instances=2).surplus(1000, 0.25) == 996


def test_what_is_too_much_by_the_pace_now_known_is_named_and_goes_back_as_one_range(make, ledger) -> None:
    leasing = make()
    leasing.more(0, None, idle=True)
    more = leasing.more(2, 1e-5, idle=False)
    most = leasing.more(4, 1e-5, idle=False)
    assert more is not None
    assert most is not None

    assert leasing.surplus(8, 0.25) == 0
    assert leasing.surplus(9, 0.25) == 5
    assert leasing.surplus(8, None) == 6
    leasing.give_back(reversed(most.works))

    assert ledger.snapshot("j").returned == len(most.works) == 4
    ledger.register("j", instance="other", info={})
    taken = ledger.lease("j", instance="other", limit=10)
    assert (taken.first, taken.last) == (4, 7)


def test_more_are_leased_where_items_are_fetched_ahead(make) -> None:
    leasing = make(ahead=6)

    leased = [leasing.more(held, 10.0, idle=True) for held in (0, 2)]
    assert [each and numbers(each.works) for each in leased] == [[0, 1], [2, 3, 4, 5, 6]]


@pytest.mark.parametrize("pace", [10.0, 1e-6])
def test_no_more_is_fetched_ahead_than_a_disk_should_hold_whatever_the_pace(make, monkeypatch, pace: float) -> None:
    monkeypatch.setattr("gristmill_workers.leasing.FETCH_BYTES", 3)  # a mini-batch has two
    leasing = make(ahead=6)

    leased = [leasing.more(held, pace, idle=True) for held in (0, 2, 5)]
    assert [each and numbers(each.works) for each in leased] == [[0, 1], [2, 3, 4], None]


def test_nothing_to_lease_is_asked_for_again_after_a_while_or_when_something_changed(make, ledger) -> None:
    leasing = make()
    ledger.lease("j", instance="i", limit=10)
    ledger.asked.clear()

    for _ in range(3):
        assert leasing.more(0, None, idle=True) is None
    assert len(ledger.asked) == 1
    leasing.soon()
    assert leasing.more(0, None, idle=True) is None
    ledger.now += 2
    assert leasing.more(0, None, idle=True) is None
    assert len(ledger.asked) == 3


def test_who_has_just_leased_asks_again_sooner_than_it_was_told(make, ledger) -> None:
    leasing = make(scorers=10)
    assert leasing.more(0, None, idle=True) is not None
    pauses = []

    for waited in (0.0, 0.4, 1.6, 10.0):
        ledger.now += waited
        leasing.soon()
        assert leasing.more(0, None, idle=True) is None
        pauses.append(round(leasing.pause, 6))

    assert pauses == [0.005, 0.1, 0.5, 1.0]  # the last is what the ledger said


def test_who_waits_for_a_plan_to_begin_asks_again_at_once_however_long_it_took_to_be_ready(make, ledger) -> None:
    leasing = make(scorers=10)
    ledger.lease("j", instance="i", limit=10)
    ledger.now += 60

    assert leasing.more(0, None, idle=True) is None
    assert round(leasing.pause, 6) == 0.005


@pytest.mark.parametrize("other", [{}, {"ahead": 6}, {"speculate": True}, {"split_files": True}])
def test_lines_are_handed_on_where_the_manifest_says_all(make, other: dict[str, Any]) -> None:
    leased = make(**other).more(0, None, idle=True)

    assert leased is not None
    lines = [work.line for work in leased.works[:2]]
    expected = [f'{{"n":{n},"items":["00{2 * n}","00{2 * n + 1}"],"bytes":2}}'.encode() for n in (0, 1)]
    assert lines == ([b"", b""] if other else expected)


def test_the_end_of_the_job_is_heard(make, ledger) -> None:
    leasing = make()
    ledger.stop("j", state="canceled", error=None)

    assert leasing.more(0, None, idle=True) is None
    assert leasing.state == "canceled"


def test_what_is_given_back_or_has_failed_is_leased_again(make, ledger) -> None:
    leasing = make()
    first = leasing.more(0, None, idle=True)
    assert first is not None
    leasing.give_back(first.works[:1])
    assert leasing.fail(first.works[1], RETRY)
    assert not leasing.fail(first.works[1], RETRY)

    ledger.now += 1
    again = [leasing.more(0, None, idle=True) for _ in range(2)]
    found = {work.number: work.attempt for leased in again if leased for work in leased.works}
    assert (found[0], found[1]) == (1, 2)


def hold_all(ledger: Ledger) -> None:
    ledger.register("j", instance="slow", info={})
    assert isinstance(ledger.lease("j", instance="slow", limit=10), Lease)
    ledger.asked.clear()
    ledger.now += 5


def test_copies_are_asked_for_by_idle_scorers_alone_and_only_where_they_are_wanted(make, ledger) -> None:
    hold_all(ledger)

    assert make().more(0, None, idle=True) is None
    assert make(speculate=True).more(1, None, idle=False) is None
    leased = make(speculate=True).more(1, 0.1, idle=True)

    assert ledger.asked == [None, None, 1.0]
    assert leased is not None
    assert numbers(leased.works) == [0]
    assert leased.works[0].alone
    assert leased.works[0].label == "0-1-c1"


def test_how_long_is_long_follows_the_pace(make, ledger) -> None:
    hold_all(ledger)

    assert make(speculate=True).more(0, 4.0, idle=True) is None

    assert ledger.asked == [8.0]


def test_every_copy_has_files_of_its_own(make, ledger) -> None:
    hold_all(ledger)
    leasing = make(speculate=True)

    leased = [leasing.more(0, 0.1, idle=True) for _ in range(2)]

    assert [one.works[0].label for one in leased if one] == ["0-1-c1", "1-1-c2"]


def test_after_a_copy_has_failed_there_is_none_for_a_while(make, ledger) -> None:
    hold_all(ledger)
    leasing = make(speculate=True)
    leased = leasing.more(0, 0.1, idle=True)
    assert leased is not None

    leasing.fail(leased.works[0], RETRY)
    assert leasing.more(0, 0.1, idle=True) is None
    ledger.now += 11

    assert leasing.more(0, 0.1, idle=True) is not None


def test_a_lease_is_as_large_as_the_settings_say(make) -> None:
    leasing = make(fixed=7)

    leased = leasing.more(0, None, idle=True)

    assert numbers(leased.works) == list(range(7))
    assert leasing.surplus(14, 100.0) == 0, "it is not the pace that decides"


def test_every_scorer_has_something_whatever_the_settings_say(make) -> None:
    assert len(make(fixed=1, scorers=3).more(0, None, idle=True).works) == 3


@pytest.mark.parametrize(
    ("changes", "pace", "amount", "words"),
    [
        ({}, None, 2, "2 mini-batches: none has been scored yet"),
        ({}, 0.002, 500, "500 mini-batches: 0.5 s of work of 2 scorers; a mini-batch takes 2 ms"),
        ({}, 9.0, 2, "2 mini-batches: the least there can be; a mini-batch takes 9 s"),
        ({}, 0.00005, 2048, "2,048 mini-batches: the most there can be; a mini-batch takes 50 us"),
        ({"fixed": 40}, 0.002, 40, "40 mini-batches: settings.tuning.lease_mini_batches; a mini-batch takes 2 ms"),
    ],
)
def test_the_size_of_a_lease_is_told_with_its_reason(make, changes, pace, amount, words) -> None:
    choice = make(**changes).choice(pace)

    assert (choice.what, choice.amount, choice.words) == ("lease size", amount, words)


def test_what_is_fetched_ahead_is_a_reason(make) -> None:
    leasing = make(ahead=20)
    leasing.more(0, None, idle=True)

    assert leasing.choice(1.0).words == "14 mini-batches: so many are fetched ahead; a mini-batch takes 1 s"


def test_when_nothing_is_left_no_instance_holds_much_that_others_could_do(tmp_path: Path) -> None:
    """Four instances, of which each begins a little later, score a mini-batch in every round until all are done."""
    store, ledger = open_store(str(tmp_path / "job")), MemoryLedger()
    writer = ManifestWriter(store)
    for batch in cut((Item(name=f"{n:03d}", size=1) for n in range(320)), 2):
        writer.add(batch)
    writer.close()
    ledger.open("j", epoch="1", lease_seconds=30, error_threshold=-1)
    for first, last in ManifestReader(store).spans():
        ledger.extend("j", first=first, count=last - first + 1, items=1, size=1, closed=last == 159)
    deployment = Deployment(instance_count=4, settings=Settings(mini_batch_size=2))
    instances = dict[str, Leasing]()
    for name in "abcd":
        ledger.register("j", instance=name, info={})
        instances[name] = Leasing(ledger, job="j", instance=name, folder=store, deployment=deployment, ahead=None)

    held, scored, idle = dict.fromkeys(instances, 0), 0, 0
    for turn in range(160):
        for begins, (name, leasing) in enumerate(instances.items()):
            if turn >= 3 * begins and scored < 160:
                leased = leasing.more(held[name], 0.025, idle=not held[name])
                held[name] += len(leased.works) if leased else 0
                idle += not held[name]
                scored, held[name] = scored + bool(held[name]), max(0, held[name] - 1)

    assert scored == 160
    assert idle == 0  # 5, where each leases half a second of work as long as there is some

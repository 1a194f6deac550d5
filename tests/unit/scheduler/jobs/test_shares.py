from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

import pytest

from gristmill_scheduler.jobs.shares import UNUSED_SECONDS, Claim, Place, Shares, entitlements

SLICE = 5.0
#: Seconds from a place to a scorer that is ready, and those that a mini-batch takes.
INIT = 0.5
MINI_BATCH = 2.0


@dataclass
class Job:
    """A job in a cluster of a test: `work` place-seconds of it are to be done, in mini-batches."""

    name: str
    wanted: int = 1
    weight: int = 2
    work: float = 1e9
    #: When each of its instances came, and whether it was asked to leave.
    places: list[list[float | bool]] = field(default_factory=list)
    served: float = 0.0
    waited: float = 0.0
    longest: float = 0.0
    share: int | None = None


class Cluster:
    """Places that jobs come to and leave as instances do, looked at once a second."""

    def __init__(self, slots: int, *jobs: Job) -> None:
        self.slots, self.jobs = slots, list(jobs)
        self.shares = Shares(seconds=SLICE)
        self.now = 0.0
        self.merging = 0
        self.over: list[str] = []
        self.changes = 0

    def claims(self) -> list[Claim]:
        return [
            Claim(
                job=job.name, weight=job.weight, wanted=job.wanted, places=[self._place(came) for came, _ in job.places]
            )
            for job in self.jobs
        ]

    def _place(self, came: float | bool) -> Place:
        ready = self.now - float(came) - INIT
        return Place(ready=ready if ready >= 0 else None, init=INIT)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self._second()

    def _second(self) -> None:
        given = self.shares.give(self.claims(), self.slots, self.now, merging=self.merging)
        for job in self.jobs:
            job.share = given[job.name]
        self._leave()
        self._come()
        self.now += 1
        for job in list(self.jobs):
            job.served += len(job.places)
            job.work -= len(job.places)
            job.waited = 0.0 if job.places else job.waited + 1
            job.longest = max(job.longest, job.waited)
            if job.work <= 0:
                self.jobs.remove(job)
                self.over.append(job.name)

    def _leave(self) -> None:
        for job in self.jobs:
            job.places.sort()
            surplus = 0 if job.share is None else len(job.places) - job.share
            for place in job.places[: max(0, surplus)]:
                place[1] = True
            kept = [place for place in job.places if not (place[1] and (self.now - place[0]) % MINI_BATCH == 0)]
            self.changes += len(job.places) - len(kept)
            job.places = kept

    def _come(self) -> None:
        free = self.slots - self.merging - sum(len(job.places) for job in self.jobs)
        for job in sorted(self.jobs, key=lambda job: len(job.places)):
            most = job.wanted if job.share is None else min(job.wanted, job.share)
            come = max(0, min(free, most - len(job.places)))
            job.places += [[self.now, False] for _ in range(come)]
            free -= come


def test_nobody_is_limited_where_there_is_room_for_all() -> None:
    cluster = Cluster(4, Job("a", wanted=3), Job("b"))
    cluster.run(20)

    assert [job.share for job in cluster.jobs] == [None, None]
    assert cluster.changes == 0
    assert cluster.shares.turn(cluster.now) is None


def test_a_job_alone_may_have_more_than_there_is_so_that_the_queue_shows_it() -> None:
    cluster = Cluster(2, Job("wide", wanted=9), Job("paused", wanted=0))
    cluster.run(20)

    assert [job.share for job in cluster.jobs] == [None, None]


def test_a_small_job_has_the_place_of_a_huge_one_within_a_slice_and_the_huge_one_goes_on() -> None:
    huge, small = Job("huge"), Job("small", work=3)
    cluster = Cluster(1, huge)
    cluster.run(100)
    assert huge.share is None
    cluster.jobs.append(small)
    cluster.run(2)
    assert small.places
    cluster.run(4)

    assert cluster.over == ["small"]
    cluster.run(4)
    assert huge.places
    assert huge.share is None


def test_a_job_that_has_just_come_to_its_place_keeps_it_for_a_slice() -> None:
    huge, small = Job("huge"), Job("small")
    cluster = Cluster(1, huge)
    cluster.run(1)
    cluster.jobs.append(small)
    cluster.run(1)
    assert (huge.share, small.share) == (1, 0)
    assert cluster.shares.turn(cluster.now) == pytest.approx(SLICE - 1.5)

    cluster.run(6)

    assert huge.share == 0
    assert small.share == 1


def test_a_place_is_worth_at_least_five_times_what_its_init_took() -> None:
    place = Place(ready=40.0, init=10.0)

    assert place.stays(SLICE) == 10.0
    assert Place(ready=51.0, init=10.0).stays(SLICE) == 0.0
    assert Place(ready=None).stays(SLICE) == SLICE
    assert Place(ready=4.0, init=0.1).stays(SLICE) == 1.0


def test_a_hundred_small_jobs_and_a_huge_one_all_go_on() -> None:
    huge = Job("huge", wanted=4)
    small = [Job(f"s{number}", work=4) for number in range(100)]
    cluster = Cluster(2, huge)
    cluster.run(20)
    waiting = list(small)
    while len(cluster.over) < 100:
        # As many are led at a time.
        while waiting and len(cluster.jobs) < 16:
            cluster.jobs.append(waiting.pop(0))
        cluster.run(1)
        assert cluster.now < 1500

    assert huge.longest < 100
    assert huge.served > 50
    assert max(job.longest for job in small) < 120
    cluster.run(20)
    assert len(huge.places) == 2


@pytest.mark.parametrize(("slots", "wanted"), [(1, 1), (3, 3), (7, 7), (20, 20)])
def test_priorities_have_their_parts_of_a_minute_or_two(slots: int, wanted: int) -> None:
    low, medium, high = (Job(str(weight), wanted=wanted, weight=weight) for weight in (1, 2, 4))
    cluster = Cluster(slots, low, medium, high)
    cluster.run(60)
    early = [job.served for job in (low, medium, high)]
    cluster.run(300)

    assert early[0] < early[1] < early[2]
    total = sum(job.served for job in cluster.jobs)
    assert [job.served / total for job in (low, medium, high)] == pytest.approx([1 / 7, 2 / 7, 4 / 7], abs=0.06)


def test_what_one_does_not_want_goes_to_the_others() -> None:
    small, wide, wider = Job("small"), Job("wide", wanted=9), Job("wider", wanted=9)
    cluster = Cluster(7, wide, small, wider)
    cluster.run(60)

    assert small.served == pytest.approx(60, abs=1)
    assert [job.share for job in cluster.jobs] == [3, 1, 3]
    assert cluster.changes <= 3


def test_who_wanted_little_for_long_saves_nothing_up() -> None:
    modest, wide = Job("modest"), Job("wide", wanted=8)
    cluster = Cluster(4, modest, wide)
    cluster.run(600)
    more = [Job(f"m{number}") for number in range(6)]
    cluster.jobs += more
    wide.longest = 0.0
    cluster.run(60)

    assert wide.longest < 25


def test_a_job_that_is_paused_gives_its_place_to_one_that_waits() -> None:
    paused, other = Job("paused"), Job("other")
    cluster = Cluster(1, paused)
    cluster.run(10)
    paused.wanted = 0
    cluster.run(10)
    assert paused.places  # nobody waits for it
    cluster.jobs.append(other)
    cluster.run(4)

    assert other.places
    assert paused.places == []


def test_an_aggregator_comes_before_all_who_score() -> None:
    huge = Job("huge", wanted=2)
    cluster = Cluster(2, huge)
    cluster.run(20)
    cluster.merging = 1
    cluster.run(4)
    assert (len(huge.places), huge.share) == (1, 1)
    cluster.merging = 2
    cluster.run(8)
    assert (len(huge.places), huge.share) == (0, 0)

    cluster.merging = 0
    cluster.run(2)

    assert (len(huge.places), huge.share) == (2, None)


def test_places_that_vanish_and_come_back_are_shared_anew() -> None:
    one, other = Job("one", wanted=4), Job("other", wanted=4)
    cluster = Cluster(8, one, other)
    cluster.run(20)
    assert (one.share, other.share) == (None, None)
    cluster.slots = 2
    one.places, other.places = one.places[:2], []
    cluster.run(30)
    assert (len(one.places), len(other.places)) == (1, 1)

    cluster.slots, one.places, other.places = 0, [], []
    cluster.run(3)
    assert (one.share, other.share) == (None, None)
    cluster.slots = 8
    cluster.run(3)

    assert (one.share, other.share) == (None, None)
    assert (len(one.places), len(other.places)) == (4, 4)


def test_a_place_that_its_job_does_not_take_is_for_others_for_a_while() -> None:
    able, unable = Job("able"), Job("unable")
    shares = Shares(seconds=SLICE)
    claims = [Claim(job=job.name, weight=2, wanted=1) for job in (unable, able)]
    now = 0.0
    given = shares.give(claims, 1, now)
    assert given == {"unable": 1, "able": 0}
    while shares.give(claims, 1, now)["able"] == 0:
        now += 1
        assert now < 3 * UNUSED_SECONDS

    assert now == pytest.approx(UNUSED_SECONDS, abs=2)
    now += 3
    claims[1] = Claim(job="able", weight=2, wanted=1, places=[Place(ready=2.0)])
    shares.give(claims, 1, now)
    # And the other one has another try when that one has had its slice.
    now += 3 * UNUSED_SECONDS
    claims[1] = Claim(job="able", weight=2, wanted=1, places=[Place(ready=32.0)])
    assert shares.give(claims, 1, now)["unable"] == 1


def test_who_begins_to_share_does_so_with_no_more_than_the_ledger_tells() -> None:
    claims = [
        Claim(job="huge", weight=2, wanted=3, places=[Place(ready=100.0), Place(ready=90.0), Place(ready=1.0)]),
        Claim(job="small", weight=2, wanted=1),
    ]

    assert Shares(seconds=SLICE).give(claims, 3, 1000.0) == {"huge": 2, "small": 1}


@pytest.mark.parametrize(
    ("wanted", "weights", "room", "owed"),
    [
        ([9, 9], [2, 2], 3, [Fraction(3, 2), Fraction(3, 2)]),
        ([9, 9, 9], [1, 2, 4], 7, [1, 2, 4]),
        ([1, 9, 9], [4, 2, 2], 5, [1, 2, 2]),
        ([0, 9], [4, 1], 3, [0, 3]),
        ([1, 1], [2, 2], 0, [0, 0]),
        ([1, 1], [2, 2], 5, [1, 1]),
        ([2, 8, 8], [1, 1, 4], 10, [Fraction(10, 6), Fraction(10, 6), Fraction(40, 6)]),
    ],
)
def test_what_is_owed_is_weighted_max_min_fair(
    wanted: list[int], weights: list[int], room: int, owed: list[Fraction]
) -> None:
    claims = [
        Claim(job=str(number), weight=weight, wanted=want)
        for number, (weight, want) in enumerate(zip(weights, wanted, strict=True))
    ]
    found = entitlements(claims, room)

    assert [found[str(number)] for number in range(len(claims))] == owed
    assert sum(found.values()) == min(room, sum(wanted))


def test_no_more_is_given_than_there_is_save_what_stays_for_now() -> None:
    cluster = Cluster(3, *(Job(f"j{number}", wanted=number % 4 + 1, weight=2 ** (number % 3)) for number in range(9)))
    seen: Counter[str] = Counter()
    for _ in range(300):
        cluster.run(1)
        given = {job.name: job.share or 0 for job in cluster.jobs}
        staying = {claim.job: claim.staying(SLICE) for claim in cluster.claims()}
        assert sum(count for job, count in given.items() if count > staying[job]) <= 3
        seen.update(job.name for job in cluster.jobs if job.places)

    assert len(seen) == 9
    assert max(job.longest for job in cluster.jobs) < 90

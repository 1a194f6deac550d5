"""How jobs share the places of a compute: weighted, in whole instances, and in turns where there are too few.

Pure: given who wants what and who has what, and the time, it says how many instances each job may have. Nothing is
limited while there is room for all. Where there is not, each job is owed what is weighted max-min fair: places go round
by weight, none gets more than it wants. What is owed is seldom whole. The whole places of it are given as such; what is
left goes in turns, to those first who have had the least for their weight, in seconds of places ("virtual time"). So
jobs take turns also where there are fewer places than jobs. Who comes anew begins with what each would have had until
then if places could be cut to any size: with the least that anybody had, a stream of small jobs would keep the others
waiting for ever.

A place is taken from a job only when others are owed it, and only after a slice: once ready, an instance stays for that
long, and for some times as long as its init() took, so that beginning anew never costs more than a small part of the
work. One that is not ready stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from gristmill.spec import Priority

#: How many places a job gets where others get theirs.
WEIGHTS: Final[Mapping[Priority, int]] = {Priority.LOW: 1, Priority.MEDIUM: 2, Priority.HIGH: 4}

#: How many times as long as its init() an instance stays at least.
INIT_FACTOR: Final = 5

#: Seconds after which a free place that its job does not take is for others, for as long.
UNUSED_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """An instance that works for a job, or is about to."""

    #: Seconds since it was ready to score; None: it is not.
    ready: float | None
    #: Seconds that its init() took.
    init: float = 0.0

    def stays(self, seconds: float) -> float:
        """Return for how many seconds more nobody takes it from its job, where a slice lasts so many; 0: not at all."""
        least = max(seconds, INIT_FACTOR * self.init)
        return least if self.ready is None else max(0.0, least - self.ready)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One job at a moment."""

    job: str
    weight: int
    #: Instances that it has use for.
    wanted: int
    places: Sequence[Place] = ()

    def staying(self, seconds: float) -> int:
        """Return how many of its places nobody takes from it now."""
        return sum(place.stays(seconds) > 0 for place in self.places)


@dataclass(kw_only=True)
class _Account:
    """What is remembered of a job."""

    #: Seconds of places that it had, by its weight.
    virtual: float
    #: How many instances it may have; None: any number.
    given: int | None = 0
    #: Since when a place is free that it may have and does not take; None: there is none.
    unused: float | None = None
    #: Until when what it does not take is for others.
    passed_over: float = float("-inf")


@dataclass(kw_only=True)
class Shares:
    """The shares of one compute, and what is to be remembered for the next ones."""

    #: Seconds that an instance has its place for at least.
    seconds: float
    _accounts: dict[str, _Account] = field(default_factory=dict)
    _before: float | None = None
    #: The virtual time of a job that always has exactly what it is owed, and how fast that goes.
    _virtual: float = 0.0
    _pace: float = 0.0
    #: When the next place changes hands; None: nobody waits for one.
    _turn: float | None = None

    def give(self, claims: Sequence[Claim], slots: int, now: float, *, merging: int = 0) -> dict[str, int | None]:
        """Return how many instances each job may have; None: as many as it likes.

        Args:
            claims: the jobs to be scored that were begun on the compute, in the order in which equals are served.
            slots: what the compute runs at once; 0: nobody knows, and nothing is limited.
            now: seconds, by a clock that only goes forward.
            merging: jobs that have or need a place for their aggregator; they come before all others.

        """
        room = max(0, slots - merging)
        self._note(claims, room, now)
        claims = [self._without_unused(claim, now) for claim in claims]
        self._turn = None
        needs = [need for claim in claims if (need := max(claim.wanted, len(claim.places)))]
        if not slots or sum(needs) <= room or (len(needs) == 1 and not merging):
            self._virtual = self._pace = 0.0
            for account in self._accounts.values():
                account.virtual, account.given = 0.0, None
        else:
            owed = entitlements(claims, room)
            self._level(claims, owed)
            for job, given in self._whole(claims, owed, room, now).items():
                self._accounts[job].given = given
        return {claim.job: self._accounts[claim.job].given for claim in claims}

    def turn(self, now: float) -> float | None:
        """Return the seconds until the next place changes hands; None: nobody waits for one."""
        return None if self._turn is None else max(0.0, self._turn - now)

    def _note(self, claims: Sequence[Claim], room: int, now: float) -> None:
        """Note what time has passed and who had which places meanwhile; forget who is gone."""
        passed = now - self._before if self._before is not None else 0.0
        self._before = now
        self._virtual += passed * self._pace
        known = {claim.job: self._accounts[claim.job] for claim in claims if claim.job in self._accounts}
        free = room - sum(len(claim.places) for claim in claims)
        for claim in claims:
            account = known.setdefault(claim.job, _Account(virtual=self._virtual))
            account.virtual += passed * len(claim.places) / claim.weight
            lacks = account.given is not None and len(claim.places) < min(account.given, claim.wanted)
            account.unused = (now if account.unused is None else account.unused) if lacks and free > 0 else None
            if account.unused is not None and now - account.unused >= UNUSED_SECONDS:
                account.unused, account.passed_over = None, now + UNUSED_SECONDS
        self._accounts = known

    def _without_unused(self, claim: Claim, now: float) -> Claim:
        """Return a claim without the places that its job does not take."""
        if self._accounts[claim.job].passed_over <= now:
            return claim
        return Claim(job=claim.job, weight=claim.weight, wanted=len(claim.places), places=claim.places)

    def _level(self, claims: Sequence[Claim], owed: Mapping[str, Fraction]) -> None:
        """Let nobody save up for later by wanting little: who is owed all that it wants counts as served."""
        short = [claim for claim in claims if owed[claim.job] < claim.wanted]
        self._pace = max((float(owed[claim.job] / claim.weight) for claim in short), default=0.0)
        for claim in claims:
            if owed[claim.job] == claim.wanted:
                account = self._accounts[claim.job]
                account.virtual = max(account.virtual, self._virtual)

    def _whole(self, claims: Sequence[Claim], owed: Mapping[str, Fraction], room: int, now: float) -> dict[str, int]:
        """Return what is owed in whole places; what is left of them goes in turns. Nobody loses one before its time."""
        given = {claim.job: int(owed[claim.job]) for claim in claims}
        staying = {claim.job: claim.staying(self.seconds) for claim in claims}
        takers = sorted(
            (claim for claim in claims if owed[claim.job] > given[claim.job]),
            key=lambda claim: (
                staying[claim.job] <= given[claim.job],
                self._accounts[claim.job].virtual,
                len(claim.places) > given[claim.job],
            ),
        )
        self._turn = self._next_turn(claims, given, now)
        for claim in takers[: room - sum(given.values())]:
            given[claim.job] += 1
        return {job: max(count, staying[job]) for job, count in given.items()}

    def _next_turn(self, claims: Sequence[Claim], given: Mapping[str, int], now: float) -> float | None:
        """Return when the first place becomes one that its job may lose."""
        stays = (
            now + place.stays(self.seconds)
            for claim in claims
            if len(claim.places) > given[claim.job]
            for place in claim.places
        )
        return min(stays, default=None)


def entitlements(claims: Sequence[Claim], room: int) -> dict[str, Fraction]:
    """Return what each job is owed: by weight, none more than it wants, all there is where enough is wanted."""
    owed: dict[str, Fraction] = {}
    left, weight = Fraction(room), sum(claim.weight for claim in claims)
    for claim in sorted(claims, key=lambda claim: Fraction(claim.wanted, claim.weight)):
        owed[claim.job] = min(Fraction(claim.wanted), left * claim.weight / weight)
        left -= owed[claim.job]
        weight -= claim.weight
    return owed

"""What an instance counts and times beside the sums of its results: it goes to the ledger with the parts that count.

A tally is a whole number under a name. Durations are kept as a histogram: `<phase>:<upper bound>` counts how many took
so many seconds at most and longer than the bound before, `<phase>:us` sums them up in microseconds. The bound stands in
the name, so that two versions with other bounds may work for one job.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from gristmill_storage.part_format import Block

#: What is timed. `run`: run() of a mini-batch that counts. `fetch`: a mini-batch's items, from its lease until they are
#: on the machine. `queue`: a mini-batch, from its lease until a scorer is given it. `commit`: a part, until it is
#: durable. `init`: init() of a scorer.
Phase: TypeAlias = Literal["run", "fetch", "queue", "commit", "init"]

PHASES: Final[tuple[Phase, ...]] = get_args(Phase)

#: Upper bounds in seconds; the last one is without end.
BOUNDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)

#: What scorers do beside run(), in microseconds: `scorers:encode`, they write rows; `scorers:fetch` and
#: `scorers:commit`, they have nothing to do because inputs are on their way, or the disk is waited for.
BESIDE: Final = "scorers"

#: Faults of storage that may pass, each time that something was tried.
STORAGE_FAULTS: Final = "storage:faults"

#: The items that failed for good, by category; `UNKNOWN` where only their number is known.
FAILED: Final = "item"
UNKNOWN: Final = "unknown"

_BUCKETS: Final[Mapping[str, tuple[str, ...]]] = {
    phase: (*(f"{phase}:{bound:g}" for bound in BOUNDS), f"{phase}:inf") for phase in PHASES
}
_BOUNDS_US: Final = tuple(round(bound * 1e6) for bound in BOUNDS)
_SUMS: Final[Mapping[str, str]] = {phase: f"{phase}:us" for phase in PHASES}


class Tallies:
    """Counts until they are taken; safe to share between threads."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._amounts: Counter[str] = Counter()

    def timed(self, phase: Phase, seconds: float, times: int = 1) -> None:
        """Count something that took so long, or several that took that each."""
        with self._lock:
            _time(self._amounts, phase, seconds, times)

    def beside(self, what: Literal["encode", "fetch", "commit"], seconds: float) -> None:
        """Count seconds of scorers that they did not spend in run()."""
        with self._lock:
            self._amounts[f"{BESIDE}:{what}"] += round(seconds * 1e6)

    def storage_fault(self) -> None:
        """Count a fault of storage."""
        with self._lock:
            self._amounts[STORAGE_FAULTS] += 1

    def take(self) -> str:
        """Return what was counted since the last time, as `encode` writes it."""
        with self._lock:
            amounts, self._amounts = self._amounts, Counter()
        return encode(amounts)


def count_outcome(amounts: Counter[str], block: Block) -> None:
    """Add what a mini-batch's outcome tells: the seconds of run(), where it came to an end, and its failed items."""
    if block.seconds > 0:
        _time(amounts, "run", block.seconds, 1)
    if block.failed:
        _count_failed(amounts, block)


def count_runs(amounts: Counter[str], microseconds: Sequence[int]) -> None:
    """Add what many outcomes tell of which no item failed: the microseconds of each run()."""
    ended = [spent for spent in microseconds if spent > 0]
    places = Counter([bisect_left(_BOUNDS_US, spent) for spent in ended])
    for place, times in places.items():
        amounts[_BUCKETS["run"][place]] += times
    if ended:
        amounts[_SUMS["run"]] += sum(ended)


def encode(amounts: Mapping[str, int]) -> str:
    """Return tallies as the ledger takes them: "name=number name=number"."""
    return " ".join([f"{name}={amount}" for name, amount in amounts.items()])


def _time(amounts: Counter[str], phase: str, seconds: float, times: int) -> None:
    amounts[_BUCKETS[phase][bisect_left(BOUNDS, seconds)]] += times
    amounts[_SUMS[phase]] += round(seconds * 1e6) * times


def _count_failed(amounts: Counter[str], block: Block) -> None:
    """Add the failed items by category; an error that names no file is about all the items that it lists."""
    left = block.failed
    for error in block.errors:
        items = min(left, 1 if error.get("file") is not None else len(error.get("items") or ("",)))
        if items:
            amounts[f"{FAILED}:{error.get('category', UNKNOWN)}"] += items
            left -= items
    if left:
        amounts[f"{FAILED}:{UNKNOWN}"] += left

"""What an instance chooses by itself, as the job's system log says it: how much, and why.

Each has a setting (`settings.tuning`). What follows the pace of the mini-batches is said when it is first chosen, and
again when it is another by more than twice; never for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gristmill.counts import counted
from gristmill.spec import Deployment, Settings
from gristmill_workers.collector import FIRST_SECONDS, LONGEST_SECONDS, PART_BLOCKS, PART_BYTES
from gristmill_workers.scorer_environment import MEMORY, THREADS, threads_of

#: How many times as much, or as little, is said again.
NEWS: Final = 2.0

#: What a time is told in, and how many a second has.
_UNITS: Final = (("s", 1), ("ms", 1e3), ("us", 1e6))

#: Lines that each choice may take in a log.
LINES: Final = 8


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen by the pace of the mini-batches."""

    what: str
    #: By which it is compared with what was chosen before.
    amount: int
    #: How much, and why.
    words: str


class Choices:
    """Says what is chosen while an instance works."""

    def __init__(self, say: Callable[[str], object]) -> None:
        """Take what writes a line."""
        self._say = say
        self._said: dict[str, list[float]] = {}

    def made(self, *choices: Choice) -> None:
        """Say what was chosen, unless that is no news."""
        for choice in choices:
            said = self._said.setdefault(choice.what, [])
            if len(said) < LINES and not (said and said[-1] / NEWS <= choice.amount <= said[-1] * NEWS):
                said.append(choice.amount)
                self._say(f"{choice.what}: {choice.words}{'; not said again' if len(said) == LINES else ''}")


def with_pace(words: str, pace: float | None) -> str:
    """Return words with the seconds that a mini-batch takes, which they follow from; None: nobody knows yet."""
    return words if pace is None else f"{words}; a mini-batch takes {told(pace)}"


def chosen_once(deployment: Deployment, *, cores: int, base: Mapping[str, str], ahead: int | None) -> Iterator[str]:
    """Yield what is chosen before the first mini-batch, a line each.

    Args:
        deployment: The deployment.
        cores: Cores that the instance may use.
        base: The node's environment, whose words on threads hold where the deployment has none.
        ahead: Items that are fetched ahead; None where none are fetched.

    """
    settings = deployment.settings
    yield f"threads a scorer: {_threads(deployment, cores, base)}"
    yield f"memory: {_memory(deployment, base)}"
    yield f"prefetch: {_prefetch(settings, ahead)}"
    yield f"flush: {_flush(settings)}"


def _threads(deployment: Deployment, cores: int, base: Mapping[str, str]) -> str:
    settings = deployment.settings
    scorers, threads = settings.max_concurrency_per_instance, threads_of(deployment, cores)
    if settings.tuning.threads_per_scorer is None:
        words = f"{threads}: {counted(scorers, 'scorer')} on {counted(cores, 'core')}"
        given = {**base, **deployment.environment_variables}
    else:
        words = f"{threads}: settings.tuning.threads_per_scorer"
        given = deployment.environment_variables
    return words + _but(THREADS, given)


def _memory(deployment: Deployment, base: Mapping[str, str]) -> str:
    kept = int(MEMORY["MALLOC_TRIM_THRESHOLD_"])
    words = f"glibc keeps {kept >> 20} MiB that a scorer freed: the next mini-batch need not ask the system for them"
    return words + _but(MEMORY, {**base, **deployment.environment_variables})


def _but(names: Iterable[str], given: Mapping[str, str]) -> str:
    """Return which of the variables are chosen by somebody else, in words."""
    others = [name for name in names if name in given]
    return f"; but {', '.join(others)} as the environment has it" if others else ""


def _prefetch(settings: Settings, ahead: int | None) -> str:
    if ahead is None:
        return "none: the items are on this machine"
    by = "enough for requests to a store to overlap"
    if settings.tuning.prefetch_items is not None:
        by = "settings.tuning.prefetch_items"
    return f"{counted(ahead, 'item')} ahead of the scorers: {by}"


def _flush(settings: Settings) -> str:
    size, why = f"{PART_BYTES >> 20} MiB", "little is scored again when a node is lost"
    if settings.tuning.flush_bytes is not None:
        size, why = counted(settings.tuning.flush_bytes, "byte"), "settings.tuning.flush_bytes"
    sooner = f"sooner after {FIRST_SECONDS:g} s, {LONGEST_SECONDS:g} s later in the job"
    return f"{size} of rows or {PART_BLOCKS} mini-batches: {why}; {sooner}"


def told(seconds: float) -> str:
    """Return a short time in words."""
    unit, factor = next(((unit, factor) for unit, factor in _UNITS if seconds * factor >= 1), _UNITS[-1])
    return f"{seconds * factor:.3g} {unit}"

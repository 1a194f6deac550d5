"""Product and limit in turn, again and again: what the machine does beside them falls on both."""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import sides
from benchmarks.cases import Case
from benchmarks.sides import Result

#: Runs a case on the data in a folder, with another folder for what it makes.
Side: TypeAlias = Callable[[Case, Path, Path], Result]


def compare(case: Case, data: Path, runs: int, product: Side = sides.product) -> dict[str, Any]:
    """Run both sides of a case in turn; return every figure, and what they come to.

    Raises:
        Failed: a side failed, or the outputs differ.

    """
    pairs = []
    for number in range(runs):
        with tempfile.TemporaryDirectory(prefix="gristmill-benchmark-", ignore_cleanup_errors=True) as folder:
            first, second = (product, sides.limit) if number % 2 else (sides.limit, product)
            one, other = first(case, data, Path(folder)), second(case, data, Path(folder))
            ours, theirs = (one, other) if number % 2 else (other, one)
            sides.check(case, ours, theirs)
            pairs.append(_pair(case, ours, theirs))
            shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.write(f"{case.name} {number + 1}/{runs}: {_line(pairs[-1])}\n")
    return {"case": case.name, "title": case.title, "allowed": case.allowed, "pairs": pairs, **_sums(pairs)}


def _pair(case: Case, ours: Result, theirs: Result) -> dict[str, Any]:
    return {
        "product": _figures(case, ours),
        "limit": _figures(case, theirs),
        "over": ours.ran.finished - theirs.ran.finished,
        "ratio": ours.ran.finished / theirs.ran.finished,
        "cpu_over": ours.ran.cpu - theirs.ran.cpu,
        "split": ours.summary.get("seconds", {}),
    }


def _figures(case: Case, result: Result) -> dict[str, float]:
    return {
        "finished": result.ran.finished,
        "ended": result.ran.ended,
        "cpu": result.ran.cpu,
        "steady_ms": result.steady / case.mini_batches * 1000,
    }


def _line(pair: dict[str, Any]) -> str:
    ours, theirs = pair["product"], pair["limit"]
    return (
        f"{ours['finished']:.2f} s beside {theirs['finished']:.2f} s, "
        f"{ours['cpu']:.2f} s of processor time beside {theirs['cpu']:.2f} s"
    )


def _sums(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "product": spread(pair["product"]["finished"] for pair in pairs),
        "limit": spread(pair["limit"]["finished"] for pair in pairs),
        "over": spread(pair["over"] for pair in pairs),
        "ratio": spread(pair["ratio"] for pair in pairs),
        "product_cpu": spread(pair["product"]["cpu"] for pair in pairs),
        "limit_cpu": spread(pair["limit"]["cpu"] for pair in pairs),
        "product_steady_ms": spread(pair["product"]["steady_ms"] for pair in pairs),
        "limit_steady_ms": spread(pair["limit"]["steady_ms"] for pair in pairs),
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return the least of some figures, their median and the most."""
    known = [round(value, 4) for value in values]
    tell: Callable[[float], float] = lambda value: round(value, 4)  # noqa: E731
    return {"min": min(known), "median": tell(statistics.median(known)), "max": max(known)}

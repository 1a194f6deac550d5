"""`python -m benchmarks`: measure, print a table, and leave the figures as JSON.

python -m benchmarks compare [CASE ...]   product and limit in turn; without a case: all
python -m benchmarks fixed                two mini-batches: what is paid whatever there is to score
python -m benchmarks memory               the whole tree at 1,000 and at 100,000 items (--large: and 1,000,000)
python -m benchmarks starting             import and help
python -m benchmarks service              a server: invocations, looks at jobs, many jobs
python -m benchmarks warm [CASE ...]      second jobs of a server whose scorers were kept, and jobs of one file
python -m benchmarks scale-out            W3 with 1, 2, 4 instances that have a core, or a part of one, each
python -m benchmarks simulated-cluster    hundreds of instances whose scorers sleep (--instances, --scorers, --seconds)
python -m benchmarks scraping             what Prometheus costs a server that leads 1, 20, 100 jobs
python -m benchmarks big-store            a job on a store of 20 ms a request, beside a plain download (--objects)
python -m benchmarks large [PART ...]     plan (a million files, ten), merge (10 GB), csv, parquet (5 GB): --gigabytes
python -m benchmarks profile [CASE ...]   where the processor time goes: of W0 and W1.10, by py-spy
python -m benchmarks all                  compare, fixed, memory, starting
python -m benchmarks peers [SYSTEM ...]   what else a user might take, in environments of their own, in turn with both
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks import (
    big_store,
    comparing,
    large,
    machine,
    memory,
    profiling,
    report,
    scale_out,
    scraping,
    service,
    simulated_cluster,
    simulated_figures,
    starting,
    warm,
)
from benchmarks.cases import CASES, FIXED, Case, named
from benchmarks.peers import measuring
from benchmarks.running import Failed

#: Where the data lies that is scored: it is made once, and half a gigabyte.
DATA: Final = Path.home() / ".cache" / "gristmill-benchmarks"


def _compare(cases: tuple[Case, ...], options: argparse.Namespace) -> list[dict[str, Any]]:
    measured = [comparing.compare(case, options.data, options.runs) for case in cases]
    print(report.table(measured))
    return measured


def _memory(options: argparse.Namespace) -> dict[str, Any]:
    measured = memory.compare(options.data, [1000, 100_000, *([1_000_000] if options.large else [])])
    for one in measured["jobs"]:
        print("memory:", ", ".join(f"{name} {value:g}" for name, value in one.items()))
    print(
        f"beside the scorers {measured['most_mb']} MB ({memory.ALLOWED} allowed), grows by {measured['growth_mb']} MB"
    )
    return measured


def _starting(options: argparse.Namespace) -> dict[str, Any]:
    measured = starting.measure(2 * options.runs)
    for name, one in measured.items():
        print(f"{name}: {one['median']:.3f} s ({one['min']:.3f}-{one['max']:.3f}), allowed {one['allowed'] or '-'}")
    return measured


def _scraping(options: argparse.Namespace) -> list[dict[str, Any]]:
    measured = scraping.measure(options.runs)
    print(*scraping.rows(measured), sep="\n")
    return measured


def _simulated(options: argparse.Namespace) -> dict[str, Any]:
    size = simulated_figures.Size(
        instances=options.instances,
        scorers=options.scorers,
        seconds=options.seconds,
        run_seconds=options.run_seconds,
    )
    measured = simulated_cluster.measure(size)
    print(simulated_figures.table(measured))
    return measured


def _service(_: argparse.Namespace) -> dict[str, Any]:
    measured = service.measure()
    for name, one in measured.items():
        print(f"{name}: {', '.join(f'{key} {value:g}' for key, value in one.items())}")
    return measured


def _warm(options: argparse.Namespace) -> dict[str, Any]:
    measured = warm.measure(options.names, options.data, options.runs)
    print(report.table(measured["cases"]))
    print("one file:", ", ".join(f"{name} {value:g}" for name, value in measured["one_file"].items()))
    return measured


def _big_store(options: argparse.Namespace) -> dict[str, Any]:
    measured = big_store.measure(options.data, options.runs, options.objects)
    print(big_store.table(measured))
    return measured


def _large(options: argparse.Namespace) -> list[dict[str, Any]]:
    measured = []
    for one in large.measure(options.names, options.data, options.gigabytes):
        measured.append(one)
        print(json.dumps(one), flush=True)
    return measured


def _peers(options: argparse.Namespace) -> list[dict[str, Any]]:
    measured = []
    print("| case | system | s: median (min-max) | times Gristmill's |\n" + "|" + " --- |" * 4)
    for one in measuring.measure(options.names, options.data, options.runs):
        measured.append(one)
        print(measuring.line(one), flush=True)
    return measured


def _profile(options: argparse.Namespace) -> list[dict[str, Any]]:
    measured = [profiling.measure(named(name), options.data) for name in options.names or ("W0", "W1.10")]
    for one in measured:
        print(*profiling.rows(one), sep="\n")
    return measured


def _scale_out(options: argparse.Namespace) -> list[dict[str, Any]]:
    measured = scale_out.compare(options.data, options.runs, options.items)
    print(scale_out.table(measured))
    return measured


#: What takes a cluster, a server, a store, gigabytes or minutes for one figure, and is no part of "all".
_APART: Final[dict[str, Callable[[argparse.Namespace], Any]]] = {
    "scale-out": _scale_out,
    "simulated-cluster": _simulated,
    "warm": _warm,
    "big-store": _big_store,
    "large": _large,
    "profile": _profile,
    "service": _service,
    "scraping": _scraping,
}

_PARTS: Final[dict[str, Callable[[argparse.Namespace], Any]]] = {
    "compare": lambda options: _compare(tuple(map(named, options.names)) or CASES, options),
    "fixed": lambda options: _compare(FIXED, options),
    "memory": _memory,
    "starting": _starting,
}


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=(*_PARTS, "all", *_APART, "peers"))
    parser.add_argument("names", nargs="*", help="cases, or systems")
    parser.add_argument("--runs", type=int, default=5, help="of each side (default: 5)")
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of what is scored (default: {DATA})")
    parser.add_argument("--json", type=Path, help="file that takes all figures")
    parser.add_argument("--large", action="store_true", help="memory: a job of 1,000,000 items, too")
    parser.add_argument("--items", type=int, help="scale-out: so many, and not W3's 400")
    parser.add_argument("--objects", type=int, default=4000, help="big-store: so many (default: 4000; 20000 at most)")
    size = simulated_figures.Size()
    parser.add_argument("--instances", type=int, default=size.instances, help="of a simulated cluster")
    parser.add_argument("--scorers", type=int, default=size.scorers, help="of each of them")
    parser.add_argument("--seconds", type=float, default=size.seconds, help="of work for all of them")
    parser.add_argument("--run-seconds", type=float, default=size.run_seconds, help="that a mini-batch takes there")
    parser.add_argument("--gigabytes", type=float, help="large: of tables and of the merge, instead of 5 and 10")
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": machine.describe()}
    print("\n".join(report.describe(found["machine"])))
    try:
        if options.part == "peers":
            found["peers"] = _peers(options)
        for part in _PARTS if options.part == "all" else (options.part,):
            if act := {**_PARTS, **_APART}.get(part):
                found[part] = act(options)
    except Failed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A server whose node has kept its scorers: the second job of a deployment, beside the script that begins anew."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks import comparing, inputs, sides
from benchmarks.cases import Case, named
from benchmarks.running import GLANCE, Failed, Ran
from benchmarks.serving import LONGEST, Serving
from benchmarks.sides import Result

#: What is measured unless other cases are asked for.
CASES: Final = ("W1.10", "W1.100", "W2", "W3")

#: The case that scores one file again and again, how often, and how long that may take in the middle of them.
ONE: Final = "W1.10"
TIMES: Final = 10
ALLOWED: Final = 0.15

#: Seconds between two looks at a job that is about to end: each costs the server some milliseconds.
LOOK: Final = 0.005


def measure(names: Sequence[str], data: Path, runs: int) -> dict[str, Any]:
    """Return the comparisons of cases by their names, and the seconds of jobs of one file."""
    with Serving(data) as serving:
        compared = [_compare(serving, named(name), data, runs) for name in names or CASES]
        return {"cases": compared, "one_file": _one_file(serving, data)}


def _compare(serving: Serving, case: Case, data: Path, runs: int) -> dict[str, Any]:
    case = replace(case, allowed=0.0)
    first = _first(serving, case, data)
    found = comparing.compare(case, data, runs, lambda case, data, _: _job(serving, case, data))
    return {**found, "first": first}


def _first(serving: Serving, case: Case, data: Path) -> float:
    """Make a case's deployment, and score its first job; return the seconds that this took."""
    serving.command("batch-endpoint", "create", "-n", _endpoint(case))
    document = str(sides.deployment(case, data, serving.folder))
    serving.command("batch-deployment", "create", "-f", document, "-e", _endpoint(case), "--set-default")
    first = _job(serving, case, data).ran.finished
    sys.stderr.write(f"{case.name}, its first job: {first:.2f} s\n")
    return first


def _job(serving: Serving, case: Case, data: Path) -> Result:
    """Score a case; its time goes from the invocation until the finished output has its name."""
    used = serving.processor()
    with serving.client() as client:
        began = time.monotonic()
        _, name = serving.invoke(client, endpoint=_endpoint(case), given=inputs.make(data, case.input))
        output = serving.workspace / "data" / "azureml" / name / "score" / "predictions.csv"
        while not output.exists():
            time.sleep(GLANCE)
            if time.monotonic() - began > LONGEST:
                raise Failed(f"{case.name}: no output")
        finished = time.monotonic() - began
        serving.wait(client, name, pause=LOOK)
        ended = time.monotonic() - began
    ran = Ran(finished=finished, ended=ended, cpu=serving.processor() - used, said="")
    return sides.made(case, ran, output)


def _one_file(serving: Serving, data: Path) -> dict[str, Any]:
    """Score one file again and again; return the seconds from the invocation until the job is Completed."""
    case = replace(named(ONE), name="one.file")
    folder = serving.folder / "digit"
    folder.mkdir()
    source = next(inputs.make(data, case.input).iterdir())
    (folder / source.name).write_bytes(source.read_bytes())
    serving.command("batch-endpoint", "create", "-n", _endpoint(case))
    document = str(sides.deployment(case, data, serving.folder))
    serving.command("batch-deployment", "create", "-f", document, "-e", _endpoint(case), "--set-default")
    took, used = [], 0.0
    with serving.client() as client:
        for number in range(1 + TIMES):
            used = used if number > 1 else serving.processor()
            began = time.monotonic()
            _, name = serving.invoke(client, endpoint=_endpoint(case), given=folder)
            serving.wait(client, name, pause=LOOK)
            took.append(time.monotonic() - began)
    first, *others = took
    return {
        "first": round(first, 4),
        "min": round(min(others), 4),
        "median": round(statistics.median(others), 4),
        "max": round(max(others), 4),
        "cpu": round((serving.processor() - used) / TIMES, 4),
        "allowed": ALLOWED,
    }


def _endpoint(case: Case) -> str:
    return f"bench-{case.name.replace('.', '-')}".lower()

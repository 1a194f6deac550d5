"""W3 with more and more instances, each with as much of a core as the others: what n of them do in an nth of the time.

An instance is a node of its own with one scorer. Server and scheduler are nobody's: they run beside them. Where there
are more instances than cores, all of them are held to a part of one by quotas, in the runs with fewer instances too.

A job has the scorers of each instance started, and that is measured which finds them all kept: each can score from the
beginning on, or `ready` says when. What the machine allows is measured beside that, in turn: as many plain processes,
confined alike, that take the same mini-batches from a pipe. Two cores that both work may each be slower than one alone.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import confined, inputs, plain
from benchmarks.cases import named
from benchmarks.processes import Processes, read, tell
from benchmarks.running import Failed

from gristmill.spec import CodeConfiguration, Deployment, Input, Job, Model, Output, Settings, to_json
from gristmill_storage.ledger import Ledger

COMPUTE: Final = "scale"

#: How many instances there are, one count after the other.
COUNTS: Final = (1, 2, 4)

#: Of the cores, the share that all instances together have: the rest is for the server and the scheduler.
SHARED: Final = 0.9

#: The least efficiency that is allowed.
ALLOWED: Final = 0.95

#: Seconds within which a scorer that was kept is ready, and jobs that are scored at most until all are such.
_READY_SECONDS: Final = 0.5
_JOBS: Final = 3

#: Which instance it is -> what stands before its command.
Confine = Callable[[int], AbstractContextManager[list[str]]]


def compare(data: Path, runs: int, items: int | None = None) -> list[dict[str, Any]]:
    """Run W3 with every number of instances, in turn; return a row for each kind of confinement and number.

    Args:
        data: folder of what is scored.
        runs: how often each.
        items: so many, repeated where there are fewer; None: all.

    Raises:
        Failed: a job failed.

    """
    cores = len(os.sched_getaffinity(0))
    part = min(1.0, round(SHARED * cores / COUNTS[-1], 3))
    kinds: list[tuple[str, float, Confine, Sequence[int]]] = [
        ("pinned", 1.0, lambda number: nullcontext(confined.pinned(number)), [n for n in COUNTS if n <= cores]),
        ("quota", part, partial(confined.held_to, part), COUNTS),
    ]
    rows: list[dict[str, Any]] = []
    for kind, share, confine, counts in kinds:
        run = partial(_run, data, confine, items)
        rows += _rows(kind, share, {count: [] for count in counts}, run, runs)
    return rows


def _rows(
    kind: str, share: float, found: dict[int, list[dict[str, float]]], run: Callable[[int], dict[str, float]], runs: int
) -> Iterator[dict[str, Any]]:
    """Run every count in turn; yield what came of each."""
    try:
        for _ in range(runs):
            for count, seconds in found.items():
                seconds.append(run(count))
                sys.stderr.write(f"{kind}, {count} x {share:g} cores: {seconds[-1]}\n")
    except OSError as error:
        sys.stderr.write(f"{kind}: left out: {error}\n")
        return
    alone = {name: _median(found[1], name) for name in ("score", "total", "plain")}
    for count, seconds in found.items():
        middle = {name: _median(seconds, name) for name in seconds[0]}
        efficiency = {name: round(alone[name] / (count * middle[name]), 4) for name in alone}
        efficiency["of_plain"] = round(efficiency["score"] / efficiency["plain"], 4)
        yield {
            "kind": kind,
            "cores_each": share,
            "instances": count,
            "seconds": middle,
            "efficiency": efficiency,
            "runs": seconds,
        }


def _median(seconds: list[dict[str, float]], name: str) -> float:
    return round(statistics.median(one[name] for one in seconds), 3)


def _run(data: Path, confine: Confine, items: int | None, count: int) -> dict[str, float]:
    """Score W3 with so many instances, and as many plain processes; return their seconds.

    `busy` is the share of the scoring that scorers were in run(), `ready` how long the last of them took to be ready.
    """
    with tempfile.TemporaryDirectory(prefix="gm-scale-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        job = _job(data, folder, count, items)
        case = named("W3")
        taken = plain.seconds(case, Path(job.input.uri), inputs.make(data, str(case.model)), map(confine, range(count)))
        document = _score(folder, job, count, confine)
    seconds = document["seconds"]
    took = {part: float(seconds[part]) for part in ("score", "total", "aggregate")}
    busy = round(seconds["run"] / (count * took["score"]), 4)
    return {**took, "busy": busy, "ready": _ready(document), "plain": taken}


def _job(data: Path, folder: Path, count: int, items: int | None) -> Job:
    case = named("W3")
    given = folder / "in"
    given.mkdir()
    paths = sorted(inputs.make(data, case.input).iterdir())
    for number in range(items or len(paths)):
        path = paths[number % len(paths)]
        shutil.copy(path, given / f"{number // len(paths)}-{path.name}")
    assert case.model is not None
    deployment = Deployment(
        endpoint_name="scale",
        code_configuration=CodeConfiguration(code=str(case.path.parent), scoring_script=case.script),
        model=Model(path=str(inputs.make(data, case.model))),
        compute=COMPUTE,
        instance_count=count,
        settings=Settings(mini_batch_size=case.mini_batch),
    )
    return Job(
        name="scale",
        deployment=deployment,
        input=Input(uri=str(given)),
        output=Output(folder=str(folder / "out")),
        kept_for="scale",
    )


def _score(folder: Path, job: Job, count: int, confine: Confine) -> dict[str, Any]:
    """Have a cluster of so many nodes score a job until all scorers were there from its beginning; return its summary.

    A job may end before the last scorer has started, which is not kept then: after some jobs, the last one counts.

    Raises:
        Failed: a job did not end well.

    """
    node = [sys.executable, "-m", "gristmill_workers", "--compute", COMPUTE, "--slots", "1", "--owned"]
    with Processes(folder) as processes:
        for number in range(count):
            processes.start(f"node{number}", node, within=confine(number), GRISTMILL_NODE_NAME=f"node{number}")
        scheduler = processes.scheduler()
        _await_nodes(processes.url, count)
        for number in range(_JOBS):
            output = Output(folder=str(folder / f"out{number}"))
            document = _lead(scheduler, replace(job, name=f"scale{number}", output=output, submitted=time.time()))
            if len(document["instances"]) == count and _ready(document) < _READY_SECONDS:
                break
    return document


def _lead(scheduler: subprocess.Popen[str], job: Job) -> dict[str, Any]:
    tell(scheduler, {"command": "submit", "job": to_json(job)})
    while (event := json.loads(read(scheduler)))["event"] not in ("finished", "refused"):
        pass
    if event.get("status") != "Completed":
        raise Failed(f"the job ended so: {event.get('error')}")
    document: dict[str, Any] = event["document"]
    return document


def _ready(document: Mapping[str, Any]) -> float:
    """Return after how many seconds the last instance could score."""
    return max(float(one.get("ready_after", "inf")) for one in document["instances"])


def _await_nodes(url: str, count: int) -> None:
    """Return when so many nodes take work."""
    ledger, deadline = Ledger(url), time.monotonic() + 60
    while len(ledger.nodes()) < count:
        if time.monotonic() > deadline:
            raise Failed(f"{count} nodes were begun, and {len(ledger.nodes())} are there")
        time.sleep(0.05)


_HEAD: Final = (
    *("confined", "cores each", "instances", "scoring s", "efficiency", "in run()", "plain processes s", "efficiency"),
    *("ours of theirs", "total s", "efficiency", "ready s"),
)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [f"| {' | '.join(_HEAD)} |", "|" + " --- |" * len(_HEAD)]
    for row in rows:
        seconds, efficiency = row["seconds"], row["efficiency"]
        short = "" if efficiency["score"] >= ALLOWED else " **less than allowed**"
        cells = [
            *(row["kind"], f"{row['cores_each']:g}", str(row["instances"])),
            *(f"{seconds['score']:.2f}", f"{efficiency['score']:.1%}{short}", f"{seconds['busy']:.1%}"),
            *(f"{seconds['plain']:.2f}", f"{efficiency['plain']:.1%}", f"{efficiency['of_plain']:.1%}"),
            *(f"{seconds['total']:.2f}", f"{efficiency['total']:.1%}", f"{seconds['ready']:.2f}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)

"""`python -m chaos`: jobs on a cluster of real processes, with a random fault every few seconds."""

from __future__ import annotations

import argparse
import json
import random
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from chaos import network, report
from chaos.faults import KINDS
from chaos.nemesis import draws
from chaos.trial import Course, Trial, run_trial
from chaos.workload import Workload
from chaos.world import Plan, World, can_take_over

#: Bytes of the file system of local outputs.
DISK = 96 << 20

#: A job under faults that takes longer than so many times the undisturbed one, and this many seconds more, hangs.
PATIENCE = 8.0
MORE_SECONDS = 60.0

#: Share of the jobs whose aggregator is killed.
AGGREGATORS_KILLED = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the jobs, print the report; 1 when anything was lost, doubled, wrong or did not end."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    why_not = network.unavailable()
    if why_not:
        _say(f"no network namespaces: {why_not}. Everything runs on loopback, without partitions.")
    seed = options.seed or secrets.token_hex(4)
    _say(f"SEED={seed}  celery {version('celery')}, kombu {version('kombu')}, take-over: {can_take_over()}")
    clocks = tuple(3600.0 * sign for sign in (0, 1, -1))[: options.nodes]
    plan = Plan(nodes=options.nodes, lease_seconds=options.lease, clocks=clocks, disk=None if why_not else DISK)
    with World(plan, namespaces=not why_not) as world:
        baselines, trials = _run(world, options, seed)
    document = report.document(baselines, trials, {"seed": seed, "celery": version("celery"), "items": options.items})
    if options.output:
        options.output.write_text(json.dumps(document, indent=1) + "\n")
    _say(report.text(baselines, trials))
    if document["totals"]["jobs_failed"]:
        _say(f"evidence: {world.folder}")
        return 1
    world.forget()
    return 0


def _run(world: World, options: argparse.Namespace, seed: str) -> tuple[list[Trial], list[Trial]]:
    workload = Workload(
        world.folder / "workload",
        items=options.items,
        seconds=options.seconds,
        scorers=options.scorers,
        nodes=options.nodes,
    )
    kinds = tuple(options.only or KINDS)
    baselines = [
        _told(run_trial(world, workload, Course(name=f"calm-{place}", on_storage=place == "s3", limit=300)))
        for place in ("local", "s3")
    ]
    limit = max(trial.seconds for trial in baselines) * PATIENCE + MORE_SECONDS
    trials: list[Trial] = []
    for number in _numbers(options):
        drawn = f"{seed}-{number}"
        course = Course(
            name=f"job-{number:03d}",
            on_storage=number % 2 == 0,
            limit=limit,
            strikes=draws(drawn, nodes=world.nodes, kinds=kinds, lease_seconds=options.lease, longest=options.longest),
            seed=drawn,
            aggregator_dies="kill aggregator" in kinds and random.Random(drawn).random() < AGGREGATORS_KILLED,
        )
        trials.append(_told(run_trial(world, workload, course)))
    return baselines, trials


def _numbers(options: argparse.Namespace) -> Iterator[int]:
    """Count jobs until there were enough of them, or the time is over; there is at least one."""
    end = time.monotonic() + options.minutes * 60 if options.minutes else None
    number = options.first
    while number == options.first or (time.monotonic() < end if end else number < options.first + options.jobs):
        yield number
        number += 1


def _told(trial: Trial) -> Trial:
    verdict, course = trial.verdict, trial.course
    place = "s3" if course.on_storage else "local"
    faults = ", ".join(
        f"{one.strike.kind} {one.strike.node if 'node' in KINDS[one.strike.kind].claims else ''}".strip()
        for one in trial.struck
    )
    word = "ok" if verdict.good else f"WRONG: {verdict.lost} lost, {verdict.twice} twice, {verdict.faults}"
    _say(
        f"{course.name} {place:<5} {trial.seconds:6.1f} s, standstill {trial.standstill:4.1f} s,"
        f" a node idle {trial.idle:4.1f} s,"
        f" {trial.runs} runs, {trial.fenced} fenced, {word}\n    {faults}"
    )
    return trial


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10, help="jobs under faults (default: 10)")
    parser.add_argument("--minutes", type=float, default=0, help="go on for so many minutes instead")
    parser.add_argument("--first", type=int, default=1, help="number of the first job, to run one again")
    parser.add_argument("--seed", default="", help="chooses the faults; printed by every run")
    parser.add_argument("--items", type=int, default=20_000, help="items of a job (default: 20000)")
    parser.add_argument("--seconds", type=float, default=25.0, help="what scoring them takes (default: 25)")
    parser.add_argument("--nodes", type=int, default=3, help="nodes (default: 3)")
    parser.add_argument("--scorers", type=int, default=2, help="scorers a node (default: 2)")
    parser.add_argument("--lease", type=float, default=3.0, help="seconds of a lease (default: 3)")
    parser.add_argument("--longest", type=float, default=30.0, help="seconds that a fault lasts at most (default: 30)")
    parser.add_argument(
        "--only", action="append", choices=list(KINDS), help="kinds of faults to draw from (default: all)"
    )
    parser.add_argument("-o", "--output", type=Path, help="file for the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())

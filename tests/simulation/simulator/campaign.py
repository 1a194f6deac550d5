"""`make simulate`: lives many seeds on every core; prints what failed and how to live it again alone."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from simulator import world
from simulator.bugs import BUGS
from simulator.faults import ASKED_FOR, PROFILES
from simulator.world import Outcome

#: Processes that begin afresh, without this one's threads.
_FRESH = multiprocessing.get_context("spawn")


def profile_of(seed: int) -> str:
    """Return the profile that a seed lives under when none is asked for: half of all seeds are storms."""
    drawn = [profile for profile in PROFILES if profile not in ASKED_FOR]
    return "storm" if seed % 2 else drawn[seed // 2 % len(drawn)]


def live(seed: int, *, profile: str, bug: str, whole_trace: bool = False, server: str = "") -> Outcome:
    """Live one seed."""
    planted = BUGS[bug][0] if bug else None
    return world.run(seed, profile or profile_of(seed), bug=planted, whole_trace=whole_trace, server=server)


def report(outcome: Outcome) -> str:
    """Return what is printed of a seed that failed."""
    lines = "\n".join(outcome.trace)
    again = f"make simulate SEED={outcome.seed} PROFILE={outcome.profile}"
    return (
        f"{lines}\nseed {outcome.seed}, profile {outcome.profile}: {outcome.violation}\n"
        f"alone: {again}   with every event: {again} TRACE=1\n"
    )


def _pin(counter: Any) -> None:
    """Keep a process to one core: its threads take turns, which is four times as fast where they share a core."""
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def outcomes(options: argparse.Namespace) -> Iterator[Outcome]:
    """Live the seeds that are asked for; yield how each ended, in order."""
    if options.seed is not None:
        _pin(_FRESH.Value("i", 0))
        one = partial(live, profile=options.profile, bug=options.bug, whole_trace=options.trace, server=options.real)
        yield one(options.seed)
        return
    seeds = range(options.first, options.first + options.seeds)
    if options.real:
        yield from map(partial(live, profile=options.profile, bug=options.bug, server=options.real), seeds)
        return
    counter = _FRESH.Value("i", 0)
    with _FRESH.Pool(options.jobs, _pin, (counter,)) as pool:
        yield from pool.imap(partial(live, profile=options.profile, bug=options.bug), seeds, chunksize=20)


def main() -> int:
    """Live the seeds, print what failed and the sums; 1 when a promise was broken."""
    options = _options()
    began, found, count, events, broken, slowest = time.monotonic(), Counter[str](), 0, 0, 0, 0.0
    for outcome in outcomes(options):
        count, events = count + 1, events + outcome.events
        found += outcome.faults
        slowest = max(slowest, outcome.after_faults)
        if outcome.violation is not None:
            broken += 1
            sys.stdout.write(report(outcome))
            if broken >= options.most:
                break
        elif options.trace:
            sys.stdout.write("\n".join(outcome.trace) + "\n")
    seconds = time.monotonic() - began
    faults = ", ".join(f"{number} {name}" for name, number in sorted(found.items()))
    sys.stdout.write(
        f"{count} seeds, {broken} failed; {seconds:.1f} s, {count / seconds:.1f} seeds/s, {events / count:.0f} events "
        f"a seed; {slowest:.1f} s at most from the last fault to the job's end\nfaults: {faults or 'none'}\n"
    )
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulator", description="Simulate jobs whose machines fail.")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--profile", default="", choices=["", *PROFILES], help="what goes wrong (default: by seed)")
    parser.add_argument("--bug", default="", choices=["", *BUGS], help="plant a bug")
    parser.add_argument("--real", default="", help="address of a server to be emptied and used, with the real scripts")
    parser.add_argument("--trace", action="store_true", help="print every event")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--most", type=int, default=5, help="stop after so many failures")
    return parser.parse_args()

"""What a simulated cluster took: rates, cores, calls; and as a table."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gristmill_storage.ledger.wire import Client


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a cluster is simulated."""

    instances: int = 200
    scorers: int = 8
    #: Seconds that it is to score for, where nothing holds it up.
    seconds: float = 20.0
    #: Seconds that a mini-batch takes.
    run_seconds: float = 0.05

    @property
    def demand(self) -> float:
        """Mini-batches a second that the scorers ask for."""
        return self.instances * self.scorers / self.run_seconds

    @property
    def mini_batches(self) -> int:
        """How many the job has."""
        return round(self.demand * self.seconds)


@dataclass
class Watched:
    """What was seen while the job ran: events of the scheduler, processor seconds by process."""

    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    used: list[tuple[float, dict[str, float]]] = field(default_factory=list)


def of_job(size: Size, watched: Watched, counted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of a job; `counted` is what each process of nodes counted."""
    progress = [(when, event) for when, event in watched.events if event["event"] == "progress"]
    done = [(when, event["mini_batches"]["done"]) for when, event in progress]
    names = {name: None for one in counted for name in one["took"]}
    took = {name: [each for one in counted for each in one["took"].get(name, ())] for name in names}
    answers: Counter[str] = Counter()
    for one in counted:
        answers.update(one["answers"])
    rate, cores = _rate(done, size.mini_batches), _cores(watched, done, size.mini_batches)
    return {
        "instances": size.instances,
        "scorers": size.scorers,
        "run_seconds": size.run_seconds,
        "demand": round(size.demand),
        "mini_batches": size.mini_batches,
        "seconds": _seconds(watched, progress),
        "rate": rate,
        "cores": cores,
        "cpu_ms_a_thousand": {name: round(used / (rate["middle"] or 1) * 1e6, 2) for name, used in cores.items()},
        "calls": {name: _spread(seconds) for name, seconds in took.items() if seconds},
        "answers": dict(answers),
        "looks": len(progress),
    }


def _seconds(watched: Watched, progress: list[tuple[float, dict[str, Any]]]) -> dict[str, float]:
    """Return when each station was reached, from the order to begin on."""
    began = watched.used[0][0]
    everybody = max(event["instances"] for _, event in progress)
    first = {
        "all_there": next(when for when, event in progress if event["instances"] == everybody),
        "first_done": next(when for when, event in progress if event["mini_batches"]["done"]),
        "all_done": next(
            when for when, event in progress if event["mini_batches"]["done"] == event["mini_batches"]["planned"]
        ),
        "finished": watched.events[-1][0],
    }
    return {name: round(when - began, 2) for name, when in first.items()}


def _middle(done: list[tuple[float, int]], total: int) -> list[tuple[float, int]]:
    """Return what was seen while between a quarter and nine tenths were done: neither start nor end."""
    return [(when, count) for when, count in done if 0.25 * total <= count <= 0.9 * total]


def _rate(done: list[tuple[float, int]], total: int) -> dict[str, float]:
    """Return mini-batches a second: in the middle, and from the first look that showed any to the last."""
    whole = [(when, count) for when, count in done if count]
    return {name: _slope(seen) for name, seen in (("middle", _middle(done, total)), ("whole", whole))}


def _slope(seen: list[tuple[float, int]]) -> float:
    if len(seen) < 2:
        return 0.0
    (began, first), (ended, last) = seen[0], max(seen, key=lambda one: one[1])
    return round((last - first) / (ended - began), 1) if ended > began else 0.0


def _cores(watched: Watched, done: list[tuple[float, int]], total: int) -> dict[str, float]:
    """Return how many cores each kind of process used in the middle of the scoring."""
    middle = _middle(done, total)
    if len(middle) < 2:
        return {}
    looks = [one for one in watched.used if middle[0][0] <= one[0] <= middle[-1][0]]
    if len(looks) < 2:
        return {}
    (began, before), (ended, after) = looks[0], looks[-1]
    return {name: round((after[name] - before[name]) / (ended - began), 3) for name in before}


def _spread(seconds: list[float]) -> dict[str, float]:
    """Return number and milliseconds of calls."""
    ordered = sorted(seconds)
    return {
        "calls": len(ordered),
        "p50_ms": round(statistics.median(ordered) * 1000, 3),
        "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))] * 1000, 3),
        "max_ms": round(ordered[-1] * 1000, 3),
    }


def commands(url: str) -> dict[str, tuple[int, int]]:
    """Return how often the server was given each command so far, and its microseconds in them."""
    found = {}
    for name, value in Client(url, 10).info("commandstats").items():
        told = dict(pair.split("=") for pair in value.split(","))
        found[name.removeprefix("cmdstat_")] = int(told["calls"]), int(told["usec"])
    return found


def of_server(url: str, before: Mapping[str, tuple[int, int]], size: Size) -> dict[str, Any]:
    """Return what the server did for the job: scripts of the ledger, and seconds in them by its own clock."""
    after = commands(url)
    scripts = {"calls": 0, "seconds": 0.0}
    for name in ("evalsha", "eval"):
        (calls, micros), (known, spent) = after.get(name, (0, 0)), before.get(name, (0, 0))
        scripts["calls"] += calls - known
        scripts["seconds"] += (micros - spent) / 1e6
    thousands = size.mini_batches / 1000
    return {
        "scripts": scripts["calls"],
        "script_seconds": round(scripts["seconds"], 3),
        "scripts_a_thousand": round(scripts["calls"] / thousands, 2),
        "script_ms_a_thousand": round(scripts["seconds"] / thousands * 1000, 3),
        "commands_a_thousand": {
            name: round((calls - before.get(name, (0, 0))[0]) / thousands, 1)
            for name, (calls, _) in sorted(after.items(), key=lambda one: -one[1][0])
            if calls > thousands
        },
        "connections": int(Client(url, 10).info("clients")["connected_clients"]),
    }


def table(found: Mapping[str, Any]) -> str:
    """Return the figures as lines and a Markdown table."""
    return "\n".join([*_lines(found), *_calls(found["calls"])])


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    told, ledger, rate = found["server"], found["ledger"], found["rate"]
    milliseconds = found["run_seconds"] * 1000
    yield f"{found['instances']} instances x {found['scorers']} scorers, {milliseconds:g} ms a mini-batch"
    yield f"{found['mini_batches']:,} mini-batches, {found['demand']:,} a second asked for"
    yield f"a second: {rate['middle']:,} in the middle, {rate['whole']:,} over all"
    yield f"seconds until: {_named(found['seconds'])}"
    yield f"cores in the middle: {_named(found['cores'])}"
    yield f"processor ms a thousand mini-batches: {_named(found['cpu_ms_a_thousand'])}"
    if used := found["cpu_ms_a_thousand"].get("server"):
        yield f"a server that has a core for itself: {1e6 / used:,.0f} a second"
    yield f"looks of the coordinator: {found['looks']}; connections: {told['connections']}"
    yield f"a thousand mini-batches: {told['scripts_a_thousand']} scripts, {told['script_ms_a_thousand']} ms in them"
    yield f"their commands: {_named(dict(list(told['commands_a_thousand'].items())[:12]))}"
    yield f"each once; {_named(ledger)}; leases answered: {_named(found['answers'])}"


def _calls(calls: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    yield "| call | number | p50 ms | p99 ms | most ms |"
    yield "| --- | --- | --- | --- | --- |"
    for name, one in calls.items():
        yield f"| {name} | {one['calls']:,} | {one['p50_ms']} | {one['p99_ms']} | {one['max_ms']} |"


def _named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())

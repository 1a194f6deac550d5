"""What a job waits for, in words, from what nodes say of themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gristmill import versions
from gristmill.counts import counted

#: Seconds in which times to come are told.
_STEP: Final = 5

#: Jobs that are named; the rest are counted.
_NAMED: Final = 2

Nodes = Sequence[Mapping[str, Any]]


def serving(nodes: Nodes, compute: str) -> list[Mapping[str, Any]]:
    """Return the nodes that serve a compute and can work for this server."""
    return [node for node in nodes if node.get("compute") == compute and not misfit(node)]


def misfit(node: Mapping[str, Any]) -> str:
    """Return why a node cannot work for this server, because of its version; "" where it can."""
    theirs = versions.protocol_of(node)
    what = f"node {node.get('host') or node.get('name')} (Gristmill {node.get('version')})"
    return versions.refusal(theirs, what, this="this server", that="that node")


def slots(nodes: Nodes) -> int:
    """Return how many instances nodes can run at once."""
    return sum(int(node.get("slots", 1)) for node in nodes)


def describe(
    name: str, compute: str, *, wanted: int, alive: int, nodes: Nodes, ahead: int = 0, turn: float | None = None
) -> str:
    """Return what a job waits for: "waiting for 2 of 3 instances of gpu: 1 node, busy with job x".

    Args:
        name: the job
        compute: where it is to run
        wanted: instances that it asks for
        alive: instances that it has
        nodes: all that are known, of any compute
        ahead: jobs that wait before it
        turn: seconds until the next place changes hands; None: none does, or nobody knows

    """
    missing = max(1, wanted - alive)
    head = f"waiting for {missing} of {counted(wanted, 'instance')} of {compute}"
    fitting = serving(nodes, compute)
    misfits = [why for node in nodes if node.get("compute") == compute and (why := misfit(node))]
    tail = f"; {counted(ahead, 'job')} before it" if ahead else ""
    refusal = next((f"; {node['refuses']}" for node in fitting if _refuses(node, name)), "")
    return f"{head}: {_offer(name, fitting, misfits, turn)}{tail}{refusal}"


def _refuses(node: Mapping[str, Any], job: str) -> bool:
    """Return whether a node says that it could not work for a job lately."""
    return bool(node.get("refuses")) and node.get("refuses_job", job) == job


def _offer(name: str, nodes: Nodes, misfits: Sequence[str], turn: float | None) -> str:
    if not nodes:
        more = f" (and {len(misfits) - 1} more like it)" if len(misfits) > 1 else ""
        return f"{misfits[0]}{more}" if misfits else "no node serves it"
    count = counted(len(nodes), "node")
    running = [job for node in nodes for job in node.get("running", ()) if job]
    others = sorted({str(job) for job in running if job != name})
    if not others:
        return count
    free = slots(nodes) - len(running)
    ends = f" ({'its' if len(others) == 1 else 'the next'} time slice ends {_in(turn)})" if turn is not None else ""
    return f"{count}, {'' if free <= 0 else f'{free} of {slots(nodes)} places free, '}busy with {_listed(others)}{ends}"


def _in(seconds: float) -> str:
    """Return a time to come in words that seldom change: whoever follows the job is told each time that they do."""
    if seconds <= 1:
        return "now"
    return f"in {math.ceil(seconds / _STEP) * _STEP} s"


def _listed(jobs: list[str]) -> str:
    if len(jobs) == 1:
        return f"job {jobs[0]}"
    named, more = jobs[:_NAMED], len(jobs) - _NAMED
    return f"jobs {', '.join(named)}{f' and {more} more' if more > 0 else ''}"

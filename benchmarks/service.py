"""What a server costs: an invocation, alone and among twenty; a look at a job; two hundred jobs; much history."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from benchmarks.finished import write
from benchmarks.serving import Serving

#: Invocations by one client, and by all of twenty together: enough that a hundredth is more than one.
INVOCATIONS: Final = 200
CLIENTS: Final = 20

#: Jobs that have ended, in the server whose memory is measured.
FINISHED: Final = 10_000

#: Seconds for which jobs are looked at again and again.
_SHOW_SECONDS: Final = 5.0

#: Seconds between two looks at a job whose end is waited for to the moment.
_GLANCE: Final = 0.005


def measure() -> dict[str, Any]:
    """Return all figures; seconds and milliseconds are of wall time, unless they are called the processor's."""
    with Serving() as serving, serving.client() as client:
        empty = serving.scheduler_mb()
        serving.deploy()
        serving.wait(client, serving.invoke(client)[1], pause=_GLANCE)  # what is made once
        alone, quiet = _one_after_another(serving), _shows(serving)
        invoked, drained = _drained(serving)
        invoked += _together(serving)
        busy = _shows(serving)
        serving.drain(client, 1 + 3 * INVOCATIONS)
        found = {
            "invoke_1_client": alone["invoke"],
            f"invoke_{CLIENTS}_clients": _spread(invoked),
            "first_result": alone["first_result"],
            "show_quiet": quiet,
            "show_busy": {"per_second": busy["per_second"]},  # its processor time is that of jobs, too
            "drain": drained,
        }
    return found | {"memory": _memory(empty)}


def _one_after_another(serving: Serving) -> dict[str, Any]:
    """Invoke, wait for the result, and invoke again: the node is warm and nothing else runs."""
    invoked, ended, before = [], [], serving.processor()
    with serving.client() as client:
        for _ in range(INVOCATIONS):
            began = time.perf_counter()
            took, name = serving.invoke(client)
            serving.wait(client, name, pause=_GLANCE)
            invoked.append(took)
            ended.append(time.perf_counter() - began)
    used = (serving.processor() - before) / INVOCATIONS
    return {"invoke": _spread(invoked), "first_result": _spread(ended) | {"processor_ms": round(1e3 * used, 1)}}


def _together(serving: Serving) -> list[float]:
    """Have twenty clients invoke; return the seconds of each invocation."""

    def invoke(_: int) -> list[float]:
        with serving.client() as client:
            return [serving.invoke(client)[0] for _ in range(INVOCATIONS // CLIENTS)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [seconds for each in pool.map(invoke, range(CLIENTS)) for seconds in each]


def _drained(serving: Serving) -> tuple[list[float], dict[str, float]]:
    """Have twenty clients invoke; return what they saw, and how long it took until all jobs were complete."""
    began, used = time.perf_counter(), serving.processor()
    invoked = _together(serving)
    with serving.client() as client:
        serving.drain(client, 1 + 2 * INVOCATIONS)
    seconds, used = time.perf_counter() - began, serving.processor() - used
    return invoked, {"jobs": INVOCATIONS, "seconds": round(seconds, 1), "processor_s": round(used, 1)}


def _shows(serving: Serving) -> dict[str, float]:
    """Look at one job again and again, over one connection."""
    with serving.client() as client:
        name = client.get("/jobs", params={"limit": 1}).json()["value"][0]["name"]
        count, used, began = 0, serving.processor(), time.perf_counter()
        while time.perf_counter() - began < _SHOW_SECONDS:
            client.get(f"/jobs/{name}").raise_for_status()
            count += 1
        used = serving.processor() - used
        return {"per_second": round(count / _SHOW_SECONDS), "processor_ms": round(1e3 * used / count, 2)}


def _memory(empty: float) -> dict[str, float]:
    """Return the megabytes of a scheduler that has not had a job, and of one with so many that have ended."""
    serving = Serving()
    write(serving.workspace, FINISHED)
    began = time.perf_counter()
    with serving, serving.client() as client:
        took = time.perf_counter() - began
        client.get("/jobs", params={"limit": 50}).raise_for_status()  # the first one makes what all need
        listed = time.perf_counter()
        client.get("/jobs", params={"limit": 50}).raise_for_status()
        listed = time.perf_counter() - listed
        full = serving.scheduler_mb()
    return {
        "jobs": FINISHED,
        "empty_mb": empty,
        "full_mb": full,
        "start_s": round(took, 1),
        "list_50_ms": round(1e3 * listed, 1),
    }


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return the middle, the hundredth worst and the worst, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    found = {"p50_ms": cuts[49], "p99_ms": cuts[98], "worst_ms": max(seconds)}
    return {"count": len(seconds)} | {name: round(1e3 * value, 1) for name, value in found.items()}

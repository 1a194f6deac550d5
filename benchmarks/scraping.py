"""What a scrape of /metrics costs: the processor time of the server and of Redis, with so many jobs that run.

The ledger is a real one and so is all that is read of it; the jobs are as two nodes of two scorers leave them in their
middle. HTTP is left out: it costs the same whatever is told.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from gristmill.spec import Priority
from gristmill_scheduler.jobs.observed import Demand, JobSeen
from gristmill_scheduler.jobs.record import State
from gristmill_scheduler.jobs.rows import Row
from gristmill_scheduler.metrics.exporter import Exporter, Sources
from gristmill_storage import server
from gristmill_storage.ledger import Entry, Lease, Ledger, Measures
from gristmill_storage.ledger.wire import Client
from gristmill_storage.tallies import PHASES, Tallies

JOBS: Final = (1, 20, 100)

#: What Prometheus of two versions asks for: 3.5 and 2.42.
ACCEPTS: Final[Mapping[str, str]] = {
    "Prometheus 3": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.3,*/*;q=0.2",
    "Prometheus 2": "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
}

_SETTINGS: Final = Path(__file__).parent.parent / "deploy" / "prometheus" / "prometheus.yml"
_NODES: Final = 2


class _Jobs:
    """Jobs that this server leads, all of them at work."""

    dispatches = True
    looked = 1.0

    def __init__(self, number: int) -> None:
        self._seen = [_seen(f"job-{each:04d}") for each in range(number)]

    def jobs(self, *, linger: float) -> list[JobSeen]:  # noqa: ARG002 - none has ended
        return self._seen

    def counts(self) -> Mapping[str, int]:
        return {"Running": len(self._seen)}

    def demand(self) -> Mapping[str, Demand]:
        return {"local": Demand(instances=_NODES * len(self._seen), queued=0, oldest_seconds=0.0)}


def measure(runs: int) -> list[dict[str, Any]]:
    """Return what scrapes cost with each number of jobs, in milliseconds of processor time; the least of the runs."""
    with _redis() as url:
        ledger = Ledger(url)
        found = []
        for jobs in JOBS:
            for number in range(jobs):
                _begin(ledger, f"job-{number:04d}")
            found.append({"jobs": jobs, **_scrapes(url, ledger, jobs, 3 * runs)})
        ledger.disconnect()
        return found


def share(milliseconds: float) -> float:
    """Return what a scrape takes of one core, at the interval that our prometheus.yml sets."""
    interval = yaml.safe_load(_SETTINGS.read_text(encoding="utf-8"))["global"]["scrape_interval"]
    return milliseconds / 1000 / float(re.fullmatch(r"(\d+)s", interval)[1])  # type: ignore[index]


def _scrapes(url: str, ledger: Ledger, jobs: int, runs: int) -> dict[str, Any]:
    measures = Measures(url)
    sources = Sources(jobs=_Jobs(jobs), ledger=measures, nodes=ledger.nodes, waiting=lambda _: 0)
    exporter = Exporter(sources, shared_seconds=0.0)
    text, _ = exporter.write("")
    found: dict[str, Any] = {"series": sum(not line.startswith(b"#") for line in text.splitlines())}
    for name, accept in ACCEPTS.items():
        found[name] = min(_took(exporter, accept) for _ in range(runs))
    before = _busy(url)
    for _ in range(runs):
        exporter.write("")
    found["redis"] = (_busy(url) - before) / runs
    measures.disconnect()
    return found


def _took(exporter: Exporter, accept: str) -> float:
    began = time.thread_time()
    exporter.write(accept)
    return (time.thread_time() - began) * 1000


def _busy(url: str) -> float:
    """Return the milliseconds of processor time that the Redis server has taken."""
    info = Client(url, 10).info("cpu")
    return 1000 * (float(info["used_cpu_user"]) + float(info["used_cpu_sys"]))


def _begin(ledger: Ledger, job: str) -> None:
    """Leave a job in its middle: it is planned, two instances hold something, and each has committed a part."""
    ledger.open(job, epoch="1", lease_seconds=600, error_threshold=10)
    ledger.extend(job, first=0, count=1000, items=10_000, size=10_000, closed=True)
    for number in range(_NODES):
        instance, node = f"{job}-{number}", f"node-{number}"
        info = {"role": "instance", "node": node, "scorers": 2, "busy": 2}
        ledger.register(job, instance=instance, info=info)
        lease = ledger.lease(job, instance=instance, limit=100)
        assert isinstance(lease, Lease)
        tallies = Tallies()
        for phase in PHASES:
            tallies.timed(phase, 0.02, 50)
        done = Entry(
            token=lease.token, first=lease.first, last=lease.first + 49, items=500, succeeded=500, failed=0, rows=500,
            size=5000, tallies="",
        )  # fmt: skip
        ledger.commit(job, instance=instance, part=f"p{number}", entries=[done], node=node, tallies=tallies.take())
        ledger.see_node(node, {"compute": "local", "host": node, "pid": 1, "slots": 2, "running": [job, None]}, 600)


def _seen(name: str) -> JobSeen:
    row = Row(
        name=name, endpoint="words", deployment="blue", compute="local", instances=_NODES, submitted=1.0,
        state=State.BEGUN, status="", archived=False, paused=False, version=1, priority=Priority.MEDIUM,
    )  # fmt: skip
    return JobSeen(row=row, status="Running", started=2.0, eta=10.0, looked=3.0)


@contextmanager
def _redis() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "socket"
        command = [sys.executable, "-m", "gristmill_storage.server", "--folder", folder, "--socket", str(socket)]
        process = subprocess.Popen(command)
        try:
            url = server.url_of(socket)
            server.wait_until_ready(url, 30, alive=lambda: process.poll() is None)
            yield url
        finally:
            process.terminate()
            process.wait()


def rows(measured: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each number of jobs."""
    for one in measured:
        each = ", ".join(f"{name} {one[name]:.1f} ms = {share(one[name]):.2%} of a core" for name in ACCEPTS)
        yield f"scraping {one['jobs']} jobs, {one['series']} series: {each}; Redis {one['redis']:.1f} ms"

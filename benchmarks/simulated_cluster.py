"""A cluster of hundreds of instances on one machine: real scheduler, server, nodes and merge; scorers that sleep.

Each instance is what a node runs for a job: it registers, leases, writes parts, commits and renews with connections of
its own. What it costs is told apart: the server's processor time, the scheduler's, and that of the processes in which
the nodes are, which a cluster would have elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import simulated_figures
from benchmarks.processes import Processes, read, tell
from benchmarks.running import Failed
from benchmarks.simulated_figures import Size, Watched

from gristmill.spec import CodeConfiguration, Deployment, Input, Job, Output, Settings, to_json
from gristmill_storage import job_folder
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Ledger, Measures
from gristmill_storage.manifest import Item, ManifestWriter, cut

JOB: Final = "simulated"
COMPUTE: Final = "simulated"

#: Nodes of one process: more would wait for one another's interpreter.
NODES_A_PROCESS: Final = 25

#: Seconds between two times that the ledger is asked for what metrics show.
SCRAPE_SECONDS: Final = 5.0

#: Seconds between two looks at what each process has used.
LOOK_SECONDS: Final = 0.25


def measure(size: Size) -> dict[str, Any]:
    """Run a job on a simulated cluster; return what it took.

    Raises:
        Failed: a mini-batch is missing or there twice, a lease expired, or the job did not end well.

    """
    with tempfile.TemporaryDirectory(prefix="gm-simulated-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        store = _plan(folder, size)
        with Processes(folder) as processes:
            _begin(processes, folder, size)
            before = simulated_figures.commands(processes.url)
            with _scraped(processes.url) as took:
                watched = _lead(store, processes.by_name)
            told = simulated_figures.of_server(processes.url, before, size)
            counted = [*_leave(processes.by_name), {"took": {"scrape": took}, "answers": {}}]
            found = simulated_figures.of_job(size, watched, counted)
            found |= {"server": told, "ledger": _ledger(processes.url)}
        _check(folder, size, found)
    return found


def _plan(folder: Path, size: Size) -> Store:
    """Write the job's folder, its plan whole: listing is measured elsewhere."""
    for name in ("in", "code", "out"):
        (folder / name).mkdir()
    (folder / "code" / "score.py").write_text("def init(): ...\ndef run(mini_batch): return mini_batch\n")
    deployment = Deployment(
        code_configuration=CodeConfiguration(code=str(folder / "code"), scoring_script="score.py"),
        compute=COMPUTE,
        instance_count=size.instances,
        settings=Settings(mini_batch_size=1, max_concurrency_per_instance=size.scorers),
    )
    output = Output(folder=str(folder / "out"))
    job = Job(name=JOB, deployment=deployment, input=Input(uri=str(folder / "in")), output=output)
    store = open_store(job_folder.url(output.folder, JOB))
    store.create(job_folder.SPEC, json.dumps(to_json(job)).encode())
    writer = ManifestWriter(store)
    for mini_batch in cut((Item(name=f"{number:09d}", size=1) for number in range(size.mini_batches)), 1):
        writer.add(mini_batch)
    writer.close()
    return store


def _begin(processes: Processes, folder: Path, size: Size) -> None:
    """Start the scheduler and the nodes."""
    processes.scheduler()
    for number, first in enumerate(range(0, size.instances, NODES_A_PROCESS)):
        nodes = min(NODES_A_PROCESS, size.instances - first)
        options = ["--compute", COMPUTE, "--first", str(first), "--nodes", str(nodes)]
        options += ["--seconds", str(size.run_seconds), "--scratch", str(folder)]
        command = [sys.executable, "-m", "benchmarks.simulated_nodes", processes.url, *options]
        processes.start(f"nodes{number}", command)
    for name, process in processes.by_name.items():
        if name.startswith("nodes"):
            read(process)


def _lead(store: Store, processes: Mapping[str, subprocess.Popen[str]]) -> Watched:
    """Have the scheduler lead the job to its end; return what was seen meanwhile."""
    scheduler = processes["scheduler"]
    watched = Watched()
    watched.used.append((time.monotonic(), _used(processes)))
    tell(scheduler, {"command": "resume", "folder": store.url})
    while True:
        event = json.loads(read(scheduler))
        now = time.monotonic()
        watched.events.append((now, event))
        if now - watched.used[-1][0] >= LOOK_SECONDS:
            watched.used.append((now, _used(processes)))
        if event["event"] in ("finished", "refused"):
            if event.get("status") != "Completed":
                raise Failed(f"the job ended so: {event.get('error')}")
            return watched


@contextlib.contextmanager
def _scraped(url: str) -> Iterator[list[float]]:
    """Ask the ledger now and then for what a server tells Prometheus; yields the seconds that it took."""
    measures, ledger, took, over = Measures(url), Ledger(url), list[float](), threading.Event()

    def scrape() -> None:
        while not over.wait(SCRAPE_SECONDS):
            began = time.perf_counter()
            measures.jobs([JOB])
            ledger.nodes()
            took.append(time.perf_counter() - began)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()


def _used(processes: Mapping[str, subprocess.Popen[str]]) -> dict[str, float]:
    """Return the seconds of processor time that each kind of process has used so far."""
    used: Counter[str] = Counter()
    for name, process in processes.items():
        text = Path(f"/proc/{process.pid}/stat").read_text()
        user, system = text[text.rindex(")") + 2 :].split()[11:13]
        used[name.rstrip("0123456789")] += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")  # type: ignore[assignment]
    return dict(used)


def _leave(processes: Mapping[str, subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """Return what each process of nodes counted."""
    counted = []
    for name, process in processes.items():
        if name.startswith("nodes"):
            assert process.stdin is not None
            process.stdin.close()
            counted.append(json.loads(read(process)))
    return counted


def _ledger(url: str) -> dict[str, Any]:
    """Return what the ledger counted of the job."""
    ledger = Ledger(url)
    snapshot = ledger.snapshot(JOB)
    counted = {name: getattr(snapshot, name) for name in ("state", "done", "losses", "expiries", "fenced", "parts")}
    return {**counted, "ranges": sum(len(ranges) for _, ranges in ledger.parts(JOB))}


def _check(folder: Path, size: Size, found: Mapping[str, Any]) -> None:
    """Compare the output with the plan, and the ledger's counts with what must not have happened.

    Raises:
        Failed: something is missing, there twice, or was lost on the way.

    """
    with (folder / "out" / "predictions.csv").open() as rows:
        for number, row in enumerate(rows):
            if int(row) != number:
                raise Failed(f"row {number} of the output is {row.strip()}")
    ledger = found["ledger"]
    wanted = {"done": size.mini_batches, "losses": 0, "expiries": 0, "fenced": 0}
    if number + 1 != size.mini_batches or any(ledger[name] != value for name, value in wanted.items()):
        raise Failed(f"{number + 1} rows of {size.mini_batches}; the ledger says {ledger}")

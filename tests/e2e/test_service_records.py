"""Ten thousand jobs that have ended: the server begins with them, lists and shows them, and stays small."""

from __future__ import annotations

import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gristmill import spec
from gristmill.service.client import Client
from gristmill_scheduler.jobs.record import JobRecord, State
from gristmill_scheduler.jobs.records import Records
from gristmill_storage.files import open_store
from gristmill_storage.workspace import Workspace
from serving import Serving

LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

JOBS = 10_000

#: Bytes of the server's memory that one more of them may take.
BYTES_EACH = 6_000


def record(number: int) -> JobRecord:
    """Return a job that ended as most do."""
    name = f"words-{number:05d}"
    output = f"/data/azureml/{name}/score"
    job = spec.Job(
        name=name,
        deployment=spec.Deployment(model=spec.Model(path="/m"), compute="local"),
        input=spec.Input(uri="/data/in"),
        output=spec.Output(folder=output),
        submitted=1_700_000_000.0 + number,
    )
    counts = {"items": {"succeeded": 20, "failed": 0}, "mini_batches": {"planned": 2, "done": 2}, "rows": 20}
    document = {**counts, "status": "Completed", "seconds": {"total": 3.2, "queue": 0.4}, "scorers": 2, "files": []}
    failed = number % 10 == 0
    error = {"class": "InitFailed", "message": "init() failed", "detail": "Traceback ...\n" * 20} if failed else None
    return JobRecord(
        job=job,
        folder=f"{output}/.gristmill/{name}",
        endpoint="words",
        deployment="counter",
        deployment_version=3,
        by="owner",
        request_id=f"request-{number}",
        inputs={"texts": {"type": "uri_folder", "path": "upload:" + "ab" * 32}},
        state=State.ENDED,
        started=job.submitted + 1,
        ended=job.submitted + 4,
        result={
            "status": "Failed" if failed else "Completed",
            "error": error,
            "output": f"{output}/predictions.csv",
            "summary": f"{output}/summary.json",
            "errors": None,
            **counts,
            "document": document,
        },
    )


def write(workspace: Path) -> None:
    records = Records(Workspace(open_store(str(workspace))).documents("jobs"))
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda number: records.create(record(number)), range(JOBS)):
            pass


def memory(serving: Serving) -> int:
    """Return the bytes that the server has in memory."""
    status = Path(f"/proc/{serving.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def seconds(act: Any, times: int) -> list[float]:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        took.append(time.perf_counter() - begun)
    return sorted(took)


@pytest.fixture
def serving(redis_server: str, tmp_path: Path) -> Iterator[Serving]:
    with Serving(redis_server, tmp_path) as serving:
        yield serving


@LONG
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_ten_thousand_jobs_that_have_ended(serving: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    serving.request("GET", "/jobs").raise_for_status()
    empty = memory(serving)
    serving.stop()
    write(serving.workspace)
    begun = time.perf_counter()
    serving.start()
    start = time.perf_counter() - begun
    client = Client(serving.url, serving.token)
    names = [job["name"] for job in client.jobs.list(max_results=None)]
    assert names == [f"words-{number:05d}" for number in reversed(range(JOBS))]

    page = seconds(lambda: list(client.jobs.list(max_results=50)), 20)
    shown = seconds(lambda: client.jobs.get("words-00500"), 200)
    failed = serving.request("GET", "/jobs?status=Failed&limit=1000").json()["value"]
    full = memory(serving)
    client.close()

    assert len(failed) == JOBS // 10
    assert serving.request("GET", "/status").json()["jobs"] == {"Completed": JOBS * 9 // 10, "Failed": JOBS // 10}
    assert (full - empty) / JOBS < BYTES_EACH
    told = {"start, s": start, "memory, MiB": full / (1 << 20), "with none": empty / (1 << 20)}
    told |= {"list of 50, ms": 1000 * statistics.median(page)}
    told |= {"show, ms": 1000 * statistics.median(shown), "99 % of them": 1000 * shown[-2]}
    with capsys.disabled():
        sys.stdout.write(f"\n{', '.join(f'{name} {value:.1f}' for name, value in told.items())}\n")

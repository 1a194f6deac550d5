"""Ten thousand jobs that have ended: the server begins with them, lists and shows them, and stays small."""

from __future__ import annotations

import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.finished import write

from gristmill.service.client import Client
from serving import Serving

LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

JOBS = 10_000

#: Bytes of the server's memory that one more of them may take.
BYTES_EACH = 6_000


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
    write(serving.workspace, JOBS)
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

"""Small objects in a store that takes 20 ms a request: a whole job beside a plain download of the same objects.

The downloaders keep 64 requests under way and do nothing else: `aiobotocore` is what a user would write, for it is the
client of S3 for asyncio; `aiohttp` asks without a signature, as a bucket of the whole world allows, and is the least
that fetching takes in Python. Each of them is run a second time with a pool of two processes that score what has come:
the least that fetching and scoring take together. The job scores W1 with two scorers, from the store and to it.

A side's processor time is that of all its own processes. The store's is told apart, for it has the same cores here: it
is that of its one process, the proxy and moto, while the side ran. The job lists the bucket, which the others do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import inputs, report, running, sides
from benchmarks.cases import SCORERS, named
from benchmarks.comparing import spread
from benchmarks.running import Failed, Ran

#: The bucket of both input and output.
BUCKET: Final = "box"

#: How many times as long as the download alone the job may take.
ALLOWED: Final = 1.3

DOWNLOADERS: Final = ("aiobotocore", "aiohttp")

#: What the name of a downloader's side ends with where the objects are scored, too.
_SCORED: Final = " and a pool"

_CASE: Final = named("W1.10")

_DOWNLOADING: Final = Path(__file__).parent / "scripts" / "downloading.py"


def measure(data: Path, runs: int, objects: int) -> dict[str, Any]:
    """Run downloaders and job in turn; return every figure, and what they come to.

    Raises:
        Failed: one of them failed.

    """
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="gristmill-benchmark-") as scratch, _store(data, objects) as endpoint:
        folder = Path(scratch)
        keys = folder / "keys"
        keys.write_text("\n".join(f"in/{name}" for name in sorted(os.listdir(data / "digits"))[:objects]))
        _download("aiohttp", endpoint, folder / "first", keys)  # the store has answered everything once
        for number in range(runs):
            sides_ = {name: _download(name, endpoint, folder / f"{name}-{number}", keys) for name in DOWNLOADERS}
            for name in DOWNLOADERS:
                target = folder / f"{name}-{number}.csv"
                sides_[name + _SCORED] = _download_and_score(name, endpoint, target, keys, data)
            found.append(sides_ | {"gristmill": _job(endpoint, data, folder, number, objects)})
            sys.stderr.write(f"big-store {number + 1}/{runs}: {_line(found[-1])}\n")
    return {"objects": objects, "runs": found, **_sums(found)}


@contextmanager
def _store(data: Path, objects: int) -> Iterator[str]:
    folder = inputs.make(data, "digits")
    command = [sys.executable, "-m", "benchmarks.slow_store", str(folder), str(objects), BUCKET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


def _environment(endpoint: str) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    return {**running.environment(), **keys, "AWS_ENDPOINT_URL": endpoint}


def _download(library: str, endpoint: str, target: Path, keys: Path) -> dict[str, Any]:
    command = [sys.executable, str(_DOWNLOADING), library, str(target), endpoint, BUCKET, str(keys)]
    return _figures(endpoint, running.run(command, target, _environment(endpoint)))


def _download_and_score(library: str, endpoint: str, target: Path, keys: Path, data: Path) -> dict[str, Any]:
    assert _CASE.model is not None
    command = [sys.executable, "-m", "benchmarks.scripts.fetching_and_scoring", library, str(target), endpoint, BUCKET]
    command += [str(keys), str(_CASE.path), str(inputs.make(data, _CASE.model)), str(_CASE.mini_batch), str(SCORERS)]
    figures = _figures(endpoint, running.run(command, target, _environment(endpoint)))
    with target.open() as lines:
        rows = sum(1 for _ in lines) - 1
    if rows != len(keys.read_text().split()):
        raise Failed(f"big-store: {rows} rows from {library}{_SCORED}")
    return figures


def _job(endpoint: str, data: Path, scratch: Path, number: int, objects: int) -> dict[str, Any]:
    deployment = sides.deployment(_CASE, data, scratch)
    command = [str(Path(sys.executable).with_name("gristmill")), "run", str(deployment)]
    command += ["--input", f"s3://{BUCKET}/in", "--output", f"s3://{BUCKET}/out/{number}/scores.csv"]
    ran = running.run(command, None, _environment(endpoint))
    if f"{objects:,} items, {objects:,} rows, 0 failed" not in ran.said:
        raise Failed(f"big-store: {ran.said}")
    return _figures(endpoint, ran)


def _figures(endpoint: str, ran: Ran) -> dict[str, Any]:
    with urllib.request.urlopen(f"{endpoint}/-/counts") as answer:
        store = json.load(answer)
    return {"seconds": ran.ended, "cpu": ran.cpu, "store_cpu": store["cpu"], "requests": store["requests"]}


def _line(run: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {one['seconds']:.2f} s ({one['cpu']:.2f} s of processor time)" for name, one in run.items()
    )


def _sums(runs: list[dict[str, Any]]) -> dict[str, Any]:
    what = ("seconds", "cpu", "store_cpu")
    sides_ = {name: {one: spread(run[name][one] for run in runs) for one in what} for name in runs[0]}
    ratios = {
        name: {one: spread(run["gristmill"][one] / run[name][one] for run in runs) for one in ("seconds", "cpu")}
        for name in runs[0]
        if name != "gristmill"
    }
    return {"sides": sides_, "ratios": ratios}


def table(measured: Mapping[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        f"{measured['objects']:,} objects; allowed: {ALLOWED:g} times the seconds of a download alone",
        "| who | s: median (min-max) | CPU s | store's CPU s | the job's s, times this | its CPU, so too | requests |",
        "|" + " --- |" * 7,
    ]
    for name, side in measured["sides"].items():
        ratio, seconds = measured["ratios"].get(name), side["seconds"]
        used = [f"{side[what]['median']:.2f}" for what in ("cpu", "store_cpu")]
        times = [f"{ratio[what]['median']:.2f}" for what in ("seconds", "cpu")] if ratio else ["", ""]
        asked = ", ".join(f"{kind} {count}" for kind, count in measured["runs"][-1][name]["requests"].items())
        lines.append(f"| {' | '.join([name, report.shown(seconds), *used, *times, asked])} |")
    return "\n".join(lines)

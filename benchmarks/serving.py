"""A server of its own for a measurement: `gristmill up` in a folder that goes with it, asked over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
from benchmarks import memory, running
from benchmarks.running import Failed

#: Seconds that jobs are waited for.
LONGEST: Final = 600.0

#: Seconds that one answer is waited for.
_PATIENCE: Final = 60.0

_TICKS: Final = os.sysconf("SC_CLK_TCK")

_SCRIPT: Final = """import os


def init():
    pass


def run(mini_batch):
    return [os.path.basename(path) for path in mini_batch]
"""

_DEPLOYMENT: Final = """name: idle
endpoint_name: bench
code_configuration: {code: code, scoring_script: score.py}
settings: {mini_batch_size: 10, max_concurrency_per_instance: 2}
"""

_OVER: Final = ("Completed", "Failed", "Canceled")


class Serving:
    """A server with one endpoint, whose jobs do nothing with one file; `with` ends it."""

    def __init__(self, *roots: Path) -> None:
        """Make the folder; jobs may read below `roots`, too."""
        self._roots = roots
        self._temporary = tempfile.TemporaryDirectory(prefix="gristmill-benchmark-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self.workspace = self.folder / "workspace"
        kept = running.environment()
        self._environment = {
            **kept,
            "GRISTMILL_WORKSPACE": str(self.workspace),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }
        self._state: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Start it; from now on SIGTERM, as `timeout` sends it, ends it in order."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        (self.folder / "one").mkdir()
        (self.folder / "one" / "a.txt").write_text("x")
        (self.folder / "code").mkdir()
        (self.folder / "code" / "score.py").write_text(_SCRIPT)
        (self.folder / "deployment.yml").write_text(_DEPLOYMENT)
        allowed = [word for root in (self.folder, *self._roots) for word in ("--allow-root", str(root))]
        try:
            self.command("up", "--port", "0", *allowed)
            self._state = json.loads((self.workspace / "run" / "server.json").read_text())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End it, and remove what it kept."""
        self._end()

    def _end(self) -> None:
        try:
            self.command("down")
        except Failed:
            if self._state:
                os.kill(self._state["pid"], signal.SIGTERM)
            raise
        finally:
            self._temporary.cleanup()

    def deploy(self) -> None:
        """Make the endpoint."""
        self.command("batch-endpoint", "create", "-n", "bench")
        self.command("batch-deployment", "create", "-f", "deployment.yml", "--set-default")

    def command(self, *words: str) -> None:
        """Type a command.

        Raises:
            Failed: it ended by an error.

        """
        gristmill = str(Path(sys.executable).with_name("gristmill"))
        done = subprocess.run(
            [gristmill, *words], cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Failed(f"gristmill {' '.join(words)}: {done.stderr[-2000:]}")

    def client(self) -> httpx.Client:
        """Return a new connection, as the server's owner."""
        token = Path(self._state["token_file"]).read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self._state["url"], headers=headers, timeout=_PATIENCE)

    def invoke(self, client: httpx.Client, *, endpoint: str = "bench", given: Path | None = None) -> tuple[float, str]:
        """Begin a job, on one file unless another input is given; return the seconds until the answer, and its name."""
        uri = {"JobInputType": "UriFolder", "Uri": str(given or self.folder / "one")}
        began = time.perf_counter()
        answer = client.post(f"/batchEndpoints/{endpoint}/jobs", json={"properties": {"InputData": {"in": uri}}})
        took = time.perf_counter() - began
        answer.raise_for_status()
        return took, str(answer.json()["name"])

    def wait(self, client: httpx.Client, name: str, *, pause: float) -> None:
        """Wait for a job's end, looking each `pause` seconds.

        Raises:
            Failed: it did not complete.

        """
        deadline = time.monotonic() + LONGEST
        while (status := client.get(f"/jobs/{name}").json()["status"]) not in _OVER:
            if time.monotonic() > deadline:
                raise Failed(f"job {name} is still {status}")
            time.sleep(pause)
        if status != "Completed":
            raise Failed(f"job {name}: {status}")

    def drain(self, client: httpx.Client, completed: int) -> None:
        """Wait until nothing is under way and so many jobs are complete in all.

        Raises:
            Failed: some failed, or took too long.

        """
        deadline = time.monotonic() + LONGEST
        while True:
            counts = {status: count for status, count in client.get("/status").json()["jobs"].items() if count}
            if counts == {"Completed": completed}:
                return
            if time.monotonic() > deadline or counts.keys() & {"Failed", "Canceled"}:
                raise Failed(f"{completed} jobs should be complete, and there are {counts}")
            time.sleep(0.2)

    def processor(self) -> float:
        """Return the seconds of processor time of all its processes, and of those that they waited for."""
        return sum(_used(pid) for pid in self._tree())

    def scheduler_mb(self) -> float:
        """Return the megabytes that the scheduler has in memory."""
        for pid in self._tree():
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
            if b"gristmill_scheduler" in command:
                status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
                line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
        raise Failed("there is no scheduler")

    def _tree(self) -> Iterator[int]:
        return memory.tree(self._state["pid"])


def _used(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0  # it has gone, and whoever waited for it counts it
    return sum(map(int, status.rpartition(")")[2].split()[11:15])) / _TICKS

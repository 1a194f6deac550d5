"""Memory of the whole tree of a job, scorers apart: the shared pages of several processes counted once (PSS)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from benchmarks import inputs, running, sides
from benchmarks.cases import named
from benchmarks.running import Failed

#: Seconds between two looks.
_PAUSE: Final = 0.05

#: Megabytes that everything but the scorers may take, and by how much more a large job may take than a small one.
ALLOWED: Final = 200
ALLOWED_GROWTH: Final = 20

#: Which processes these are, by what stands in their command.
_KINDS: Final = {
    "scorer": "scorer/child.py",
    "scheduler": "gristmill_scheduler",
    "node": "gristmill_workers",
    "server": "valkey-server",
    "guardian": "guardian.py",
}


@dataclass
class Peak:
    """The most that was seen at one moment, in bytes."""

    beside_scorers: int = 0
    scorers: int = 0
    #: The most of each kind of process, each at its own moment.
    kinds: dict[str, int] = field(default_factory=dict)

    def see(self, found: dict[str, int]) -> None:
        """Take one look."""
        scorers = sum(size for kind, size in found.items() if kind == "scorer")
        self.scorers = max(self.scorers, scorers)
        self.beside_scorers = max(self.beside_scorers, sum(found.values()) - scorers)
        for kind, size in found.items():
            self.kinds[kind] = max(self.kinds.get(kind, 0), size)

    def megabytes(self) -> dict[str, float]:
        """Return all of it, as it is shown."""
        found = {"beside_scorers_mb": _mb(self.beside_scorers), "scorers_mb": _mb(self.scorers)}
        return found | {f"{kind}_mb": _mb(size) for kind, size in sorted(self.kinds.items())}


def measure(data: Path, items: int) -> dict[str, Any]:
    """Run W0 with so many items; return the peaks in megabytes.

    Raises:
        Failed: the job failed.

    """
    name = {100_000: "null"}.get(items, f"null-{items}")
    case = replace(named("W0"), input=name, items=items, rows=items)
    with tempfile.TemporaryDirectory(prefix="gristmill-benchmark-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        command = [str(Path(sys.executable).with_name("gristmill")), "run"]
        command += [str(sides.deployment(case, data, scratch)), "--input", str(inputs.make(data, name))]
        command += ["--output", str(scratch / "scores.csv")]
        with (
            subprocess.Popen(
                command, env=running.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            ) as process,
            watched(process.pid) as peak,
        ):
            code = process.wait(running.LONGEST)
        summary = json.loads((scratch / "summary.json").read_text())
        if code != 0 or summary["items"]["succeeded"] != items:
            raise Failed(f"the job of {items} items ended with {code}")
    return {"items": items, **peak.megabytes()}


def _mb(size: int) -> float:
    return round(size / 1e6, 1)


def high_water() -> int:
    """Return the most bytes that this process had in memory at once; of what started it nothing counts."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@contextmanager
def watched(root: int) -> Iterator[Peak]:
    """Look at a process and all below it again and again."""
    peak, over = Peak(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(root, peak, over))
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def _watch(root: int, peak: Peak, over: threading.Event) -> None:
    while not over.wait(_PAUSE):
        peak.see(_look(root))
        time.sleep(0)


def _look(root: int) -> dict[str, int]:
    """Return the bytes of each kind of process below `root`, and of it."""
    found: dict[str, int] = {}
    for pid in tree(root):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            size = _pss(pid)
        except (OSError, ValueError, StopIteration):
            continue  # it has gone
        kind = next((kind for kind, mark in _KINDS.items() if mark in command), "command")
        found[kind] = found.get(kind, 0) + size
    return found


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def tree(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                status = Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            parent = int(status.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def compare(data: Path, sizes: list[int]) -> dict[str, Any]:
    """Measure small and large jobs; return the figures and whether they are within bounds."""
    measured = [measure(data, items) for items in sizes]
    used = [one["beside_scorers_mb"] for one in measured]
    return {"jobs": measured, "most_mb": max(used), "growth_mb": round(used[-1] - used[0], 1)}

"""How busy the machine is, for who watches the cluster: cores, memory, GPUs. What cannot be told is left out.

In a container its own limits count, not the host's. Nothing here may cost much or raise: it is asked for with each sign
of life.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from gristmill_workers.gpu_load import GpuLoad

#: Where the system tells it.
_PROC = Path("/proc")
_GROUP = Path("/sys/fs/cgroup")

#: The columns of the first line of /proc/stat that are no work: idle, and idle for want of a disk.
_IDLE = (3, 4)


class MachineLoad:
    """Looks at this machine."""

    def __init__(self, *, proc: Path = _PROC, group: Path = _GROUP, gpus: GpuLoad | None = None) -> None:
        """Take where the system tells it, and what tells of GPUs."""
        self._proc = proc
        self._group = group
        self._gpus = gpus or GpuLoad()

    def document(self) -> dict[str, Any]:
        """Return what a node says: cores, their busy seconds since the start, bytes of memory, GPUs."""
        told: dict[str, Any] = {"cpus": self._cpus()}
        with contextlib.suppress(OSError, ValueError, IndexError):
            told["cpu_seconds"] = self._cpu_seconds()
        with contextlib.suppress(OSError, ValueError, LookupError):
            told["memory"], told["memory_available"] = self._memory()
        gpus = self._gpus.document()
        return {**told, "gpus": gpus} if gpus else told

    def _cpus(self) -> float:
        cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        with contextlib.suppress(OSError, ValueError):
            quota, period = (self._group / "cpu.max").read_text().split()
            cores = min(cores, int(quota) / int(period))
        return cores

    def _cpu_seconds(self) -> float:
        """Return the seconds that the group's cores were busy, or, outside of one, the machine's."""
        with contextlib.suppress(OSError, ValueError, LookupError):
            if (self._group / "cpu.max").exists():  # the root of all groups has none
                lines = dict(line.split() for line in (self._group / "cpu.stat").read_text().splitlines())
                return int(lines["usage_usec"]) / 1e6
        columns = (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
        ticks = sum(int(column) for place, column in enumerate(columns) if place not in _IDLE)
        return ticks / os.sysconf("SC_CLK_TCK")

    def _memory(self) -> tuple[int, int]:
        """Return how many bytes there are, and how many of them are free or can be freed."""
        lines = (line.split() for line in (self._proc / "meminfo").read_text().splitlines())
        known = {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}
        total, available = known["MemTotal"], known["MemAvailable"]
        with contextlib.suppress(OSError, ValueError, LookupError):
            limit = int((self._group / "memory.max").read_text())
            if limit < total:
                used = int((self._group / "memory.current").read_text())
                stat = dict(line.split() for line in (self._group / "memory.stat").read_text().splitlines())
                return limit, min(available, limit - used + int(stat["inactive_file"]))
        return total, available

"""What a job's machine had to give while it ran, `logs/sys/perf/<node>/`: disks, cores and memory, and each process.

A row now and then, ever more seldom as a job goes on, so that a job of weeks has no more than a few thousand. Azure
ML's engine writes files of these names; the columns are ours. Nothing here may cost much or raise.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gristmill import log_context
from gristmill_storage.job_report import csv_line
from gristmill_storage.log_files import append_local, harmless
from gristmill_workers.machine_load import MachineLoad

#: Seconds until the first rows, and between two then, at least.
FIRST_SECONDS: Final = 1.0
SECONDS: Final = 5.0

#: The share of a job's time that lies between two rows, when that is more.
SHARE: Final = 1 / 200

#: Bytes of one of these files; nothing is added to one that has them.
MOST_BYTES: Final = 8 * 1024 * 1024

NODE_COLUMNS: Final = (
    "Time",
    "Cpus",
    "Cpu Seconds",
    "Memory Bytes",
    "Memory Available Bytes",
    "Gpus",
    "Gpu Utilization",
    "Gpu Memory Bytes",
    "Gpu Memory Used Bytes",
)
DISK_COLUMNS: Final = ("Time", "Folder", "Total Bytes", "Free Bytes")
PROCESS_COLUMNS: Final = ("Time", "Process", "Pid", "Cpu Seconds", "Memory Bytes", "Threads")

_PROC: Final = Path("/proc")


class Performance:
    """Writes what one instance's machine and processes use."""

    def __init__(
        self,
        folder: Path,
        *,
        disks: Mapping[str, Path],
        processes: Callable[[], Mapping[str, int]],
        load: MachineLoad | None = None,
        proc: Path = _PROC,
    ) -> None:
        """Take where the files go, what disks are told of by which name, and what tells the processes' ids by name."""
        self._folder = folder
        self._disks = disks
        self._processes = processes
        self._load = load or MachineLoad()
        self._proc = proc
        self._ending = threading.Event()
        self._began = time.monotonic()
        self._thread = log_context.Thread(self._run, name="performance")

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Write rows now and then, and the last ones at the end."""
        self._thread.start()
        try:
            yield
        finally:
            self._ending.set()
            self._thread.join()

    def _run(self) -> None:
        pause = FIRST_SECONDS
        with harmless(f"{self._folder}: what was used"):
            while not self._ending.wait(pause):
                self.write()
                pause = max(SECONDS, SHARE * (time.monotonic() - self._began))
            self.write()

    def write(self) -> None:
        """Write a row into each file.

        Raises:
            OSError: a file was not taken.

        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._add("node_resource_usage.csv", NODE_COLUMNS, [[now, *self._node()]])
        self._add("node_disk_usage.csv", DISK_COLUMNS, ([now, *row] for row in self._disk_rows()))
        self._add("processes_resource_usage.csv", PROCESS_COLUMNS, ([now, *row] for row in self._process_rows()))

    def _add(self, name: str, columns: Iterable[str], rows: Iterable[list[object]]) -> None:
        path = self._folder / name
        size = path.stat().st_size if path.exists() else 0
        if size >= MOST_BYTES:
            return
        lines = [csv_line(columns)] if not size else []
        append_local(path, "".join([*lines, *map(csv_line, rows)]).encode("utf-8", "backslashreplace"))

    def _node(self) -> list[object]:
        told = self._load.document()
        gpus: list[dict[str, Any]] = told.get("gpus", [])
        used = [gpu["utilization"] for gpu in gpus if "utilization" in gpu]
        return [
            *(told.get(key, "") for key in ("cpus", "cpu_seconds", "memory", "memory_available")),
            len(gpus),
            round(sum(used) / len(used), 3) if used else "",
            sum(gpu.get("memory", 0) for gpu in gpus) if gpus else "",
            sum(gpu.get("memory_used", 0) for gpu in gpus) if gpus else "",
        ]

    def _disk_rows(self) -> Iterator[list[object]]:
        for name, path in self._disks.items():
            with contextlib.suppress(OSError):
                there = next(place for place in (path, *path.parents) if place.exists())
                usage = shutil.disk_usage(there)
                yield [name, usage.total, usage.free]

    def _process_rows(self) -> Iterator[list[object]]:
        for name, pid in {"node": os.getpid(), **self._processes()}.items():
            with contextlib.suppress(OSError, ValueError, LookupError):  # it may be gone
                yield [name, pid, *self._process(pid)]

    def _process(self, pid: int) -> list[object]:
        """Return seconds of cores, bytes of memory, and threads of a process; as /proc tells them."""
        text = (self._proc / str(pid) / "stat").read_text("utf-8", "replace")
        fields = text[text.rindex(")") + 2 :].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return [round(seconds, 2), int(fields[21]) * os.sysconf("SC_PAGE_SIZE"), int(fields[17])]

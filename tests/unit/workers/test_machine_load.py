"""How busy the machine is, from files as Linux has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gristmill_workers.gpu_load import GpuLoad
from gristmill_workers.machine_load import MachineLoad

#: The driver's library, as far as it is used: two GPUs, of which the second tells no utilization.
NVML = """
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned int gpu, memory; } rates;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **h) { *h = (void *)(unsigned long)(i + 1); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, memory *m) { m->total = 100; m->used = 10 * (unsigned long)h; return 0; }
int nvmlDeviceGetUtilizationRates(void *h, rates *r) { r->gpu = 25; return (unsigned long)h == 2 ? 3 : 0; }
"""


@pytest.fixture
def load(tmp_path: Path) -> MachineLoad:
    (tmp_path / "proc").mkdir()
    (tmp_path / "group").mkdir()
    (tmp_path / "proc" / "stat").write_text("cpu  100 10 50 9000 800 0 20 20 5 5\ncpu0 1 2 3\n")
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n")
    return MachineLoad(proc=tmp_path / "proc", group=tmp_path / "group", gpus=GpuLoad("no such library"))


def test_a_machine_tells_of_its_cores_and_memory(load: MachineLoad) -> None:
    told = load.document()
    assert told["cpus"] == len(os.sched_getaffinity(0))
    assert told["cpu_seconds"] == 200 / os.sysconf("SC_CLK_TCK")
    assert (told["memory"], told["memory_available"]) == (1000 * 1024, 600 * 1024)
    assert set(told) == {"cpus", "cpu_seconds", "memory", "memory_available"}


def test_in_a_container_its_own_limits_count(load: MachineLoad, tmp_path: Path) -> None:
    group = tmp_path / "group"
    (group / "cpu.max").write_text("50000 100000\n")
    (group / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (group / "memory.max").write_text("500000\n")
    (group / "memory.current").write_text("400000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 30000\n")
    assert load.document() == {"cpus": 0.5, "cpu_seconds": 2.5, "memory": 500000, "memory_available": 130000}


def test_limits_that_are_none_count_for_nothing(load: MachineLoad, tmp_path: Path) -> None:
    (tmp_path / "group" / "cpu.max").write_text("max 100000\n")
    (tmp_path / "group" / "memory.max").write_text("max\n")
    assert load.document()["memory"] == 1000 * 1024


def test_what_cannot_be_told_is_left_out(tmp_path: Path) -> None:
    told = MachineLoad(proc=tmp_path, group=tmp_path, gpus=GpuLoad("no such library")).document()
    assert set(told) == {"cpus"}


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a driver's library with")
def test_gpus_are_told_of_by_the_drivers_library(tmp_path: Path) -> None:
    source, library = tmp_path / "nvml.c", tmp_path / "nvml.so"
    source.write_text(NVML)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    gpus = GpuLoad(str(library))
    assert gpus.document() == [
        {"memory": 100, "memory_used": 10, "utilization": 0.25},
        {"memory": 100, "memory_used": 20},
    ]
    load = MachineLoad(proc=tmp_path, group=tmp_path, gpus=gpus)
    assert len(json.loads(json.dumps(load.document()))["gpus"]) == 2


def test_a_library_that_is_another_tells_nothing() -> None:
    assert GpuLoad("libc.so.6").document() == []

"""A real node is seen by its probe, and leaves by itself when there is nothing to do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

GRISTMILL = str(Path(sys.executable).with_name("gristmill"))


def gristmill(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([GRISTMILL, *arguments], env=environment, capture_output=True, text=True, check=False)


def heaps_of_threads(pid: int) -> list[str]:
    """Return where in a process's memory glibc has given a thread a heap of its own: they are aligned to 64 MiB."""
    found = [line.split() for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()]
    return [
        it[0] for it in found if len(it) == 5 and it[1] == "rw-p" and int(it[0].split("-")[0], 16) % (64 << 20) == 0
    ]


@pytest.mark.timeout(60)
def test_a_node_is_ready_for_its_probe_and_leaves_when_idle(redis_url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "GRISTMILL_REDIS_URL": redis_url, "GRISTMILL_PULSE_FILE": str(tmp_path / "pulse")}
    before = gristmill("node", "--probe", environment=environment)
    command = [GRISTMILL, "node", "--compute", "pulse", "--leave-when-idle", "2"]

    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as node:
        deadline = time.monotonic() + 40
        while (during := gristmill("node", "--probe", "ready", environment=environment)).returncode:
            assert node.poll() is None
            assert time.monotonic() < deadline
        heaps = heaps_of_threads(node.pid)
        left = node.wait(40)

    after = gristmill("node", "--probe", "ready", environment=environment)
    assert (before.returncode, during.stdout, left, after.returncode) == (1, "alive, 0 running\n", 0, 1)
    assert "no node has written its pulse" in before.stderr
    assert "the node leaves" in after.stderr
    assert heaps == []  # its threads share one

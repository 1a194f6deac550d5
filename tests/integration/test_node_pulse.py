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
        left = node.wait(40)

    after = gristmill("node", "--probe", "ready", environment=environment)
    assert (before.returncode, during.stdout, left, after.returncode) == (1, "alive, 0 running\n", 0, 1)
    assert "no node has written its pulse" in before.stderr
    assert "the node leaves" in after.stderr

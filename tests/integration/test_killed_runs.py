"""What a run leaves that is killed with all its processes, and who takes it away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.local.runtime import Runtime

RUN = """
import time
from gristmill.local.early_server import EarlyServer
from gristmill.settings import ProcessSettings

server = EarlyServer(ProcessSettings.read())
print(server.runtime.socket, flush=True)
time.sleep(600)
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A folder whose path is too long for a socket."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    return folder


@pytest.fixture
def run(scratch: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with an embedded server."""
    environment = {**os.environ, "GRISTMILL_SCRATCH": str(scratch), "GRISTMILL_REDIS_URL": ""}
    with subprocess.Popen([sys.executable, "-c", RUN], env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def aged(folder: Path) -> Path:
    long_ago = time.time() - 600
    os.utime(folder, (long_ago, long_ago))
    return folder


def test_a_killed_runs_socket_folder_goes_with_the_next_run_and_a_living_ones_stays(
    scratch: Path, run: subprocess.Popen[str]
) -> None:
    assert run.stdout is not None
    socket = Path(run.stdout.readline().strip())
    deadline = time.monotonic() + 60
    while not socket.exists() and time.monotonic() < deadline:
        time.sleep(0.01)

    assert socket.is_socket()
    assert not socket.is_relative_to(scratch)
    Runtime(scratch).close()
    aged(socket.parent)
    Runtime(scratch).close()
    assert socket.is_socket()

    run.send_signal(signal.SIGKILL)
    while socket.parent.exists() and time.monotonic() < deadline:
        aged(socket.parent)
        Runtime(scratch).close()
    assert not socket.parent.exists()

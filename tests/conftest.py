"""What all tests share: a real server, one for each process that runs tests, and a look for what they leave behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill_storage import server

# What pytest makes of test modules is kept for the other processes that run tests, whatever the environment says: to
# compile them all takes each ten seconds.
sys.dont_write_bytecode = False

#: What MLflow makes in the working folder where nobody tells it another place.
MLFLOWS = ("mlflow.db", "mlruns")


@pytest.fixture(scope="session", autouse=True)
def _clean_working_folder() -> Iterator[None]:
    """Nothing of MLflow's may be left in the folder that tests are run from."""
    folder = Path.cwd()
    before = {name for name in MLFLOWS if (folder / name).exists()}
    yield
    left = {name for name in MLFLOWS if (folder / name).exists()} - before
    assert not left, f"{folder}: a test, or what it started, left {sorted(left)} here"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """Address of a real server on a unix socket, for as long as the tests of this process run."""
    # Not pytest's folder: its path may be too long for a unix socket.
    folder = Path(tempfile.mkdtemp(prefix="gm"))
    socket = folder / "private" / "s"
    process = subprocess.Popen(server.command(folder=folder, socket=socket), stdin=subprocess.DEVNULL)
    try:
        server.wait_until_ready(server.url_of(socket), 10, alive=lambda: process.poll() is None)
        yield server.url_of(socket)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """Address of a real, empty server. Afterwards no key of the ledger may be without a time to live."""
    import redis

    client = redis.Redis.from_url(redis_server, decode_responses=True, protocol=2)
    try:
        client.flushall()
        yield redis_server
        client.ping()
        leaked = [key for key in client.scan_iter("gristmill:*") if client.ttl(key) == -1]
        client.flushall()
    finally:
        client.close()
    assert not leaked, f"keys without a time to live: {leaked}"

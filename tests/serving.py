"""The real server, and nodes if wanted, as processes of their own; what tests of the service and its clients share.

with Serving(redis_url, tmp_path, nodes=1) as serving:
    serving.request("PUT", "/batchEndpoints/e", json={"name": "e"})
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

#: Seconds that a process has to be ready, on a machine that is busy with other tests.
READY_SECONDS = 40.0

#: What runs a module as a process.
PYTHON = (sys.executable, "-P", "-m")

#: Seconds that a process has to leave by itself.
LEAVE_SECONDS = 10.0


class Serving:
    """A server on a port of its own, its workspace `<folder>/workspace`, its logs `<folder>/*.log`."""

    def __init__(
        self,
        redis_url: str,
        folder: Path,
        *,
        nodes: int = 0,
        slots: int = 2,
        compute: str = "local",
        arguments: Sequence[object] = (),
        environment: Mapping[str, str] | None = None,
        python: Sequence[str] = PYTHON,
    ) -> None:
        """Take where all is; nothing is started yet.

        Args:
            redis_url: the Redis-compatible server.
            folder: for everything that is made; a workspace that is there is used again.
            nodes: how many node processes.
            slots: of each node.
            compute: that the nodes serve.
            arguments: more arguments of the service.
            environment: more variables of all processes.
            python: what runs a module as a process.

        """
        self.folder = folder
        self.workspace = folder / "workspace"
        #: Address of the server; known once it listens.
        self.url = ""
        #: An owner's token; "" with --insecure-local.
        self.token = ""
        self.process: subprocess.Popen[str]
        self.nodes: list[subprocess.Popen[str]] = []
        self._wanted = (nodes, slots, compute)
        self.python = python
        self._arguments = [str(argument) for argument in arguments]
        models = self.workspace / "mlflow"
        models.mkdir(parents=True, exist_ok=True)
        settings = {
            "GRISTMILL_REDIS_URL": redis_url,
            "GRISTMILL_CACHE": str(folder / "cache"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{models / 'mlflow.db'}",
            # What writes runs takes seconds of a core: the tests that look at runs turn it on.
            "GRISTMILL_TRACKING": "off",
        }
        self._environment = {**os.environ, "GRISTMILL_LEASE_SECONDS": "2", **settings, **(environment or {})}
        self._stack = ExitStack()

    @property
    def token_file(self) -> Path:
        return self.workspace / "run" / "token"

    @property
    def log(self) -> str:
        return (self.folder / "service.log").read_text()

    def __enter__(self) -> Self:
        try:
            self.start()
            count, slots, compute = self._wanted
            for number in range(count):
                self.node(f"node{number}", compute=compute, slots=slots)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start the server and wait until it listens."""
        places = ["--port", "0", "--workspace", str(self.workspace), "--owned"]
        token = [] if "--insecure-local" in self._arguments else ["--token-file", str(self.token_file)]
        command = [*self.python, "gristmill_scheduler.service", *places, *token, *self._arguments]
        self.process = self._spawn("service", command)
        self.url = self._listening()
        self.token = self.token_file.read_text().strip() if token else ""

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the server by a signal and return what it ended with; `start` starts it again."""
        self.process.send_signal(number)
        return self.process.wait(LEAVE_SECONDS)

    def node(
        self,
        name: str,
        *,
        compute: str = "local",
        slots: int = 2,
        python: Sequence[str] | None = None,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """Start a node; it serves when it is ready, which jobs wait for."""
        command = [*(python or self.python), "gristmill_workers", "--compute", compute, "--slots", str(slots)]
        node = self._spawn(name, [*command, "--owned"], **{"GRISTMILL_NODE_NAME": name, **environment})
        self.nodes.append(node)
        return node

    def request(self, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
        """Ask the server, as an owner unless another token ("": none) is given; `options` are those of httpx."""
        token = self.token if token is None else token
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **(options.pop("headers", None) or {})}
        # The machine's own certificates are of no use here, and take long to read.
        options.setdefault("verify", False)
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, trust_env=False, **options)

    def until(self, path: str, holds: Any, seconds: float = 60.0) -> Any:
        """Ask for a document until `holds(document)`, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            document = self.request("GET", path).raise_for_status().json()
            if holds(document):
                return document
            assert time.monotonic() < deadline, f"waited in vain: {json.dumps(document)}\n{self.log[-4000:]}"
            time.sleep(0.05)

    def _spawn(self, name: str, command: list[str], **environment: str) -> subprocess.Popen[str]:
        log = self._stack.enter_context((self.folder / f"{name}.log").open("a"))
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if name == "service" else log,
            stderr=log,
            text=True,
            env={**self._environment, **environment},
        )
        self._stack.callback(_end, process)
        return process

    def _listening(self) -> str:
        lines: queue.Queue[str] = queue.Queue()
        stream = self.process.stdout
        assert stream is not None
        threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            line = ""
        assert line, f"the service does not listen:\n{self.log[-4000:]}"
        event = json.loads(line)
        assert event["event"] == "listening"
        return str(event["url"])


def _end(process: subprocess.Popen[str]) -> None:
    """Let a process leave, by the end of its stdin and SIGTERM; kill it when it does not."""
    assert process.stdin is not None
    process.stdin.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()

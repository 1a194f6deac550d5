"""A cluster of real processes, each machine with an address of its own: Redis, S3, a scheduler, nodes, their keeper."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, Self

from chaos.network import PREFIX, Loopback, Namespaces, Network
from chaos.processes import Keeper, Kept, Relative
from chaos.workload import COMPUTE, NODE
from gristmill.spec import Job, to_json
from gristmill_storage import server

#: The members of the network that are no nodes.
REDIS: Final = "redis"
STORAGE: Final = "storage"
SCHEDULER: Final = "scheduler"
#: Where whoever watches the cluster sits; it is never cut off.
WATCH: Final = "watch"

BUCKET: Final = "chaos"

#: Seconds that services are given to be there.
_START_SECONDS: Final = 30.0

#: What a scorer's command line holds.
_SCORER: Final = "gristmill_workers/scorer/"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a world is made of."""

    nodes: int = 2
    lease_seconds: float = 3.0
    #: Seconds by which the clocks of nodes are ahead, the first node's first; none given: they are right.
    clocks: tuple[float, ...] = ()
    #: Whether there is an S3 server.
    storage: bool = True
    #: Bytes of a file system of their own for local outputs; None: no such file system.
    disk: int | None = None


class World:
    """The cluster. Everything in it is gone when its context ends, whatever happened."""

    def __init__(self, plan: Plan, *, namespaces: bool) -> None:
        """Take what it is made of, and whether its machines get addresses of their own; nothing runs yet."""
        self.plan = plan
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-"))
        self.nodes = [f"node{number}" for number in range(1, plan.nodes + 1)]
        self.partitions = namespaces
        #: What is out of work by our own hand right now, and how often at once.
        self.away: Counter[str] = Counter()
        self._away_lock = threading.Lock()
        self._stack = contextlib.ExitStack()
        self._kept: dict[str, Kept] = {}

    def __enter__(self) -> Self:
        """Start everything."""
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything; logs stay in `folder` until `forget`."""
        self._stack.close()

    def forget(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        (self.folder / "logs").mkdir()
        self.output.mkdir()
        if self.plan.disk is not None:
            self._mount(self.plan.disk)
        members = [REDIS, STORAGE, SCHEDULER, WATCH, *self.nodes]
        self.network: Network = Namespaces(members) if self.partitions else Loopback()
        self._stack.callback(self.network.close)
        self.keeper = Keeper()
        self._stack.callback(self.keeper.close)
        self._ports = {REDIS: 6379, STORAGE: 5000} if self.partitions else {REDIS: _free_port(), STORAGE: _free_port()}
        self._keep(REDIS, REDIS, self._redis_command())
        if self.plan.storage:
            self._keep(STORAGE, STORAGE, self._storage_command())
        server.wait_until_ready(self.watch_url, _START_SECONDS)
        if self.plan.storage:
            self._make_bucket()
        self._keep(SCHEDULER, SCHEDULER, self._scheduler_command())
        for number, node in enumerate(self.nodes):
            clock = (*self.plan.clocks, *([0.0] * len(self.nodes)))[number]
            variables = {"GRISTMILL_NODE_NAME": node, NODE: node, "CHAOS_CLOCK_SECONDS": str(clock)}
            self._keep(node, node, _node_command(skewed=clock != 0), **variables)

    def _mount(self, size: int) -> None:
        """Give the outputs a file system of their own, which a test can fill."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.output)], check=True)
        self._stack.callback(subprocess.run, ["umount", "-l", str(self.output)], check=False)

    def _keep(self, name: str, member: str, command: Sequence[str], **variables: str) -> None:
        environment = {**os.environ, **self.environment, **variables}
        command = self.network.command(member, command)
        kept = Kept(name, command, environment=environment, folder=self.folder / "logs")
        self._kept[name] = self.keeper.keep(kept)

    @property
    def output(self) -> Path:
        """The folder of local outputs."""
        return self.folder / "output"

    @property
    def environment(self) -> dict[str, str]:
        """What leads processes of the cluster to its services."""
        return {
            "GRISTMILL_REDIS_URL": f"redis://{self.network.address(REDIS)}:{self._ports[REDIS]}/0",
            "GRISTMILL_LEASE_SECONDS": str(self.plan.lease_seconds),
            "GRISTMILL_CACHE": str(self.folder / "cache"),
            "GRISTMILL_SCRATCH": str(_made(self.folder / "scratch")),
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_ACCESS_KEY_ID": "chaos",
            "AWS_SECRET_ACCESS_KEY": "chaos",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def _endpoint(self) -> str:
        return f"http://{self.network.address(STORAGE)}:{self._ports[STORAGE]}"

    @property
    def watch_url(self) -> str:
        """Redis by a way that no partition cuts: a unix socket, which no network namespace bounds."""
        return server.url_of(self.folder / "redis.socket")

    def _redis_command(self) -> list[str]:
        options = {
            "bind": self.network.address(REDIS),
            "port": str(self._ports[REDIS]),
            "protected-mode": "no",
            "unixsocket": str(self.folder / "redis.socket"),
            "dir": str(_made(self.folder / "redis")),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [str(server.find_binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def _storage_command(self) -> list[str]:
        address = self.network.address(STORAGE)
        return [sys.executable, "-m", "moto.server", "-H", address, "-p", str(self._ports[STORAGE])]

    def _scheduler_command(self) -> list[str]:
        return [sys.executable, "-m", "gristmill_scheduler", *(["--take-over"] if can_take_over() else [])]

    # What there is ----------------------------------------------------------------------------------------------

    def kept(self, name: str) -> Kept:
        """Return a process by its name: redis, storage, scheduler, node1, ..."""
        return self._kept[name]

    def scorers(self, node: str) -> list[Relative]:
        """Return a node's scorers."""
        return [one for one in self.kept(node).family() if _SCORER in one.command]

    @cached_property
    def s3(self) -> Any:
        """A client of the S3 server; use it inside `at_watch`."""
        import boto3
        from botocore.config import Config

        patient = Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1})
        return boto3.client(
            "s3",
            endpoint_url=self._endpoint,
            aws_access_key_id="chaos",
            aws_secret_access_key="chaos",
            region_name="us-east-1",
            config=patient,
        )

    def _make_bucket(self) -> None:
        from botocore.exceptions import BotoCoreError

        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with self.network.inside(WATCH):
                    self.s3.create_bucket(Bucket=BUCKET)
            except BotoCoreError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def read(self, url: str) -> bytes | None:
        """Return a file of an output folder; None when there is none (or, for a moment, no answer)."""
        if not url.startswith("s3://"):
            path = Path(url)
            return path.read_bytes() if path.exists() else None
        from botocore.exceptions import BotoCoreError, ClientError

        bucket, _, key = url.removeprefix("s3://").partition("/")
        try:
            with self.network.inside(WATCH):
                body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError):
            return None
        return body

    def prove(self, folder: str) -> list[str]:
        """Return what Gristmill's own proof from storage finds wrong with a completed job."""
        command = [sys.executable, "-m", "gristmill_workers.aggregator.verify", "--folder", folder]
        done = subprocess.run(
            self.network.command(WATCH, command),
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode == 0:
            return []
        try:
            return [f"verify: {fault}" for fault in json.loads(done.stdout)["faults"]]
        except (ValueError, KeyError):
            return [f"verify: exit code {done.returncode}: {done.stderr[-500:]}"]

    # What is done to it -----------------------------------------------------------------------------------------

    def tell_scheduler(self, command: dict[str, Any]) -> bool:
        """Give the scheduler a command; False when it does not listen."""
        return self.kept(SCHEDULER).tell(json.dumps(command))

    def submit(self, job: Job) -> None:
        """Submit a job and wait until it is taken.

        Raises:
            AssertionError: it was refused, or nothing happened.

        """
        events = self.kept(SCHEDULER).events
        before = events.stat().st_size
        assert self.tell_scheduler({"command": "submit", "job": to_json(job)}), "the scheduler does not listen"

        def answered() -> bool:
            news = events.read_text()[before:]
            assert '"refused"' not in news, news
            return '"submitted"' in news

        wait_until(answered, _START_SECONDS, "the scheduler to take the job")

    @contextlib.contextmanager
    def outage(self, *names: str) -> Iterator[None]:
        """Note that these are out of work by our own hand: nobody is blamed for standing still meanwhile."""
        with self._away_lock:
            self.away.update(names)
        try:
            yield
        finally:
            with self._away_lock:
                self.away.subtract(names)

    @property
    def nothing_can_work(self) -> bool:
        """Whether what is away leaves nobody who could score."""
        return self.away[REDIS] > 0 or all(self.away[node] > 0 for node in self.nodes)


@cache
def can_take_over() -> bool:
    """Return whether this Gristmill's scheduler takes over the jobs of one that died."""
    asked = subprocess.run(
        [sys.executable, "-m", "gristmill_scheduler", "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    return "--take-over" in asked.stdout


def wait_until(holds: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: it does not hold in time.

    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.05)


def _node_command(*, skewed: bool) -> list[str]:
    arguments = ["--compute", COMPUTE, "--slots", "1"]
    if skewed:
        return [sys.executable, "-P", str(Path(__file__).with_name("skewed_node.py")), *arguments]
    return [str(Path(sys.executable).with_name("gristmill")), "node", *arguments]


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port

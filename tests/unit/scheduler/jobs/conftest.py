"""Jobs with everything real but Redis, Celery and nodes: instances are threads that commit without scoring."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill import spec
from gristmill.errors import Mistake, ResourceNotFound
from gristmill.settings import ProcessSettings
from gristmill_scheduler import takeover as takeover_module
from gristmill_scheduler.jobs import dispatcher as dispatcher_module
from gristmill_scheduler.jobs.catalog import Catalog
from gristmill_scheduler.jobs.service import Jobs
from gristmill_scheduler.resources.places import Located
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Entry, Lease, Over
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.queue import Message
from gristmill_storage.workspace import Workspace


def wait_until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return found


class Nodes:
    """Answers a queue's messages with threads, as long as it is open."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.open = threading.Event()
        self.open.set()
        #: Set it to keep what is begun from ending.
        self.hold = threading.Event()
        #: How many instances there is room for at once.
        self.slots = threading.Semaphore(100)
        self.begun: list[str] = []
        self.aggregated: list[str] = []
        self.failed = 0
        self._serial = 0
        self.threads: list[threading.Thread] = []

    def send_instance(self, compute: str, message: Message) -> None:
        self._spawn(self._instance, message)

    def send_aggregate(self, compute: str, message: Message) -> None:
        self._spawn(self._aggregate, message)

    def waiting(self, compute: str, job: str) -> list[tuple[str, Message]]:
        return []

    def remove(self, compute: str) -> None:
        pass

    def _spawn(self, work: Callable[[Message, str], None], message: Message) -> None:
        self._serial += 1
        thread = threading.Thread(target=self._take, args=(work, message, f"i{self._serial}"), daemon=True)
        self.threads.append(thread)
        thread.start()

    def _take(self, work: Callable[[Message, str], None], message: Message, name: str) -> None:
        with self.slots:
            work(message, name)

    def _instance(self, message: Message, name: str) -> None:
        if not self.open.is_set():
            return
        job, ledger = message.job, self._ledger
        info = {"role": "instance", "slot": message.slot, "scorers": 1}
        if ledger.register(job, instance=name, info=info).state != "open":
            return
        self.begun.append(job)
        while not isinstance(lease := ledger.lease(job, instance=name, limit=1), Over):
            if isinstance(lease, Lease) and not self.hold.is_set():
                failed = min(self.failed, 1)
                entry = Entry(
                    token=lease.token,
                    first=lease.first,
                    last=lease.last,
                    items=1,
                    succeeded=1 - failed,
                    failed=failed,
                    rows=1,
                    size=1,
                )
                ledger.commit(job, instance=name, part=f"{name}-{lease.first}", entries=[entry])
            elif isinstance(lease, Lease):
                ledger.give_back(job, instance=name, token=lease.token, ranges=None)
                time.sleep(0.01)
            else:
                time.sleep(0.005)
        ledger.leave(job, instance=name)

    def _aggregate(self, message: Message, name: str) -> None:
        self.aggregated.append(message.job)
        folder = open_store(message.folder)
        output = folder.url.partition("/.gristmill")[0]
        status = "Completed" if message.publish else "Canceled" if message.partial else "Failed"
        if message.publish:
            open_store(output).replace("predictions.csv", b"x\n")
        summary = {"status": status, "items": {"total": 1, "succeeded": 1, "failed": 0}, "rows": 1}
        summary |= {"mini_batches": {"total": 1}, "seconds": {"queue": 0.5}}
        folder.replace(job_folder.SUMMARY, json.dumps(summary).encode())
        result = {"status": status, "output": f"{output}/predictions.csv", "summary": "s", "errors": None}
        folder.replace(job_folder.RESULT, json.dumps(result).encode())
        self._ledger.close(message.job, status=status)


class Resources:
    """Endpoints, deployments, data and computes as jobs know them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deployments = self.references = self
        self.deployment = spec.Deployment(name="d", endpoint_name="e", model=spec.Model(path=str(folder)), compute="c")
        self.overrides: list[tuple[str, ...]] = []
        self.registry = ""

    def by_documents(self) -> set[str]:
        return set()

    by_models = by_documents

    def list(self, endpoint: str) -> list[str]:
        if endpoint != "e":
            raise ResourceNotFound(f"endpoint {endpoint}: there is none of that name")
        return ["d"]

    def route(self, endpoint: str, deployment: str | None) -> str:
        if endpoint != "e":
            raise ResourceNotFound(f"endpoint {endpoint}: there is none of that name")
        if deployment not in (None, "d"):
            raise Mistake(f"Deployment name {deployment} not found for this endpoint")
        return "d"

    def job_deployment(self, endpoint: str, deployment: str, overrides: Any) -> tuple[spec.Deployment, int]:
        self.overrides.append(tuple(overrides))
        found, settings = self.deployment, self.deployment.settings
        for key, _, value in (text.partition("=") for text in overrides):
            if key == "resources.instance_count":
                found = dataclasses.replace(found, instance_count=int(value))
            if key == "settings.priority":
                settings = dataclasses.replace(settings, priority=spec.Priority(json.loads(value)))
            if key == "settings.output_file_name":
                settings = dataclasses.replace(settings, output_file_name=json.loads(value))
        return dataclasses.replace(found, settings=settings), 3

    def uri(self, text: str, *, kind: str) -> Located:
        if kind == "output":
            path = text.removeprefix("azureml://datastores/workspaceblobstore/paths/")
            return Located(url=str(self.folder / "data" / path), origin=text)
        kinds = {"azureml:file:1": "uri_file", "azureml:table:1": "mltable"}
        return Located(url=str(self.folder / "in"), type=kinds.get(text), origin=text)


class World:
    """A workspace, a ledger, nodes, and as many servers as a test wants."""

    def __init__(self, folder: Path) -> None:
        (folder / "in").mkdir()
        (folder / "in" / "a.txt").touch()
        self.folder = folder
        self.workspace = Workspace(open_store(f"memory://{uuid.uuid4().hex}"))
        self.ledger = MemoryLedger()
        self.nodes = Nodes(self.ledger)
        self.resources = Resources(folder)
        self._servers: list[Jobs] = []

    def server(
        self, *, start: bool = True, runs: Any = None, unserved: Callable[[str], None] | None = None, **environment: str
    ) -> Jobs:
        # Web servers of tests are on this machine.
        own = {"HOME": str(self.folder), "GRISTMILL_LEASE_SECONDS": "2", "GRISTMILL_ALLOW_HOSTS": "127.0.0.1"}
        given = {**own, **environment}
        settings = ProcessSettings.read(given)
        jobs = Jobs(
            self.workspace,
            Catalog(deployments=self.resources, references=self.resources, naming=self.resources),
            settings,
            ledger=self.ledger,
            asked=self.ledger,
            queue=self.nodes,  # type: ignore[arg-type]
            runs=runs,
            unserved=unserved,
        )
        if start:
            jobs.start()
            self._servers.append(jobs)
        return jobs

    @staticmethod
    def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
        """Wait until something holds, and return it."""
        return wait_until(holds, seconds)

    @staticmethod
    def ends(jobs: Jobs, name: str) -> dict[str, Any]:
        """Wait for a job's end, and return its document."""
        return wait_until(lambda: (found := jobs.get(name))["ended"] and found)

    def close(self) -> None:
        self.nodes.hold.clear()
        for server in self._servers:
            server.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(dispatcher_module, "REFRESH_SECONDS", 0.1)
    monkeypatch.setattr(takeover_module, "LOOK_SECONDS", 0.02)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def jobs(world: World) -> Jobs:
    return world.server()

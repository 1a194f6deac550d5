"""The application on a workspace in memory, asked through Starlette's client."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from gristmill.errors import Conflict, JobNotFound, PreconditionFailed, ResourceNotFound
from gristmill_scheduler.http.app import build_app
from gristmill_scheduler.http.audit import AuditLog
from gristmill_scheduler.http.auth import READER, Guard
from gristmill_scheduler.http.failures import Failures
from gristmill_scheduler.http.services import About, Services
from gristmill_scheduler.http.tokens import Grant, Tokens
from gristmill_scheduler.resources.shown import Shown
from gristmill_storage.files import MemoryStore
from gristmill_storage.workspace import Workspace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would like another client better, of whose existence we need not know
    from starlette.testclient import TestClient

URL = "http://localhost:8890"


class Kept:
    """Resources of any kind, found by the names in their path: what the routes need of the real ones."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, ...], Shown] = {}
        self.by: list[str] = []

    def put(self, *arguments: Any, expected: int | None = None, by: str = "", **_: Any) -> Shown:
        *names, document = arguments
        key = tuple(names)
        found = self.there.get(key)
        version = found.version if found else 0
        if expected == 0 and found:
            raise Conflict(f"{key[-1]}: it is there")
        if expected not in (None, version):
            raise PreconditionFailed(f"{key[-1]}: version {version} is there")
        self.by.append(by)
        shown = {**document, "id": "/".join(["", *key]), "name": key[0] if self._versioned(key) else key[-1]}
        self.there[key] = Shown(document=shown, version=version + 1)
        return Shown(document=shown, version=version + 1, created=found is None)

    @staticmethod
    def _versioned(key: tuple[str, ...]) -> bool:
        return len(key) == 2 and key[1].isdigit()

    def add(self, name: str, document: Mapping[str, Any], *, by: str = "") -> Shown:
        versions = [int(key[1]) for key in self.there if key[0] == name]
        version = str(max(versions, default=0) + 1)
        return self.put(name, version, {**document, "version": version}, expected=0, by=by)

    def get(self, *key: str) -> Shown:
        if key not in self.there:
            raise ResourceNotFound(f"{key[-1]}: there is none")
        return self.there[key]

    def labelled(self, name: str, label: str) -> Shown:
        return self.versions(name)[0]

    def delete(self, *key: str, expected: int | None = None, by: str = "") -> None:
        self.get(*key)
        del self.there[key]

    def list(self, *above: str, archived: str = "exclude") -> list[Shown]:
        return [shown for key, shown in sorted(self.there.items()) if key[: len(above)] == above]

    def versions(self, name: str, *, archived: str = "exclude") -> Any:
        found = [shown for key, shown in self.there.items() if key[0] == name]
        return sorted(found, key=lambda shown: int(shown.document["version"]), reverse=True)

    def archive(self, name: str, version: str | None, archived: bool, *, by: str = "") -> Any:
        keys = [key for key in self.there if key[0] == name and version in (None, key[1])]
        for key in keys:
            self.there[key].document["archived"] = archived
        return [self.there[key] for key in keys]


class NoJobs:
    def counts(self, sees: Callable[[str], bool]) -> dict[str, int]:
        return {"Running": sum(map(sees, ["mine", "mine", "other"]))}

    def endpoint_of(self, name: str) -> str:
        if name == "gone":
            raise JobNotFound(name)
        return name.partition("-")[0]


@dataclass
class World:
    """An application and what is behind it."""

    app: FastAPI
    services: Services
    guard: Guard
    client: TestClient
    tokens: Tokens
    audit: Path

    def token(self, *roles: str, endpoints: tuple[str, ...] = ("*",), name: str = "someone") -> str:
        return self.tokens.make(Grant(name=name, roles=roles, endpoints=endpoints), by="tests")[1]

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(MemoryStore(f"memory://{uuid.uuid4().hex}"))


def kept_services(workspace: Workspace, **others: Any) -> Services:
    names = ("endpoints", "deployments", "models", "data", "environments", "datastores", "computes")
    given: dict[str, Any] = {name: Kept() for name in names}
    given |= {"uploads": workspace.uploads, "jobs": NoJobs(), "nodes": list, "waiting": lambda _compute: 0}
    return Services(workspace=workspace, **{**given, **others})


def build(workspace: Workspace, audit: Path, options: dict[str, Any]) -> World:
    about, more, services, proxies = (options.pop(name, None) for name in ("about", "more", "services", "proxies"))
    tokens = Tokens(workspace.documents("tokens"))
    guard = Guard(tokens, **{"failures": Failures(burst=1000), **options})
    behind = kept_services(workspace, **(services or {}))
    about, log = about or About(url=URL), AuditLog(audit)
    app = build_app(behind, guard, about=about, audit_log=log, proxies=proxies, more=more or ())
    client = TestClient(app, base_url=URL, raise_server_exceptions=True)
    return World(app, behind, guard, client, tokens, audit)


@pytest.fixture
def make_world(workspace: Workspace, tmp_path: Path) -> Callable[..., World]:
    """Make an application; options are those of the guard, and `about`, `more`, `services`, `proxies`."""
    return lambda **options: build(workspace, tmp_path / "audit", options)


@pytest.fixture(scope="module")
def failing() -> list[Exception]:
    """The error that GET /raise of the shared applications raises: the last of these."""
    return []


def _raising(failing: list[Exception]) -> APIRouter:
    router = APIRouter()

    @router.get("/raise", dependencies=[READER])
    def fail() -> None:
        raise failing[-1]

    return router


@pytest.fixture(scope="module")
def _open_world(tmp_path_factory: pytest.TempPathFactory, failing: list[Exception]) -> World:
    workspace = Workspace(MemoryStore(f"memory://{uuid.uuid4().hex}"))
    options = {"insecure_local": True, "more": [_raising(failing)]}
    return build(workspace, tmp_path_factory.mktemp("world") / "audit", options)


@pytest.fixture
def open_world(_open_world: World) -> World:
    """An application to which everyone is an owner; shared, with nothing in it."""
    for resources in vars(_open_world.services).values():
        if isinstance(resources, Kept):
            resources.there.clear()
    _open_world.services.workspace.store.delete_tree("")
    return _open_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An application that the tests of a module share: to make one takes a moment."""
    workspace = Workspace(MemoryStore(f"memory://{uuid.uuid4().hex}"))
    return build(workspace, tmp_path_factory.mktemp("world") / "audit", {})

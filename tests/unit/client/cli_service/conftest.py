from __future__ import annotations

import copy
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gristmill.cli import server
from gristmill.cli.main import main
from gristmill.service import Client, Poller, Resource, ServiceJob
from gristmill.service.connection import Connection

SHOWN = {"creation_context": {"created_at": "2026-11-21T10:00:00Z", "created_by": "me"}}

JOB: dict[str, Any] = {
    "name": "digits-1",
    "status": "Running",
    "detail": "",
    "endpoint_name": "mnist",
    "deployment_name": "blue",
    "items": {"succeeded": 3, "failed": 1},
    "submitted": "2026-11-21T10:00:00Z",
    "services": {"Studio": {"endpoint": "http://server/jobs/digits-1"}},
    "error": None,
}


class Group:
    """One group of a client's operations: notes each call, as the real operation would have taken it."""

    def __init__(self, service: Service, name: str, real: Any) -> None:
        self._service, self._name, self._real = service, name, real

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        signature = inspect.signature(getattr(self._real, operation))
        word = f"{self._name}.{operation}"

        def call(*arguments: Any, **options: Any) -> Any:
            given = dict(signature.bind(*arguments, **options).arguments)
            self._service.calls.append((word, {key: plain(value) for key, value in given.items()}))
            return self._service.answer(word, given)

        return call


def plain(value: Any) -> Any:
    return copy.deepcopy(dict(value)) if isinstance(value, Resource) else value


@functools.cache
def operations() -> dict[str, Any]:
    """Return the real groups of operations by name."""
    return {name: group for name, group in vars(Client("http://server", "x")).items() if not name.startswith("_")}


class Service:
    """Stands in for a client: answers what a test says, and otherwise what a server would."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        for name, group in operations().items():
            setattr(self, name, Group(self, name, group))

    def answer(self, word: str, given: Mapping[str, Any]) -> Any:
        operation = word.partition(".")[2]
        found = copy.deepcopy(self.answers.get(word))
        if isinstance(found, Exception):
            raise found
        if found is None and operation.endswith("create_or_update"):
            # The first argument is what is made.
            found = {**next(iter(given.values())), **SHOWN}
        return Poller(made(found)) if operation.startswith("begin_") else made(found)


def made(found: Any) -> Any:
    if isinstance(found, list):
        return [made(one) for one in found]
    if isinstance(found, dict):
        return ServiceJob(found, http=None, uploads=None) if "status" in found else Resource(found, etag='"3"')  # type: ignore[arg-type]
    return found


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    service = Service()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(server, "connect", lambda: service)
    monkeypatch.setattr(server, "find", lambda: Connection(url="http://server", token="secret"))
    return service


@pytest.fixture
def run(service: Service, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process."""

    def call(*words: object) -> Ran:
        try:
            code = main([str(word) for word in words])
        except SystemExit as left:
            code = int(left.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def does(run: Callable[..., Ran], service: Service) -> Callable[..., list[tuple[str, dict[str, Any]]]]:
    """Run a command that must succeed (one text, words parted by spaces); return what it asked of the client."""

    def call(line: str) -> list[tuple[str, dict[str, Any]]]:
        service.calls.clear()
        ran = run(*line.split())
        assert ran.code == 0, ran.err
        return service.calls

    return call

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from answering import Server, answering
from gristmill.service.client import Client
from gristmill.service.connection import Connection
from gristmill.service.http import Http, Retries
from gristmill.settings import ProcessSettings


@pytest.fixture
def server() -> Iterator[Server]:
    with answering() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> ProcessSettings:
    """A user without any server."""
    home = tmp_path / "home"
    home.mkdir()
    return ProcessSettings.read({"HOME": str(home)})


@pytest.fixture
def naps() -> list[float]:
    """Seconds that were waited between two attempts; none of them passes."""
    return []


@pytest.fixture
def http(server: Server, naps: list[float]) -> Iterator[Http]:
    made = Http(Connection(url=server.url, token="s3cret"), retries=Retries(sleep=naps.append))
    yield made
    made.close()


@pytest.fixture
def client(server: Server, settings: ProcessSettings) -> Iterator[Client]:
    """A client of the server, on another machine than it, that does not wait long."""
    server.answers["GET /info"] = {"version": "1", "api": 1, "machine": "another", "allowed_roots": []}
    with Client(server.url, "s3cret", settings=settings, retries=Retries(sleep=lambda _: None)) as made:
        yield made


@pytest.fixture
def job_document() -> Callable[..., dict[str, Any]]:
    def make(**more: Any) -> dict[str, Any]:
        return {
            "id": "/batchEndpoints/digits/jobs/j1",
            "name": "j1",
            "type": "pipeline",
            "status": "Running",
            "detail": "",
            "endpoint_name": "digits",
            "deployment_name": "blue",
            "outputs": {"score": {"type": "uri_file", "path": "/elsewhere/data/j1/predictions.csv"}},
            "error": None,
            "progress": None,
            "summary": None,
            "services": {"Studio": {"endpoint": "http://host/jobs/j1"}},
            **more,
        }

    return make

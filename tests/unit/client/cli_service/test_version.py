from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

import gristmill
from gristmill import versions
from gristmill.cli import server
from gristmill.errors import Mistake, ServerFailed
from gristmill.service.resource import Resource

OWN = {"version": gristmill.__version__, "protocol": versions.PROTOCOL}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, run: Any) -> Any:
    """Have the server say something of itself, or fail."""

    def put(info: Any) -> None:
        def ask() -> Resource:
            if isinstance(info, Exception):
                raise info
            return Resource(info)

        monkeypatch.setattr(server, "connect", lambda: nullcontext(SimpleNamespace(info=ask)))

    return put


def test_the_version_here_stands_beside_the_servers(run: Any, says: Any) -> None:
    says({"version": "9.9.0", "protocol": 4, "user": "ann"})

    assert run("version", "-o", "json").document == {
        **OWN,
        "server": {"url": "http://server", "version": "9.9.0", "protocol": 4},
    }
    here = f"{gristmill.__version__} (protocol {versions.PROTOCOL})"
    assert run("version").out == f"here:   {here}\nserver: 9.9.0 (protocol 4), http://server\n"


def test_a_server_from_before_protocols_were_told_speaks_the_first(run: Any, says: Any) -> None:
    says({"version": "0.1.0"})

    assert run("version", "--query", "server.protocol", "-o", "tsv").out == "1\n"


def test_a_server_that_does_not_answer_hides_no_version(run: Any, says: Any) -> None:
    says(ServerFailed("http://server: cannot be reached"))

    ran = run("version")

    assert ran.code == 0
    assert ran.out.splitlines()[1] == "server: not known, http://server: http://server: cannot be reached"


def test_without_a_server_only_the_own_version_is_shown(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise Mistake("no server")

    monkeypatch.setattr(server, "find", none)

    assert run("version", "-o", "json").document == {**OWN, "server": None}
    assert "server: none" in run("version").out

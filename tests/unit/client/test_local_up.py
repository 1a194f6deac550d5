"""`gristmill up`'s daemon, with stand-ins for the processes that it keeps."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import GristmillError, Mistake
from gristmill.local import probe
from gristmill.local.run_folder import RunFolder
from gristmill.local.service import Service
from gristmill.local.service_wish import Wish
from gristmill.local.up import Running, bring_up, take_down
from gristmill.settings import ProcessSettings


def until(holds: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def pid_in(note: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(note.read_text())
    return 0


@pytest.fixture
def run(fakes: Any, tmp_path: Path) -> Iterator[RunFolder]:
    del fakes
    folder = RunFolder(tmp_path / "workspace")
    yield folder
    take_down(folder)


def up(run: RunFolder, **wish: Any) -> Running:
    return bring_up(Wish(workspace=run.workspace, **{"port": 0, **wish}), run, ProcessSettings.read())


def test_a_server_is_brought_up_once_mended_and_taken_down(
    fakes: Any, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_TOKEN", "of another server")
    first = up(run, slots=3, allow_roots=("/data", "/more"))
    document = run.published()
    assert document == first.document
    assert (first.before, document["slots"], document["token_file"]) == (False, 3, str(run.token))
    arguments = fakes.note("service.argv").splitlines()
    assert arguments[arguments.index("--workspace") + 1] == str(run.workspace)
    assert [arguments[at + 1] for at, word in enumerate(arguments) if word == "--allow-root"] == ["/data", "/more"]
    assert fakes.note("node.argv").splitlines() == ["--compute", "local", "--slots", "3", "--owned"]
    environment = json.loads(fakes.note("service.environment"))
    assert environment["MLFLOW_TRACKING_URI"] == f"sqlite:///{run.workspace}/mlflow/mlflow.db"
    assert "GRISTMILL_TOKEN" not in environment

    again = up(run, slots=5)
    assert (again.before, again.document) == (True, document)

    service = pid_in(tmp_path / "notes" / "service.pid")
    os.kill(service, signal.SIGKILL)
    until(lambda: pid_in(tmp_path / "notes" / "service.pid") not in (0, service))
    arguments = fakes.note("service.argv").splitlines()
    assert document["url"].endswith(f":{arguments[arguments.index('--port') + 1]}"), "it is found where it was"

    until(lambda: probe.ask(document["url"], "/health"))
    ended = take_down(run)
    assert (ended.pid, ended.unfinished) == (document["pid"], 3)
    assert (run.holder(), run.published()) == (None, None)
    assert fakes.left() == []
    assert take_down(run).pid is None


def test_what_does_not_come_up_is_ended_and_its_log_is_shown(
    fakes: Any, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SERVICE", "dies")
    with pytest.raises(GristmillError, match=r"the scheduler ended by itself .*: service: the workspace is damaged"):
        up(run)
    assert run.holder() is None
    assert fakes.left() == []
    assert run.published() is None


def test_a_child_of_an_earlier_server_that_stays_is_told_with_the_file_that_shows_it(run: RunFolder) -> None:
    run.make()
    lock = run.claim_for_children()
    assert lock is not None
    service = Service(Wish(workspace=run.workspace), settings=ProcessSettings.read(), tell=print)
    try:
        with pytest.raises(GristmillError, match=rf"do not end; end those that have {run.children} open"):
            service._wait_for_children(0.0)
    finally:
        os.close(lock)


def test_a_port_that_is_taken_is_refused_where_it_was_asked_for(fakes: Any, run: RunFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Mistake, match=f"--port {port}: cannot be listened on: Address already in use"):
            up(run, port=port)
    assert fakes.left() == []


def test_what_is_wanted_for_clients_elsewhere_is_told_to_every_scheduler(
    fakes: Any, run: RunFolder, tmp_path: Path
) -> None:
    wanted = {"oidc_issuer": "https://id.example", "oidc_audience": "gristmill", "oidc_roles_claim": "groups"}
    more = {**wanted, "slice_seconds": 7.5}
    document = up(run, public_url="https://mine.example", trusted_proxies=("10.0.0.1", "::1"), **more).document
    assert (document["url"], document["near"].rpartition(":")[0]) == ("https://mine.example", "http://127.0.0.1")
    first = fakes.note("service.argv").splitlines()
    given = list(itertools.pairwise(first))
    for pair in [
        ("--public-url", "https://mine.example"),
        ("--trusted-proxy", "10.0.0.1"),
        ("--trusted-proxy", "::1"),
        ("--slice-seconds", "7.5"),
        ("--oidc-issuer", "https://id.example"),
        ("--oidc-audience", "gristmill"),
        ("--oidc-roles-claim", "groups"),
    ]:
        assert pair in given

    service = pid_in(tmp_path / "notes" / "service.pid")
    os.kill(service, signal.SIGKILL)
    until(lambda: pid_in(tmp_path / "notes" / "service.pid") not in (0, service))
    second = fakes.note("service.argv").splitlines()
    second[second.index("--port") + 1] = first[first.index("--port") + 1]
    assert second == first
    until(lambda: probe.ask(document["near"], "/health"))
    assert take_down(run).unfinished == 3, "it is asked where it is, not at the address of the others"

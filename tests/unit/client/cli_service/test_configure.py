from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill.cli.configure import restored


def test_defaults_are_taken(run: Any) -> None:
    assert run("configure", "--defaults", "workspace=main", "group=g").code == 0
    assert "write key=value" in run("configure", "-d", "workspace").err


@pytest.mark.parametrize(
    "line",
    [
        "--defaults workspace=main group=g",
        "show --query name",
        "set --subscription x",
        "set -s x",
        "get-access-token --resource https://ml.azure.com --query accessToken -o tsv",
    ],
)
def test_az_words_that_the_function_dropped_are_put_back(run: Any, line: str) -> None:
    assert run(*line.split()).code == 0


def test_other_words_stay() -> None:
    assert restored(["job", "show"]) == ["job", "show"]
    assert restored([]) == []


def test_the_account_names_the_server(run: Any) -> None:
    assert run("account", "show", "--query", "name", "-o", "tsv").out == "http://server\n"


def test_the_token_can_be_had_for_curl(run: Any) -> None:
    ran = run("account", "get-access-token", "--query", "accessToken", "-o", "tsv", "--scope", "x", "--tenant", "y")

    assert ran.out == "secret\n"


def test_no_token_is_said(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gristmill.cli import server
    from gristmill.service.connection import Connection

    monkeypatch.setattr(server, "find", lambda: Connection(url="http://server"))

    assert "there is no token" in run("account", "get-access-token").err


def test_without_a_server_it_is_said_how_to_get_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gristmill.cli.main import main

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("GRISTMILL_URL", "GRISTMILL_TOKEN", "GRISTMILL_WORKSPACE", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)

    assert main(["batch-endpoint", "list"]) == 2
    assert capsys.readouterr().err == "error: no server: start one with gristmill up, or give GRISTMILL_URL\n"

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from gristmill.cli.main import main


def test_a_node_needs_a_server(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRISTMILL_REDIS_URL", raising=False)

    assert main(["node", "--compute", "gpu"]) == 2
    assert capsys.readouterr().err.startswith("error: GRISTMILL_REDIS_URL is not set: give ")


def test_a_node_that_is_not_installed_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setattr("gristmill.local.requirements.find_spec", lambda _: None)

    assert main(["node", "--compute", "gpu"]) == 2
    assert "pip install 'gristmill[worker]'" in capsys.readouterr().err


def test_the_command_becomes_the_node(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_REDIS_URL", "redis://127.0.0.1:1")
    process = subprocess.Popen([sys.executable, "-m", "gristmill", "node", "--compute", "gpu", "--slots", "3"])

    assert process.wait(20) == 0
    assert int(fakes.note("node.pid")) == process.pid
    assert fakes.note("node.argv").splitlines() == ["--compute", "gpu", "--slots", "3"]

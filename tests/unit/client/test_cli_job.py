from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill.cli.main import main


def test_resume_of_nothing_is_one_line_and_2(fakes: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "resume", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: no job was begun there")


def test_resume_goes_on_with_a_job_that_failed(
    fakes: Any, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "fails")
    run = ["run", str(folder / "deployment.yml"), "--input", str(folder / "input"), "--output", str(folder / "out")]
    assert main([*run, "--job-name", "mine"]) == 3
    capsys.readouterr()
    monkeypatch.setenv("FAKE_SCHEDULER", "completes")

    assert main(["job", "resume", str(folder / "out"), "--query", "[name, status]", "-o", "tsv"]) == 0
    assert capsys.readouterr().out == "mine\nCompleted\n"

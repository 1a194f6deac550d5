"""Scorers that are started before their job is known are like others, or are not taken."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gristmill_workers.scorer_environment import born_with
from gristmill_workers.scorer_process import Launch, ScorerProcess
from gristmill_workers.scorer_start import BLANKS, start

SCRIPT = """\
import logging, os, sys

def init():
    print("printed", flush=True)
    logging.getLogger().warning("logged")

def run(mini_batch):
    model, colour = os.environ["AZUREML_MODEL_DIR"], os.environ.get("COLOUR")
    return [f"{model} {colour} {os.getcwd()} {sys.argv[0]}" for _ in mini_batch]
"""


@pytest.fixture(autouse=True)
def no_blank_is_left() -> Iterator[None]:
    yield
    BLANKS.end()


def launch(folder: Path, more: Mapping[str, str] | None = None, **changes: Any) -> Launch:
    (folder / "score.py").write_text(SCRIPT)
    (folder / "output").mkdir(exist_ok=True)
    frame = {
        "type": "start",
        "kind": "script",
        "code": str(folder),
        "script": "score.py",
        "root": "/in",
        "output_dir": str(folder / "output"),
        "staging_dir": str(folder / "staging"),
        "working_dir": str(folder),
        "parent": os.getpid(),
    }
    variables = {**born_with(os.environ), "AZUREML_MODEL_DIR": "/the/model", "PATH": "/nowhere", **(more or {})}
    given = {"python": Path(sys.executable), "variables": variables, "start": frame, "folder": folder, **changes}
    return Launch(stdout=folder / "logs" / "stdout.txt", stderr=folder / "logs" / "stderr.txt", **given)


def scored(process: ScorerProcess) -> str:
    """Have a scorer run one mini-batch of one item; return its row."""
    process.send({"type": "run", "batches": [{"n": 0, "attempt": 1, "items": ["a"]}]})
    frames: list[Any] = []
    deadline = time.monotonic() + 30
    while len(frames) < 2:
        assert time.monotonic() < deadline
        frames += process.receive() or []
        time.sleep(0.01)
    process.kill()
    process.close()
    return bytes(frames[1][1]).decode().strip()


def test_a_blank_becomes_the_scorer_that_was_asked_for(tmp_path: Path) -> None:
    BLANKS.begin(1, os.environ)
    blank = BLANKS._waiting[0].result().process.pid
    process = ScorerProcess(launch(tmp_path))

    assert process.pid == blank
    assert scored(process) == f"/the/model None {tmp_path} {tmp_path / 'score.py'}"
    assert (tmp_path / "logs" / "stdout.txt").read_text() == "printed\n"
    assert "logged" in (tmp_path / "logs" / "stderr.txt").read_text()


@pytest.mark.parametrize("more", [{"COLOUR": "blue"}, {"LD_PRELOAD": ""}, {"PYTHONHASHSEED": "1"}])
def test_what_a_process_must_be_born_with_makes_another_and_ends_the_blanks(tmp_path: Path, more: Any) -> None:
    BLANKS.begin(2, os.environ)
    blanks = [waiting.result().process for waiting in BLANKS._waiting]
    process = ScorerProcess(launch(tmp_path, more))

    assert process.pid not in {blank.pid for blank in blanks}
    assert [blank.poll() for blank in blanks] == [-9, -9]
    assert scored(process).split()[1] == str(more.get("COLOUR"))


def test_another_python_is_started_anew(tmp_path: Path) -> None:
    BLANKS.begin(1, os.environ)
    other = tmp_path / "python"
    other.symlink_to(sys.executable)

    assert BLANKS.take(other, born_with(os.environ)) is None
    assert BLANKS._waiting == []


def test_a_blank_that_has_died_is_passed_over(tmp_path: Path) -> None:
    BLANKS.begin(2, os.environ)
    first, second = (waiting.result().process for waiting in BLANKS._waiting)
    first.kill()
    first.wait()
    process = ScorerProcess(launch(tmp_path))

    assert process.pid == second.pid
    assert scored(process).startswith("/the/model")


def test_a_process_that_cannot_be_started_leaves_no_descriptor_open(tmp_path: Path) -> None:
    opened = []
    for _ in range(2):  # the first one starts the guardian, too
        with pytest.raises(FileNotFoundError):
            start(tmp_path / "python", {}, folder=tmp_path)
        opened.append(sorted(path.name for path in Path("/dev/fd").iterdir()))
    assert opened[0] == opened[1]

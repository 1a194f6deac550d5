from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gristmill.cli.main import main

GRISTMILL = [sys.executable, "-m", "gristmill"]


def arguments(folder: Path, *more: str) -> list[str]:
    output = ["--output", str(folder / "out")]
    return ["run", str(folder / "deployment.yml"), "--input", str(folder / "input"), *output, *more]


@pytest.fixture
def call(fakes: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command in this process; return exit code, stdout, stderr."""

    def run(*more: str, scheduler: str = "completes") -> tuple[int, str, str]:
        monkeypatch.setenv("FAKE_SCHEDULER", scheduler)
        code = main(arguments(folder, *more))
        captured = capsys.readouterr()
        assert fakes.left() == []
        return code, captured.out, captured.err

    return run


def test_a_person_is_told_counts_time_and_places(call: Any, folder: Path) -> None:
    code, out, err = call()
    first, *places = out.splitlines()

    assert code == 0
    assert re.fullmatch(r"100 items, 99 rows, 1 failed, in \d+\.\d s \([\d,.]+ items/s\)", first)
    assert places == [
        f"  output   {folder}/out/predictions.csv",
        f"  errors   {folder}/out/errors.jsonl",
        f"  summary  {folder}/out/summary.json",
    ]
    assert "started" in err.splitlines()[0]


def test_json_on_stdout_is_the_summary_and_nothing_else(call: Any) -> None:
    code, out, _ = call("-o", "json", "--job-name", "mine")
    document = json.loads(out)

    assert code == 0
    assert (document["name"], document["status"], document["items"]["out"]) == ("mine", "Completed", 99)


def test_a_query_gives_scripts_the_bare_name(call: Any) -> None:
    assert call("--job-name", "mine", "--query", "name", "-o", "tsv")[1] == "mine\n"


def test_none_prints_nothing_on_stdout(call: Any) -> None:
    assert call("-o", "none")[:2] == (0, "")


def test_a_failure_shows_the_scripts_traceback_and_how_to_resume(call: Any, folder: Path) -> None:
    code, out, err = call("--job-name", "mine", scheduler="fails")

    assert (code, out) == (3, "")
    assert err.endswith(
        f"what was scored is kept; go on with: gristmill job resume {folder}/out/.gristmill/mine\n"
        "Traceback\n  in init\nKeyError: 'x'\nerror: init() of s.py failed: KeyError: 'x'\n"
    )


def test_a_refusal_is_one_line_and_2(call: Any, folder: Path) -> None:
    code, out, err = call(scheduler="refuses")

    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "error: output: predictions.csv exists"
    assert "resume" not in err
    assert not (folder / "out").exists()


def test_options_arrive_in_the_job(call: Any, fakes: Any) -> None:
    call("--set", "settings.mini_batch_size=7", "settings.error_threshold=2", "--env", "model", "--overwrite")
    job = json.loads(fakes.note("command.json"))["job"]

    assert (job["deployment"]["settings"]["mini_batch_size"], job["deployment"]["settings"]["error_threshold"]) == (
        7,
        2,
    )
    assert (job["environment_mode"], job["output"]["overwrite"]) == ("model", True)


def test_without_a_deployment_a_model_and_a_script_will_do(
    fakes: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = ["--scoring-script", str(folder / "code" / "batch_driver.py"), "--model", str(folder / "model")]
    code = main(["run", *script, "--input", str(folder / "input"), "--output", str(folder / "out" / "scores.jsonl")])
    settings = json.loads(fakes.note("command.json"))["job"]["deployment"]["settings"]

    assert code == 0
    assert (settings["output_file_name"], settings["output_format"]) == ("scores.jsonl", "jsonl")


def test_a_set_that_swallowed_the_deployment_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--input", "i", "--output", "o", "--set", "a=1", "deployment.yml"]) == 2
    assert "give KEY=VALUE (the deployment's file goes before --set)" in capsys.readouterr().err


def begin(folder: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str, **given: Any) -> subprocess.Popen[str]:
    monkeypatch.setenv("FAKE_SCHEDULER", scheduler)
    command = [*GRISTMILL, *arguments(folder, "--job-name", "mine")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **given)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_in_order_and_says_how_to_resume(
    fakes: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    process = begin(folder, monkeypatch, "waits")
    fakes.note("running")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    hint = f"what was scored is kept; go on with: gristmill job resume {folder}/out/.gristmill/mine"

    assert (process.returncode, out) == (code, "")
    assert err.splitlines()[-2:] == ["canceled", hint]
    assert fakes.left() == []
    assert sorted(path.name for path in (folder / "out").iterdir()) == [".gristmill"]

    monkeypatch.setenv("FAKE_SCHEDULER", "completes")
    resumed = subprocess.run(
        [*GRISTMILL, *shlex.split(hint.partition(": gristmill ")[2])], check=False, capture_output=True, text=True
    )
    assert resumed.returncode == 0
    assert resumed.stdout.startswith("100 items, 99 rows, 1 failed, in ")
    assert "items/s" not in resumed.stdout


def test_a_job_that_does_not_listen_is_ended_after_five_seconds(
    fakes: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = begin(folder, monkeypatch, "stays")
    fakes.note("running")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert 4 < time.monotonic() - began < 10
    assert "gristmill job resume" in err
    assert fakes.left() == []


def test_a_second_ctrl_c_ends_all_at_once(fakes: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = begin(folder, monkeypatch, "stays")
    fakes.note("running")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert process.returncode == 130
    assert time.monotonic() - began < 3
    assert fakes.left() == []


def test_ctrl_c_on_a_terminal_reaches_the_command_alone_and_leaves_the_terminal_whole(
    fakes: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    monkeypatch.setenv("TERM", "xterm-256color")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(GRISTMILL[0], [*GRISTMILL, *arguments(folder)])
    fakes.note("running")
    shown = read(terminal, until=b"\x1b[?25l")
    os.write(terminal, b"\x03")
    shown += read(terminal)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert status == 130
    assert "gristmill job resume" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert fakes.left() == []


def read(terminal: int, until: bytes = b"") -> str:
    """Return what a terminal shows until there is no more, or until it has shown something."""
    shown = b""
    while not (until and until in shown) and select.select([terminal], [], [], 20)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    return shown.decode("utf-8", "replace")

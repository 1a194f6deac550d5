from __future__ import annotations

import os
import sys
import time

import pytest

from gristmill_workers.environments.tool import ToolFailed, complaint, run_tool


@pytest.fixture
def run(tmp_path):
    lines: list[str] = []
    hold = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)

    def call(script: str, seconds: float = 30, **more) -> list[str]:
        run_tool(
            [sys.executable, "-c", script],
            variables={"A": "b"},
            folder=tmp_path,
            log=lines.append,
            seconds=seconds,
            hold=hold,
            **more,
        )
        return lines

    yield call
    os.close(hold)


def test_lines_of_both_streams_go_to_the_log_without_passwords(run):
    script = (
        "import sys, os; print('from https://me:secret@host/x', flush=True); print(os.environ['A'], file=sys.stderr)"
    )
    assert run(script) == ["from https://***@host/x", "b"]


def test_a_failure_carries_the_complaint_and_the_last_lines(run):
    with pytest.raises(ToolFailed) as raised:
        run("print('begin'); print('error: No solution'); print('  cause: there is no six==99'); raise SystemExit(2)")
    assert raised.value.message == "No solution cause: there is no six==99"
    assert raised.value.detail.splitlines()[0] == "begin"


def test_a_failure_without_a_word_has_its_exit_code(run):
    with pytest.raises(ToolFailed, match="exit code 3"):
        run("raise SystemExit(3)")


def test_what_takes_too_long_is_ended_with_all_it_started(run):
    began = time.monotonic()
    with pytest.raises(ToolFailed, match="did not end within 1 s"):
        run("import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])", seconds=1)
    assert time.monotonic() - began < 20


def test_what_is_wanted_no_more_is_ended_with_all_it_started(run, tmp_path):
    began = time.monotonic()
    with pytest.raises(ToolFailed, match="exit code -9"):
        run(
            "import subprocess, sys; open('begun', 'w'); "
            "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
            wanted=lambda: not (tmp_path / "begun").exists(),
        )
    assert time.monotonic() - began < 20


def test_a_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ToolFailed, match="no-such-program cannot be started: No such file"):
        run_tool(["no-such-program"], variables={}, folder=tmp_path, log=print, seconds=1, hold=0)


def test_a_drawn_complaint_becomes_one_line():
    drawn = ["Using Python", "  \u00d7 No solution found:", "  ╰─▶ Because a", "      and b.", "", "      hint: c"]
    assert complaint(drawn) == "No solution found: Because a and b. hint: c"
    assert complaint(["fine"]) == ""
    assert len(complaint(["error: " + "x" * 5000])) == 600

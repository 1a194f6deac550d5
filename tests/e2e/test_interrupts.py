"""Ctrl-C, kill -9 and going on again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from clusters import wait_until

SLOW = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        time.sleep(0.05)
        return [os.path.basename(path) for path in mini_batch]
"""


def session_of(pid: int) -> set[int]:
    """Return the processes whose environment or parents lead to `pid`, itself left out."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    grown = {pid}
    while grown:
        grown = {child for child, parent in parents.items() if parent in grown} - found
        found |= grown
    return found


def alive(pid: int) -> bool:
    try:
        return (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) != "Z"
    except OSError:
        return False


@pytest.fixture
def slow_job(project):
    """A job of some seconds, started and caught in the middle."""
    project.files(400)
    project.script(SLOW)
    project.deployment(mini_batch_size=2, max_concurrency_per_instance=2)
    output = project.folder / "out"
    process = subprocess.Popen(
        project.command("run", "deployment.yml", "--input", project.input, "--output", output),
        cwd=project.folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: list(output.glob(".gristmill/*/parts/*.part")))
    yield process, output
    if process.poll() is None:
        process.kill()
        process.wait()
    process.stdout.close()
    process.stderr.close()


def resume(project, folder) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        project.command("job", "resume", folder),
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_ctrl_c_cancels_cleanly_and_says_how_to_go_on(project, slow_job) -> None:
    process, output = slow_job
    children = session_of(process.pid)
    assert len(children) >= 4

    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "gristmill job resume" in stderr
    wait_until(lambda: not any(map(alive, children)), 5)
    assert not [path.name for path in output.iterdir() if path.name != ".gristmill"]

    again = resume(project, stderr.split("gristmill job resume", 1)[1].split()[0].strip("'\""))
    assert again.returncode == 0, again.stderr
    assert (output / "predictions.csv").read_text().splitlines() == [f"{n:05d}.txt" for n in range(400)]


def test_kill_9_of_the_command_leaves_no_process_and_the_job_is_resumed(project, slow_job) -> None:
    process, output = slow_job
    children = session_of(process.pid)

    process.kill()
    process.wait()

    wait_until(lambda: not any(map(alive, children)), 5)
    assert not (output / "predictions.csv").exists()
    again = resume(project, output)
    assert again.returncode == 0, again.stderr
    assert (output / "predictions.csv").read_text().splitlines() == [f"{n:05d}.txt" for n in range(400)]


def test_what_was_scored_is_not_scored_again(project, slow_job) -> None:
    process, output = slow_job
    wait_until(lambda: len(list(output.glob(".gristmill/*/parts/*.part"))) >= 2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    project.script(SLOW.replace("os.path.basename(path)", "'again'"))

    assert resume(project, output).returncode == 0

    rows = (output / "predictions.csv").read_text().splitlines()
    kept = [n for n, row in enumerate(rows) if row != "again"]
    assert kept
    assert [rows[n] for n in kept] == [f"{n:05d}.txt" for n in kept]
    assert len(rows) == 400


def test_a_scorer_killed_from_outside_costs_nothing(project, slow_job) -> None:
    process, output = slow_job

    def scorers() -> list[int]:
        found = []
        for pid in session_of(process.pid):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.endswith(b"scorer/child.py") for word in words):
                found.append(pid)
        return found

    os.kill(scorers()[0], signal.SIGKILL)
    process.communicate(timeout=60)

    rows = (output / "predictions.csv").read_text().splitlines()
    errors = output / "errors.jsonl"
    lost = [json.loads(line)["file"] for line in errors.read_text().splitlines()] if errors.exists() else []
    assert sorted(rows + lost) == [f"{n:05d}.txt" for n in range(400)]
    assert len(lost) <= 2  # max_retries is 1: at most the mini-batch that it was in


def test_a_job_that_failed_goes_on_when_its_script_is_mended(project) -> None:
    project.files(60)
    bad = SLOW.replace("return [", "if '00030.txt' in mini_batch[0]: raise ValueError('bad')\n        return [")
    project.script(bad)
    project.deployment(mini_batch_size=2, error_threshold=0)
    output = project.folder / "out"
    ran = project.run(output=output)
    assert ran.returncode == 3
    assert "gristmill job resume" in ran.stderr

    project.script(SLOW)
    again = resume(project, output)

    assert again.returncode == 0, again.stderr
    assert (output / "predictions.csv").read_text().splitlines() == [f"{n:05d}.txt" for n in range(60)]
    assert not (output / "errors.jsonl").exists()

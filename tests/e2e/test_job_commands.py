"""`gristmill job ...` from a second terminal, while another one runs the job, or nobody does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import wait_until

SLOW = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        while names[0] >= "00040.txt" and os.path.exists(os.environ["HOLD"]):
            time.sleep(0.02)
        time.sleep(0.05)
        return names
"""

FILES = 100
EXPECTED = [f"{n:05d}.txt" for n in range(FILES)]


def stat(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def scorers(pid: int) -> list[int]:
    """Return the scorers among the descendants of a process."""
    parents = {int(e.name): int(s[1]) for e in Path("/proc").iterdir() if e.name.isdigit() and (s := stat(e.name))}
    family = {pid}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    found = []
    for member in family:
        try:
            words = Path(f"/proc/{member}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.endswith(b"scorer/child.py") for word in words):
            found.append(member)
    return found


def lives(pid: int) -> bool:
    return stat(str(pid))[:1] not in ([], ["Z"])


class Running:
    """A job that `gristmill run` scores at this moment; it does not come to its end before `go_on`."""

    def __init__(self, project: Any, output: Path) -> None:
        self.project = project
        self.output = output
        self._hold = project.folder / "hold"
        self._hold.touch()
        self._environment = {**os.environ, "HOLD": str(self._hold)}
        self.process = subprocess.Popen(
            project.command("run", "deployment.yml", "--input", project.input, "--output", output),
            cwd=project.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def go_on(self) -> None:
        self._hold.unlink()

    @property
    def parts(self) -> int:
        return len(list(self.output.glob(".gristmill/*/parts/*.part")))

    def job(self, *arguments: object, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        name, *rest = arguments
        return subprocess.run(
            self.project.command("job", name, self.output, *rest),
            cwd=self.project.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ask(self, *arguments: object) -> dict[str, Any]:
        ran = self.job(*arguments, "-o", "json")
        assert ran.returncode == 0, ran.stderr
        document: dict[str, Any] = json.loads(ran.stdout)
        return document

    def rows(self) -> list[str]:
        return (self.output / "predictions.csv").read_text().splitlines()


@pytest.fixture
def running(project) -> Iterator[Running]:
    project.files(FILES)
    project.script(SLOW)
    project.deployment(mini_batch_size=2, max_concurrency_per_instance=2)
    job = Running(project, project.folder / "out")
    wait_until(lambda: job.parts)
    yield job
    if job.process.poll() is None:
        job.process.kill()
    job.process.communicate()


def test_a_job_is_cancelled_from_another_terminal(running: Running) -> None:
    found = scorers(running.process.pid)
    assert len(found) >= 2
    canceling = subprocess.Popen(
        running.project.command("job", "cancel", running.output, "--query", "status", "-o", "tsv"),
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: list(running.output.glob(".gristmill/*/wishes/cancel.json")))
    wished = time.monotonic()
    wait_until(lambda: not any(map(lives, found)))
    gone = time.monotonic()
    stdout, _ = canceling.communicate(timeout=60)
    _, stderr = running.process.communicate(timeout=30)

    assert gone - wished < 2
    assert (canceling.returncode, stdout) == (0, "Canceled\n")
    assert running.process.returncode == 130
    assert "was cancelled by" in stderr
    assert "gristmill job cancel" in stderr
    assert not (running.output / "predictions.csv").exists()

    running.go_on()
    assert running.job("resume").returncode == 0
    assert running.rows() == EXPECTED


def test_what_is_finished_of_a_cancelled_job_is_kept_and_the_rest_can_follow(running: Running) -> None:
    found = running.ask("cancel", "--keep-partial")
    _, stderr = running.process.communicate(timeout=30)
    assert "`gristmill job cancel`" in stderr
    kept = running.rows()

    assert found["status"] == "Canceled"
    assert found["output"] == str(running.output / "predictions.csv")
    assert 0 < len(kept) < FILES
    assert kept == [row for row in EXPECTED if row in set(kept)]
    assert found["items"]["succeeded"] == len(kept)
    assert running.process.returncode == 130

    running.go_on()
    ran = running.job("resume")
    assert ran.returncode == 0, ran.stderr
    assert running.rows() == EXPECTED


def test_what_is_finished_of_a_job_that_was_killed_is_published(running: Running) -> None:
    wait_until(lambda: running.parts > 1)
    running.process.kill()
    running.process.communicate()
    wait_until(lambda: running.ask("show")["status"] == "Interrupted", 15)

    ran = running.job("cancel", "--keep-partial")

    assert ran.returncode == 0, ran.stderr
    assert "Canceled" in ran.stdout
    kept = running.rows()
    assert 0 < len(kept) < FILES
    running.go_on()
    assert running.job("resume").returncode == 0
    assert running.rows() == EXPECTED


def test_cancelling_what_nobody_runs_says_so(running: Running) -> None:
    running.process.send_signal(signal.SIGINT)
    running.process.communicate(timeout=30)

    ran = running.job("cancel")

    assert ran.returncode == 0
    assert "nobody runs job" in ran.stderr
    assert "Canceled" in ran.stdout


def test_a_paused_job_stands_still_until_it_goes_on(running: Running) -> None:
    found = running.ask("pause")
    assert (found["status"], found["detail"]) == ("Running", "paused")
    running.go_on()
    time.sleep(1)  # what runs is finished
    done = running.ask("show")["items"]["succeeded"]
    time.sleep(0.5)
    assert running.ask("show")["items"]["succeeded"] == done < FILES
    assert running.process.poll() is None

    assert running.ask("unpause")["detail"] == ""
    _, stderr = running.process.communicate(timeout=60)

    assert running.process.returncode == 0, stderr
    assert "paused" in stderr
    assert running.rows() == EXPECTED


def test_show_follows_a_job_to_its_end(running: Running) -> None:
    found = running.ask("show")
    assert found["status"] == "Running"
    assert 0 < found["mini_batches"]["done"] <= found["mini_batches"]["planned"] == FILES / 2
    running.go_on()
    running.process.communicate(timeout=60)

    ran = running.job("show")

    assert ran.returncode == 0
    assert f": Completed\n  items    {FILES:,} succeeded, 0 failed\n" in ran.stdout
    assert f"  output   {running.output}/predictions.csv\n" in ran.stdout
    assert running.job("pause").returncode == 2


def test_a_completed_job_is_verified_and_a_flipped_byte_is_found(project, succeed) -> None:
    project.files(30)
    project.script()
    project.deployment(mini_batch_size=4)
    ran = succeed()

    def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = project.command("job", "verify", ran.output, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    good = verify()
    assert good.returncode == 0, good.stderr
    assert "everything is in its place" in good.stdout
    assert verify("--query", "ok", "-o", "tsv").stdout == "true\n"

    rows = ran.output / "predictions.csv"
    rows.write_bytes(rows.read_bytes().replace(b"00007", b"00009"))

    bad = verify()
    assert bad.returncode == 1
    assert "1 fault" in bad.stdout
    assert "predictions.csv" in bad.stdout


BROKEN = """
    import os

    def init():
        pass

    def run(mini_batch):
        if any("7" in os.path.basename(path) for path in mini_batch):
            raise ValueError("seven")
        return [os.path.basename(path) for path in mini_batch]
"""

MENDED = BROKEN.replace('if any("7"', 'if any("77"')
SOUND = BROKEN.replace('if any("7"', 'if any("never"')


def test_failed_items_are_scored_again_into_the_same_output(project) -> None:
    project.files(100)
    project.script(BROKEN)
    project.deployment(mini_batch_size=1)
    ran = project.run()
    assert ran.returncode == 0, ran.stderr
    expected = [f"{n:05d}.txt" for n in range(100)]
    assert ran.rows.decode().splitlines() == [name for name in expected if "7" not in name]

    def job(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = project.command("job", name, ran.output, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)

    project.script(MENDED)
    first = job("retry-failed")
    assert first.returncode == 0, first.stderr
    assert ran.rows.decode().splitlines() == [name for name in expected if "77" not in name]
    assert [error["file"] for error in ran.errors] == ["00077.txt"]
    assert job("verify").returncode == 0

    project.script(SOUND)
    second = job("retry-failed", "--query", "name", "-o", "tsv")
    assert second.returncode == 0, second.stderr
    assert second.stdout.endswith("-retry-2\n")
    assert ran.rows.decode().splitlines() == expected
    assert not (ran.output / "errors.jsonl").exists()
    verified = job("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr

    third = job("retry-failed")
    assert third.returncode == 0
    assert "no item failed" in third.stdout


def test_a_job_that_is_not_complete_has_nothing_to_try_again(running: Running) -> None:
    running.process.send_signal(signal.SIGINT)
    running.process.communicate(timeout=30)

    ran = running.job("retry-failed")

    assert ran.returncode == 2
    assert "gristmill job resume" in ran.stderr

"""kill -9 of any process at any moment: the job completes with the same bytes, and nothing of it is left."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clusters import wait_until

#: Says how far it is by the files that it makes, and writes enough for the merge to take a moment.
SCRIPT = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        time.sleep(0.02)
        names = [os.path.basename(path) for path in mini_batch]
        for name in names:
            open(os.path.join(os.environ["SEEN"], name), "w").close()
        return [name + "," + "x" * int(os.environ["WIDTH"]) for name in names]
"""

ITEMS = 200

#: What a process of each kind has on its command line.
KINDS = {
    "server": (b"gristmill_storage.server", b"valkey-server", b"redis-server"),
    "scheduler": (b"\0gristmill_scheduler\0",),
    "node": (b"\0gristmill_workers\0",),
    "scorer": (b"scorer/child.py",),
    "guardian": (b"guardian.py",),
}


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - many a time
            return stream.read()
    except OSError:
        return b""


def _folder(pid: str) -> bytes:
    """Return where a process works: the server shows neither its environment nor its arguments."""
    try:
        return os.readlink(f"/proc/{pid}/cwd".encode())  # noqa: PTH115 - as bytes
    except OSError:
        return b""


class Doomed:
    """The command line with a job, and all that it started."""

    def __init__(self, project: Any, *arguments: object, width: int = 10, **environment: str) -> None:
        self.project = project
        self.output = project.folder / "out"
        self.seen = project.folder / "seen"
        self.seen.mkdir(exist_ok=True)
        self.scratch = project.folder / "scratch"
        self.scratch.mkdir(exist_ok=True)
        self._width = width
        self._mark = uuid.uuid4().hex.encode()
        given = arguments or ("run", "deployment.yml", "--input", project.input, "--output", self.output)
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            project.command(*given),
            cwd=project.folder,
            env={
                **os.environ,
                "GRISTMILL_LEASE_SECONDS": "2",
                "GRISTMILL_SCRATCH": str(self.scratch),
                "SEEN": str(self.seen),
                "WIDTH": str(width),
                "DOOMED": self._mark.decode(),
                **environment,
            },
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def expected(self) -> bytes:
        return b"".join(b"%05d.txt,%s\n" % (n, b"x" * self._width) for n in range(ITEMS))

    @property
    def done(self) -> float:
        """The part of the items that some scorer has had in its hands."""
        return len(os.listdir(self.seen)) / ITEMS  # noqa: PTH208 - many a time

    def living(self, kind: str = "") -> list[int]:
        """Processes of the job, of one kind or all but the command line."""
        found = []
        place = os.fsencode(self.project.folder)
        for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - many a time
            if int(name) in (os.getpid(), self.process.pid):
                continue
            line = _read(f"/proc/{name}/cmdline")
            ours = place in line + _folder(name) or self._mark in _read(f"/proc/{name}/environ")
            if ours and line and any(word in line for word in KINDS.get(kind, (b"",))):
                found.append(int(name))
        return found

    def marked(self) -> list[int]:
        """Scorers, and what they started."""
        return [pid for pid in self.living() if b"GRISTMILL_SCORER_OF=" in _read(f"/proc/{pid}/environ")]

    def kill(self, kind: str, seconds: float = 10) -> list[int]:
        """Kill the processes of one kind, as soon as there is one."""
        found: list[int] = []
        deadline = time.monotonic() + seconds
        while not found and self.process.poll() is None and time.monotonic() < deadline:
            found = self.living(kind)
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return found

    def reach(self, part: float) -> None:
        wait_until(lambda: self.done >= part or self.process.poll() is not None)

    def end(self, seconds: float = 90) -> str:
        """Wait for the command's end, and insist on success; return what it said."""
        _, stderr = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, stderr + self.logs()
        return stderr

    def logs(self) -> str:
        tails = [path.read_text()[-3000:] for path in self.output.glob(".gristmill/*/logs/sys/*.log")]
        return "\n=====\n".join(tails)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)


#: A job whose run() forks in every way there is.
FORKS = """
    import multiprocessing, subprocess, time

    def sleep():
        time.sleep(600)

    def daemon():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.chdir("/")
                time.sleep(600)
            os._exit(0)

    first = True

    def init():
        pass

    def run(mini_batch):
        global first
        if first:
            first = False
            subprocess.Popen(["sleep", "600"])
            subprocess.Popen(["sleep", "600"], start_new_session=True, cwd="/")
            multiprocessing.get_context("fork").Process(target=sleep).start()
            daemon()
        return score(mini_batch)
"""

#: What takes long, and says little more than the rest.
LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

#: How many moments of a job's life there are.
MOMENTS = 5


def moment(number: int) -> float:
    """Return a moment of one of the parts of something's life, 0 to 1; another one each time."""
    found = (number + random.random()) / MOMENTS
    print(f"moment {found:.3f}")  # noqa: T201 - shown with a failure
    return found


@pytest.fixture
def start(project) -> Iterator[Callable[..., Doomed]]:
    project.files(ITEMS)
    project.script(SCRIPT)
    project.deployment(mini_batch_size=2, max_concurrency_per_instance=2, retry_settings={"max_retries": 8})
    started: list[Doomed] = []

    def begin(*arguments: object, **options) -> Doomed:
        started.append(Doomed(project, *arguments, **options))
        return started[-1]

    yield begin
    for job in started:
        job.close()


def check(job: Doomed) -> str:
    """Insist that the job completes as if nothing had been; return what was said."""
    said = job.end()
    wait_until(lambda: not job.living(), 5)
    assert (job.output / "predictions.csv").read_bytes() == job.expected
    assert not (job.output / "errors.jsonl").exists()
    return said


def test_each_process_dies_once_in_one_job(start) -> None:
    job = start()
    for number, kind in enumerate(random.sample(["server", "scheduler", "node", "scorer", "guardian"], 5)):
        job.reach(0.05 + 0.2 * number)
        assert job.kill(kind), kind

    said = check(job)
    for kind in ("server", "scheduler", "node"):
        assert f"the {kind} ended (signal SIGKILL) and was started again" in said


@pytest.mark.parametrize("kind", ["server", pytest.param("scheduler", marks=LONG), pytest.param("node", marks=LONG)])
def test_one_dies_before_it_has_done_anything(start, kind: str) -> None:
    job = start()
    assert job.kill(kind)

    check(job)


@LONG
@pytest.mark.parametrize("number", range(MOMENTS))
@pytest.mark.parametrize("kind", ["server", "scheduler", "node"])
def test_one_dies_while_all_are_starting(start, kind: str, number: int) -> None:
    job = start()
    time.sleep(1.5 * moment(number))
    job.kill(kind)

    check(job)


@LONG
@pytest.mark.parametrize("number", range(MOMENTS))
@pytest.mark.parametrize("kind", ["server", "scheduler", "node", "scorer", "guardian"])
def test_one_dies_in_the_middle(start, kind: str, number: int) -> None:
    job = start()
    job.reach(moment(number))
    job.kill(kind)

    check(job)


@pytest.mark.parametrize("number", [0, *(pytest.param(each, marks=LONG) for each in range(1, MOMENTS))])
@pytest.mark.parametrize("kind", ["node", pytest.param("server", marks=LONG), pytest.param("scheduler", marks=LONG)])
def test_one_dies_while_the_parts_are_merged(start, kind: str, number: int) -> None:
    job = start(width=50_000)
    job.reach(1.0)
    wait_until(lambda: list(job.output.glob(".gristmill/*/timeline.json")), pause=0.001)
    time.sleep(moment(number) / 2)
    job.kill(kind)

    check(job)


def test_a_server_whose_file_is_ruined_starts_with_an_empty_one(start) -> None:
    job = start()
    job.reach(0.4)
    job.kill("server")
    for path in job.scratch.glob("*/redis/appendonlydir/*.aof"):
        path.write_bytes(b"*3\r\n$9\r\nnonsense" + path.read_bytes()[40:])

    assert "the server ended (exit code 1) and was started again" in check(job)


def test_a_node_that_is_told_to_leave_while_it_merges_loses_nothing(start) -> None:
    job = start(width=50_000)
    job.reach(1.0)
    wait_until(lambda: list(job.output.glob(".gristmill/*/timeline.json")), pause=0.001)
    for pid in job.living("node"):
        os.kill(pid, signal.SIGTERM)

    check(job)


@pytest.mark.parametrize("kind", [pytest.param("node", marks=LONG), "scorer"])
def test_what_scorers_forked_goes_with_them(start, project, kind: str) -> None:
    project.script(SCRIPT.replace("def run(", "def score(") + FORKS)
    job = start()
    job.reach(0.2)
    old = job.marked()
    assert len(old) >= 10  # two scorers, each with two programs, a child and a daemon
    doomed = job.living("node") if kind == "node" else [pid for pid in job.living("scorer") if os.getsid(pid) == pid]
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: not {*old} & {*job.living()}, 5)
    check(job)


@pytest.mark.parametrize("number", [2, *(pytest.param(each, marks=LONG) for each in (0, 1, 3, 4))])
def test_kill_9_of_the_command_leaves_nothing_and_the_job_is_resumed(start, project, number: int) -> None:
    project.script(SCRIPT.replace("def run(", "def score(") + FORKS)
    job = start()
    job.reach(0.9 * moment(number))
    job.process.kill()
    job.process.wait()

    wait_until(lambda: not job.living(), 5)
    assert not (job.output / "predictions.csv").exists()
    check(start("job", "resume", job.output))


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=LONG)])
def test_kill_9_of_the_command_while_it_starts_leaves_nothing(start, times: int) -> None:
    for number in range(times):
        job = start()
        seconds = moment(number % MOMENTS)
        wait_until(lambda seconds=seconds, job=job: time.monotonic() - job.began >= seconds, pause=0.001)
        job.process.kill()
        job.process.wait()

        wait_until(lambda job=job: not job.living(), 5)
        shutil.rmtree(job.output, ignore_errors=True)

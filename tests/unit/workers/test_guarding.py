from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gristmill_workers import guardian
from gristmill_workers.guarding import Guard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

#: A scorer that forks in every way there is, and a daemon that forks on.
FORKER = """
import multiprocessing, os, subprocess, sys, time

def note(name):
    with open(os.path.join(sys.argv[1], name), "w") as stream:
        stream.write(str(os.getpid()))

def child():
    note("multiprocessing")
    time.sleep(600)

def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note("daemon")
            os.chdir("/")
            time.sleep(600)
        os._exit(0)

subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
subprocess.Popen(["sleep", "600"], start_new_session=True)
subprocess.Popen(["sleep", "600"], env={}, process_group=0)
multiprocessing.get_context("fork").Process(target=child, daemon=True).start()
daemon()
while not os.path.exists(os.path.join(sys.argv[1], "daemon")): time.sleep(0.01)
note("ready")
time.sleep(600)
"""

#: A node with one scorer of that kind.
NODE = """
import subprocess, sys, time
from gristmill_workers.guarding import GUARD
mark = GUARD.mark()
scorer = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], env=mark, start_new_session=True)
GUARD.began(scorer.pid)
print(GUARD._process.pid, flush=True)
{rest}
"""


def wait_until(holds: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    state = guardian._read(pid, "stat").rpartition(b")")[2].split()
    return bool(state) and state[0] != b"Z"


def in_session(leader: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if guardian._in_sessions(pid, frozenset({leader}))]


def marked(variable: str) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if guardian._bears(pid, f"{guardian.VARIABLE}={variable}".encode())]


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard()
    yield guard
    guard.close()


def start(guard: Guard, folder: Path, code: str = FORKER) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    mark = guard.mark()
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], env=mark, start_new_session=True)
    guard.began(process.pid)
    wait_until((folder / "ready").exists)
    return process, mark


def end(guard: Guard, process: subprocess.Popen[bytes], mark: dict[str, str]) -> None:
    process.kill()
    process.wait()
    guard.ended(process.pid, mark)


def test_what_a_scorer_leaves_goes_with_it_and_its_neighbours_stay(guard: Guard, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    (first, first_mark), (second, second_mark) = (start(guard, folder) for folder in folders)
    left = {*marked(first_mark[guardian.VARIABLE] + "\0"), *in_session(first.pid)}
    assert len(left) >= 6
    end(guard, first, first_mark)

    assert not any(map(alive, left - {first.pid}))
    assert len(marked(second_mark[guardian.VARIABLE] + "\0")) >= 5
    end(guard, second, second_mark)


@pytest.mark.parametrize("rest", ["time.sleep(600)", "import os; os._exit(0)", "sys.exit(3)"])
def test_what_scorers_leave_goes_with_their_node(tmp_path: Path, rest: str) -> None:
    code = NODE.format(rest=f"sys.stdin.readline()\n{rest}")
    node = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, FORKER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert node.stdin is not None
    assert node.stdout is not None
    keeper = int(node.stdout.readline())
    wait_until((tmp_path / "ready").exists)
    scorer = int((tmp_path / "ready").read_text())
    word = guardian._read(scorer, "environ").partition(f"{guardian.VARIABLE}=".encode())[2].partition(b".")[0].decode()
    left = {*marked(word), *in_session(scorer)}
    assert len(left) >= 6
    if "sleep" in rest:
        node.kill()
    node.stdin.close()
    node.wait()
    node.stdout.close()

    wait_until(lambda: not any(map(alive, left)), 3)
    wait_until(lambda: not alive(keeper), 3)


def test_a_guardian_that_was_killed_has_a_successor(guard: Guard, tmp_path: Path) -> None:
    process, mark = start(guard, tmp_path)
    assert guard._process is not None
    guard._process.kill()
    guard._process.wait()
    guard.check()
    left = {*marked(mark[guardian.VARIABLE] + "\0"), *in_session(process.pid)}
    guard.close()

    assert not any(map(alive, left - {process.pid}))
    assert process.wait() == -signal.SIGKILL


def test_a_guardian_without_scorers_ends_at_once(guard: Guard) -> None:
    guard.mark()
    assert guard._process is not None
    guardians = guard._process
    began = time.monotonic()
    guard.close()

    assert guardians.returncode == 0
    assert time.monotonic() - began < 5


def test_a_guardian_is_small(guard: Guard, tmp_path: Path) -> None:
    process, mark = start(guard, tmp_path)
    assert guard._process is not None
    status = Path(f"/proc/{guard._process.pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0])
    end(guard, process, mark)

    assert resident < 16_000  # KiB


def test_a_mark_is_no_other_marks_beginning(guard: Guard, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], env={guardian.VARIABLE: "a.10"}, stdin=subprocess.PIPE
    )
    wait_until(lambda: marked("a.10\0"))

    assert guardian.sweep("a.1\0") == 0
    assert guardian.sweep("b.") == 0
    assert guardian.sweep("a.") == 1
    assert process.wait() == -signal.SIGKILL
    assert process.stdin is not None
    process.stdin.close()


def test_where_the_system_shows_no_processes_groups_are_killed(
    monkeypatch: pytest.MonkeyPatch, guard: Guard, tmp_path: Path
) -> None:
    process, mark = start(guard, tmp_path)
    with monkeypatch.context() as context:
        context.setattr(guardian, "_PROCESSES", str(tmp_path))
        assert guardian.sweep("x.", frozenset({process.pid})) == 1
    assert process.wait() == -signal.SIGKILL
    guard.ended(process.pid, mark)

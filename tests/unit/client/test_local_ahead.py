"""What is started before the job is known: it becomes what it is told, and leaves when nobody tells it anything."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import Mistake
from gristmill.local import ahead, early_server
from gristmill.local.ahead import Waiting
from gristmill.local.child import Child
from gristmill.local.session import Plan, Session
from gristmill.settings import ProcessSettings
from gristmill.states import JobStatus

SAYS = "import os, sys; from gristmill.local.ahead import told; a = told(); "


@pytest.fixture(autouse=True)
def nobody_waits() -> Iterator[None]:
    yield
    ahead.dismiss()
    early_server.dismiss()


def child(tmp_path: Path, code: str, *arguments: str, piped: bool = False, **more: Any) -> Child:
    program = (sys.executable, "-c", SAYS + code)
    waiting = Waiting(program, piped=piped)
    environment = {**os.environ, "COLOUR": "blue"}
    log = tmp_path / "log"
    return Child("node", (*program, *arguments), environment=environment, log=log, piped=piped, ahead=waiting, **more)


def soon() -> float:
    return time.monotonic() + 20


def test_it_becomes_what_it_is_told(tmp_path: Path) -> None:
    started = child(tmp_path, "print(a, os.environ['COLOUR']); sys.exit('no')", "--slots", "3")
    started.reap(soon())

    assert started.exit_code == 1
    assert sorted(started.tail().splitlines()) == ["['--slots', '3'] blue", "no"]


def test_it_may_begin_anew_with_what_it_was_told(tmp_path: Path) -> None:
    again = "print(a) if len(sys.argv) < 3 else os.execv(sys.executable, [*sys.orig_argv[:2], 'print(7)'])"
    started = child(tmp_path, f"print(sys.orig_argv[3:], flush=True); {again}", "--slots", "3")
    started.reap(soon())

    assert started.tail().splitlines() == ["['--slots', '3']", "7"]


def test_one_that_is_piped_is_read_and_written(tmp_path: Path) -> None:
    started = child(tmp_path, "print(input()[::-1]); print('log', file=sys.stderr)", piped=True)
    started.write(b"abc\n")

    assert started.stdout.read() == b"cba\n"
    started.reap(soon())
    assert started.tail() == "log"


def test_it_finds_the_end_of_its_stdin_when_its_owner_lets_go(tmp_path: Path) -> None:
    started = child(tmp_path, "sys.stdin.read(); print('left')")
    started.release()
    started.wait(soon())

    assert started.exit_code == 0
    assert started.tail() == "left"
    started.reap(soon())


def test_it_holds_what_it_is_given_to_hold(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    started = child(tmp_path, "print('there', flush=True); sys.stdin.read()", keep=(writing,))
    os.close(writing)
    deadline = soon()
    while started.tail() != "there":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.set_blocking(reading, False)

    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    started.reap(soon())
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_one_that_nobody_wants_leaves() -> None:
    waiting = Waiting((sys.executable, "-c", SAYS), piped=True)
    waiting.dismiss()

    until(lambda: waiting.poll() is not None)
    assert waiting.returncode == 0


def test_one_that_has_ended_is_nobodys(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_PROGRAMS", {"node": ((sys.executable, "-c", "raise SystemExit(3)"), False)})
    ahead.begin()
    until(lambda: ahead._waiting["node"].poll() is not None)

    assert ahead.take("node") is None


def test_the_end_of_one_is_known_whose_exit_code_is_lost(tmp_path: Path) -> None:
    started = child(tmp_path, "")
    os.waitpid(started.pid, 0)
    started.reap(soon())

    assert started.exit_code == 0


def test_of_one_that_cannot_be_started_no_descriptor_is_left(tmp_path: Path) -> None:
    before = sum(1 for _ in Path("/dev/fd").iterdir())

    with pytest.raises(FileNotFoundError):
        Waiting((str(tmp_path / "nothing"),), piped=True)
    assert sum(1 for _ in Path("/dev/fd").iterdir()) <= before


def until(holds: Callable[[], bool]) -> None:
    deadline = soon()
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def plan(tmp_path: Path) -> Plan:
    folder = tmp_path / "output" / ".gristmill" / "job-1"
    job = {"name": "job-1", "output": {"folder": str(tmp_path / "output")}}
    return Plan(name="job-1", folder=str(folder), compute="c", slots=3, command={"command": "submit", "job": job})


def test_a_job_takes_what_waits_and_leaves_nothing(fakes: Any, tmp_path: Path) -> None:
    ahead.begin()
    early_server.begin()
    waiting = {entry.pid for entry in ahead._waiting.values()} | {early_server._begun[0].child.pid}
    session = Session(plan(tmp_path), settings=ProcessSettings.read())
    assert session.wait(20)
    assert session.gone(20)

    assert session.status is JobStatus.COMPLETED
    assert {int(fakes.note(f"{name}.pid")) for name in ("node", "scheduler", "server")} == waiting
    assert fakes.note("node.argv").splitlines() == ["--compute", "c", "--slots", "3", "--owned"]
    assert fakes.left() == []


def test_of_a_job_that_cannot_be_nothing_is_left(fakes: Any, tmp_path: Path) -> None:
    (tmp_path / "output").touch()
    early_server.begin()
    server = early_server._begun[0]

    with pytest.raises(Mistake, match="cannot be made"):
        Session(plan(tmp_path), settings=ProcessSettings.read())
    assert server.child.exit_code is not None
    assert not server.runtime.folder.exists()


def test_a_server_that_is_nobodys_ends_with_its_folder(fakes: Any) -> None:
    early_server.begin()
    server = early_server._begun[0]
    early_server.dismiss()

    assert server.child.exit_code is not None
    assert not server.runtime.folder.exists()


def test_where_another_server_is_to_be_used_none_is_started(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_REDIS_URL", "redis://elsewhere:6379")
    early_server.begin()

    assert early_server.take() is None


def test_the_door_starts_them_before_it_imports_what_reads_a_deployment() -> None:
    code = (
        "import os, sys; seen = []; os.posix_spawn = lambda *a, **k: seen.append(set(sys.modules)) or os.getpid()\n"
        "from gristmill.cli import door; sys.argv = ['gristmill', 'run', '--nothing']\n"
        "try: door.main()\nexcept SystemExit: pass\n"
        "print(len(seen), *(set('argparse logging dataclasses pathlib subprocess yaml'.split()) & seen[0]))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)

    assert done.stdout.split() == ["2"]


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["version"], ["run"]])
def test_for_other_commands_nothing_is_started(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from gristmill.cli import door

    monkeypatch.setattr(sys, "argv", ["gristmill", *words])
    monkeypatch.setattr(ahead, "begin", lambda: pytest.fail("started"))
    monkeypatch.setattr(door, "_command", lambda words: 0)

    assert door.main() == 0

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import Mistake
from gristmill.local.session import Plan, Session
from gristmill.running import is_claimed
from gristmill.settings import ProcessSettings
from gristmill.states import JobStatus


def start(tmp_path: Path, name: str = "job-1", **plan: Any) -> Session:
    output = tmp_path / "output"
    folder = output / ".gristmill" / name
    document = {"name": name, "output": {"folder": str(output)}}
    given = {"command": {"command": "submit", "job": document}, **plan}
    return Session(
        Plan(name=name, folder=str(folder), compute=f"local-{name}", slots=3, **given), settings=ProcessSettings.read()
    )


def wait_until(holds: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def end(session: Session) -> dict[str, Any]:
    """Wait for the outcome and the children's end; return the error's document."""
    assert session.wait(20)
    assert session.gone(20)
    assert session.outcome is not None
    return dict(session.outcome.error or {})


def test_a_job_that_completes_leaves_its_output_and_no_process(fakes: Any, tmp_path: Path) -> None:
    session = start(tmp_path)

    assert end(session) == {}
    assert session.status is JobStatus.COMPLETED
    assert (tmp_path / "output" / "predictions.csv").exists()
    assert fakes.left() == []


def test_the_node_is_told_its_compute_and_its_slots(fakes: Any, tmp_path: Path) -> None:
    end(start(tmp_path))

    assert fakes.note("node.argv").splitlines() == ["--compute", "local-job-1", "--slots", "3", "--owned"]


def test_all_are_told_of_one_server_on_a_socket_in_a_private_folder(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    session = start(tmp_path)
    fakes.note("running")
    arguments = fakes.note("server.argv").splitlines()
    socket = Path(arguments[arguments.index("--socket") + 1])

    assert fakes.note("node.url") == f"unix://{socket}?db=0"
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    session.close()
    assert not socket.parent.exists()


def test_a_server_of_the_users_own_is_used_instead_of_an_embedded_one(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_REDIS_URL", "redis://127.0.0.1:1/0")
    end(start(tmp_path))

    assert fakes.note("node.url") == "redis://127.0.0.1:1/0"
    assert not (fakes.notes / "server.pid").exists()


def test_the_servers_file_lies_in_a_private_folder_and_goes_with_it(fakes: Any, tmp_path: Path) -> None:
    session = start(tmp_path)
    end(session)
    arguments = fakes.note("server.argv").splitlines()

    folder = Path(arguments[arguments.index("--folder") + 1])
    assert not folder.is_relative_to(tmp_path / "output")
    assert not folder.parent.exists()
    assert Path(session.folder, "logs", "sys", "node.log").exists()


def test_a_failed_job_shows_that_nobody_runs_it(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "fails")
    session = start(tmp_path)

    assert end(session)["class"] == "InitFailed"
    assert is_claimed(Path(session.folder)) is False


def test_a_refused_job_leaves_nothing_behind(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "refuses")
    session = start(tmp_path)

    assert end(session)["class"] == "OutputExists"
    assert session.status is JobStatus.FAILED
    assert not session.accepted
    assert not (tmp_path / "output").exists()


def test_a_refused_job_takes_nothing_away_that_was_there(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "refuses")
    other = tmp_path / "output" / ".gristmill" / "job-0" / "job.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    end(start(tmp_path))

    assert [path.name for path in (tmp_path / "output" / ".gristmill").iterdir()] == ["job-0"]


@pytest.mark.parametrize(
    ("child", "words"),
    [
        ("server", "server: no room"),
        ("node", "node: a library is missing"),
        ("scheduler", "scheduler: out of luck"),
    ],
)
def test_a_child_that_ends_by_itself_is_the_jobs_error(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: str, words: str
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    monkeypatch.setenv(f"FAKE_{child.upper()}", "dies")
    error = end(start(tmp_path))

    assert error == {
        "class": "LedgerFailed" if child == "server" else "GristmillError",
        "message": f"the {child} ended by itself (exit code 1): {words}",
        "detail": words,
    }
    assert fakes.left() == []


@pytest.mark.parametrize("child", ["server", "node", "scheduler"])
def test_a_child_that_is_killed_is_started_again_a_few_times(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: str
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    session = start(tmp_path)
    for turn in range(4):
        for name in ("running", "server.pid", "node.pid"):
            fakes.note(name)
        pid = int(fakes.note(f"{child}.pid"))
        for name in (f"{child}.pid", *(["running"] if child == "scheduler" else [])):
            (fakes.notes / name).unlink()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda turn=turn: len(session.notes) > turn or session.outcome)

    assert end(session)["message"].startswith(f"the {child} ended by itself (exit code -9): ")
    assert session.notes == [f"the {child} ended (signal SIGKILL) and was started again"] * 3
    assert session.accepted
    assert fakes.left() == []


def test_a_scheduler_that_is_started_again_takes_the_job_on(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    session = start(tmp_path)
    fakes.note("running")
    wait_until(lambda: session.progress.done)
    (fakes.notes / "running").unlink()
    os.kill(pid := int(fakes.note("scheduler.pid")), signal.SIGKILL)
    wait_until(lambda: session.notes)
    fakes.note("running")

    command = json.loads(fakes.note("command.json"))
    displace = f"leader of {pid}"
    assert command == {"command": "take", "folder": session.folder, "compute": "local-job-1", "displace": displace}
    assert session.status is not JobStatus.NOT_STARTED
    wait_until(lambda: session.progress.elapsed == 1.0)  # its predecessor's half a second, and its own
    session.cancel()
    assert end(session)["class"] == "JobCanceled"


def test_a_server_that_cannot_read_its_file_starts_with_an_empty_one(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SERVER", "dies of its file")
    session = start(tmp_path)

    assert end(session) == {}
    assert session.notes == ["the server ended (exit code 1) and was started again"]


def test_status_and_progress_are_those_last_heard(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    session = start(tmp_path)
    fakes.note("running")
    deadline = time.monotonic() + 10
    while session.progress.done != 4 and time.monotonic() < deadline:
        time.sleep(0.01)

    assert (session.status, session.progress.done, session.progress.planned) == (JobStatus.RUNNING, 4, 10)
    assert not session.wait(0)


def test_cancel_ends_the_job_in_order(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    session = start(tmp_path)
    fakes.note("running")
    session.cancel()

    assert end(session)["class"] == "JobCanceled"
    assert session.accepted


def test_close_ends_a_job_that_runs(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    session = start(tmp_path)
    fakes.note("running")
    session.close()

    assert end(session) == {"class": "JobCanceled", "message": "job job-1: ended by its owner", "detail": ""}
    assert fakes.left() == []


def test_close_at_once_kills_what_would_not_leave(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "stays")
    monkeypatch.setenv("FAKE_NODE", "stays")
    session = start(tmp_path)
    fakes.note("running")
    fakes.note("node.pid")
    began = time.monotonic()
    session.close(at_once=True)

    assert time.monotonic() - began < 3
    assert fakes.left() == []


def test_a_scorer_that_its_node_left_behind_is_ended(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    monkeypatch.setenv("FAKE_NODE", "leaves its scorer")
    session = start(tmp_path)
    fakes.note("node.pid")
    fakes.note("running")
    assert "scorer" in fakes.alive()
    session.close()

    assert fakes.left() == []


def test_two_jobs_run_side_by_side(fakes: Any, tmp_path: Path) -> None:
    first, second = start(tmp_path / "one", "one"), start(tmp_path / "two", "two")

    assert (end(first), end(second)) == ({}, {})


def test_one_job_is_not_run_twice_at_once(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.local.folders._CLAIM_SECONDS", 0.1)
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    start(tmp_path)
    fakes.note("running")

    with pytest.raises(Mistake, match="another process is running it"):
        start(tmp_path)
    assert (tmp_path / "output" / ".gristmill" / "job-1" / "job.json").exists()


def test_an_output_folder_that_cannot_be_made_is_refused(fakes: Any, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file")

    with pytest.raises(Mistake, match=r"output: the folder .* cannot be made: .*; give another --output"):
        start(tmp_path)


def test_the_children_outlive_the_thread_that_asked_for_them(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    sessions: list[Session] = []
    thread = threading.Thread(target=lambda: sessions.append(start(tmp_path)))
    thread.start()
    fakes.note("running")
    fakes.note("server.pid")
    thread.join()

    assert not sessions[0].wait(0.5)
    assert "server" in fakes.alive()


OWNER = """
import json, os, sys
from gristmill.local.session import Plan, Session
from gristmill.settings import ProcessSettings
output = sys.argv[1]
job = {"name": "job", "output": {"folder": output}}
command = {"command": "submit", "job": job}
plan = Plan(name="job", folder=output + "/.gristmill/job", compute="c", slots=2, command=command)
session = Session(plan, settings=ProcessSettings.read())
"""


def own(tmp_path: Path, rest: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", OWNER + rest, str(tmp_path / "output")])


def test_kill_9_of_the_owner_leaves_no_process(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    owner = own(tmp_path, "import time; time.sleep(60)")
    for name in ("running", "node.pid", "server.pid"):
        fakes.note(name)
    assert fakes.alive() == ["node", "scheduler", "scorer", "server"]
    owner.kill()
    owner.wait()

    assert fakes.left() == []


@pytest.mark.parametrize("scheduler", ["waits", "completes"])
def test_the_end_of_the_interpreter_leaves_no_process(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", scheduler)
    owner = own(tmp_path, "")

    assert owner.wait(20) == 0
    assert fakes.left() == []


def test_a_fork_does_not_keep_the_children_alive_nor_end_them(
    fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SCHEDULER", "waits")
    fork = """
import time
pid = os.fork()
if pid == 0:
    if os.fork() == 0:
        sys.exit(0)  # runs what is registered for the interpreter's end
    open(os.environ["FAKE_NOTES"] + "/fork", "w").write(str(os.getpid()))
time.sleep(60)
"""
    owner = own(tmp_path, fork)
    for name in ("running", "node.pid", "server.pid", "fork"):
        fakes.note(name)
    time.sleep(0.3)
    assert fakes.alive() == ["node", "scheduler", "scorer", "server"]
    owner.kill()
    owner.wait()
    left = fakes.left()
    os.kill(int(fakes.note("fork")), signal.SIGKILL)

    assert left == []


def test_what_the_scheduler_is_told_is_the_plans_command(fakes: Any, tmp_path: Path) -> None:
    end(start(tmp_path))

    assert json.loads(fakes.note("command.json"))["command"] == "submit"


def test_the_nodes_scratch_lies_in_the_runs_own_folder(fakes: Any, tmp_path: Path) -> None:
    end(start(tmp_path))
    scratch = Path(fakes.note("node.scratch"))

    assert scratch.name.startswith("gristmill-")
    assert not scratch.exists()

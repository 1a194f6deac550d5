from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.errors import Mistake
from gristmill.local import logs
from gristmill.local.run_folder import RunFolder, find_run_folder
from gristmill.local.service_wish import Wish, environment_of, models_of
from gristmill.settings import ProcessSettings

HOLDER = """
import sys
from pathlib import Path
from gristmill.local.run_folder import RunFolder
import os
run = RunFolder(Path(sys.argv[1]))
lock = run.claim()
os.pwrite(lock, str(os.getpid()).encode(), 0)
run.publish({"url": "http://here", "pid": os.getpid()})
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "workspace")
    found.make()
    return found


def test_the_folder_is_for_its_owner_alone(run: RunFolder) -> None:
    assert run.folder.stat().st_mode & 0o777 == 0o700
    assert run.workspace.stat().st_mode & 0o777 == 0o700


def test_one_holds_the_folder_and_only_it_is_told(run: RunFolder) -> None:
    assert (run.holder(), run.tell(signal.SIGTERM), run.published()) == (None, None, None)
    command = [sys.executable, "-c", HOLDER, str(run.workspace)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        assert run.claim() is None
        assert run.holder() == process.pid
        assert run.published() == {"url": "http://here", "pid": process.pid}
        assert run.tell(signal.SIGTERM) == process.pid
        assert process.wait(10) == -signal.SIGTERM
    assert run.published() is None, "what the dead one said counts no more"
    lock = run.claim()
    assert lock is not None
    assert run.holder() == 0, "who begins has not said who it is, and is not taken for the one before"
    assert run.tell(signal.SIGTERM) == 0
    os.close(lock)


def test_what_cannot_be_a_workspace_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="s3://bucket/x: `gristmill up` needs a folder of this machine"):
        find_run_folder("s3://bucket/x")
    (tmp_path / "file").write_text("")
    with pytest.raises(Mistake, match=r"it cannot be made: .*; give another folder"):
        find_run_folder(str(tmp_path / "file")).make()


def test_logs_are_cut_and_kept_once(tmp_path: Path) -> None:
    (tmp_path / "small.log").write_text("x" * 9)
    large = tmp_path / "large.log"
    with large.open("ab") as stream:
        stream.write(b"y" * 11)
        stream.flush()
        assert logs.cut(tmp_path, most_bytes=10) == [large]
        stream.write(b"z")
    assert (large.read_text(), (tmp_path / "large.log.1").read_text()) == ("z", "y" * 11)
    assert (tmp_path / "small.log").read_text() == "x" * 9


def test_a_wish_travels(tmp_path: Path) -> None:
    wish = Wish(workspace=tmp_path, port=7, slots=2, allow_roots=("/a b",))
    assert Wish.from_json(wish.to_json()) == wish


def test_models_are_registered_where_the_environment_says_else_in_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ProcessSettings.read({"MLFLOW_TRACKING_URI": "http://mlflow", "GRISTMILL_GRACE_SECONDS": "60"})
    environment = environment_of(given, tmp_path)
    assert (environment["MLFLOW_TRACKING_URI"], environment["GRISTMILL_GRACE_SECONDS"]) == ("http://mlflow", "60")
    assert models_of(given, tmp_path) == "in the registry that MLFLOW_TRACKING_URI names"
    plain = ProcessSettings.read({})
    assert str(tmp_path / "mlflow") in models_of(plain, tmp_path)
    monkeypatch.setattr("gristmill.local.service_wish.find_spec", lambda _: None)
    assert "MLFLOW_TRACKING_URI" not in environment_of(plain, tmp_path)
    assert models_of(plain, tmp_path).startswith("by their paths only")

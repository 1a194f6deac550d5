from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill_workers.scratch import scratch_folder, sweep

HOLDS = """
import sys
from pathlib import Path
from gristmill_workers.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), "my-job") as folder:
    (folder / "big").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_there_as_long_as_its_instance(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "j") as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith("gristmill-j-")
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_the_folders_of_nodes_that_were_killed_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        folder = Path(node.stdout.readline().strip())
        with scratch_folder(tmp_path, "mine") as mine:
            assert sweep(tmp_path) == 0
            node.send_signal(signal.SIGKILL)
            node.wait()
            assert (folder / "big").exists()

            assert sweep(tmp_path) == 1
            assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize("name", ["gristmill-j-abcdefgh", "somebodys-folder", "gristmill-x"])
def test_what_has_no_lock_of_ours_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    assert sweep(tmp_path) == 0
    assert (tmp_path / name).is_dir()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "j") as folder:
        held = folder
        folder.rename(tmp_path / "elsewhere")
    (tmp_path / held.name).symlink_to(tmp_path / "elsewhere")

    assert sweep(tmp_path) == 0
    assert (tmp_path / "elsewhere" / "node.lock").exists()


def test_a_folder_that_a_sweep_took_before_it_was_locked_is_made_again(tmp_path: Path, monkeypatch) -> None:
    real, swept = os.open, []

    def take(path, *rest, **more):
        lock = real(path, *rest, **more)
        if not swept and str(path).endswith("node.lock"):
            swept.append(Path(path).parent)
            sweep(tmp_path)
        return lock

    monkeypatch.setattr(os, "open", take)

    with scratch_folder(tmp_path, "j") as folder:
        assert swept
        assert folder not in swept
        assert list(tmp_path.iterdir()) == [folder]


def test_a_base_that_is_not_there_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none") == 0

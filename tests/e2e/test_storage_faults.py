"""Whole jobs whose output is on a disk that fills up, loses its permission, or comes back: real file systems."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

#: Bytes of the disk; the job's rows are 1.6 MB, once in parts and once in the output.
DISK = 6 << 20

#: Bytes that are left when the job begins: some of its parts fit.
ROOM = 500_000

WIDE = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        time.sleep(0.01)
        return [os.path.basename(path) + 8000 * "x" for path in mini_batch]
"""


def mounted(folder: Path, *options: str) -> bool:
    command = ["mount", *options, str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class Disk:
    """A small file system, with a file that fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.filler = folder / "filler"

    def fill(self, room: int) -> None:
        """Leave so much room."""
        status = os.statvfs(self.folder)
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_bsize - room)

    def free(self) -> None:
        self.filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder, "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs"):
        pytest.skip("mounting a small file system needs root, and a machine that lets it")
    yield Disk(folder)
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def expected(project: Any) -> bytes:
    """Prepare the job; return the rows that it must give."""
    project.files(200)
    project.script(WIDE)
    project.deployment(mini_batch_size=2)
    return b"".join(f"{n:05d}.txt{8000 * 'x'}\n".encode() for n in range(200))


class Running:
    """A job's command while it runs, and what it has printed."""

    def __init__(self, project: Any, output: Path, patience: float) -> None:
        self.output = output
        self.process = subprocess.Popen(
            project.command("run", "deployment.yml", "--input", project.input, "--output", output),
            cwd=project.folder,
            env={**os.environ, "GRISTMILL_STORAGE_PATIENCE_SECONDS": str(patience)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.said
            assert self.process.poll() is None, self.said
            time.sleep(0.02)

    def until_said(self, words: str) -> None:
        self.until(lambda: words in self.said)

    def end(self, seconds: float = 90) -> int:
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self._reader.join()
            if self.process.stderr is not None:
                self.process.stderr.close()


def resume(project: Any, output: Path) -> subprocess.CompletedProcess[str]:
    (job,) = (output / ".gristmill").iterdir()
    return subprocess.run(
        project.command("job", "resume", job),
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def hidden(folder: Path) -> list[Path]:
    return list(folder.rglob(".gristmill-tmp-*"))


def test_a_full_disk_is_waited_for_and_the_job_goes_on_when_there_is_room(project, disk, expected) -> None:
    disk.fill(ROOM)
    job = Running(project, disk.folder / "out", patience=60)
    try:
        job.until_said("waiting for storage")
        disk.free()
    finally:
        code = job.end()

    assert code == 0, job.said
    assert (disk.folder / "out/predictions.csv").read_bytes() == expected
    assert "No space left on device" in job.said
    assert hidden(disk.folder) == []


def test_a_disk_that_stays_full_fails_the_job_which_is_resumed_when_there_is_room(project, disk, expected) -> None:
    disk.fill(ROOM)
    job = Running(project, disk.folder / "out", patience=1)

    assert job.end() == 4, job.said
    assert "No space left on device" in job.said
    assert not (disk.folder / "out/predictions.csv").exists()

    disk.free()
    again = resume(project, disk.folder / "out")
    assert again.returncode == 0, again.stderr
    assert (disk.folder / "out/predictions.csv").read_bytes() == expected
    assert hidden(disk.folder) == []


def test_a_disk_that_fills_up_while_the_parts_are_merged_leaves_no_torn_output(project, disk, expected) -> None:
    # Room for the parts, not for the output beside them.
    disk.fill(len(expected) + ROOM)
    job = Running(project, disk.folder / "out", patience=1)

    assert job.end() == 4, job.said
    assert "No space left on device" in job.said
    assert not (disk.folder / "out/predictions.csv").exists()
    assert hidden(disk.folder) == []

    disk.free()
    again = resume(project, disk.folder / "out")
    assert again.returncode == 0, again.stderr
    assert (disk.folder / "out/predictions.csv").read_bytes() == expected


@pytest.fixture
def protect() -> Iterator[Callable[[Path, bool], None]]:
    """Take a folder's permission to change away, also from root, or give it back."""
    protected: set[Path] = set()

    def change(folder: Path, only_read: bool) -> None:
        if subprocess.run(["chattr", "+i" if only_read else "-i", folder], capture_output=True, check=False).returncode:
            pytest.skip("taking a permission away from root needs a file system that knows chattr +i")
        (protected.add if only_read else protected.discard)(folder)

    if shutil.which("chattr") is None:
        pytest.skip("taking a permission away from root needs chattr")
    yield change
    for folder in protected:
        subprocess.run(["chattr", "-i", folder], check=True)


def test_a_lost_permission_is_waited_for_and_the_job_goes_on_when_it_is_back(project, protect, expected) -> None:
    output = project.folder / "out"
    job = Running(project, output, patience=60)
    try:
        job.until(lambda: any(output.glob(".gristmill/*/parts/*.part")))
        (parts,) = output.glob(".gristmill/*/parts")
        protect(parts, True)
        job.until_said("waiting for storage")
        protect(parts, False)
    finally:
        code = job.end()

    assert code == 0, job.said
    assert "Operation not permitted" in job.said
    assert (output / "predictions.csv").read_bytes() == expected

"""Ten thousand small objects, and one of three gigabytes: whole jobs at real object stores, with flat memory."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import uuid
import zlib
from pathlib import Path
from typing import Any, Self

import pytest

from gristmill_storage.files import open_store
from object_stores import KINDS, ObjectStore, object_store, open_driver

pytestmark = [
    pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long"),
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),
    pytest.mark.timeout(1800),
]

OBJECTS = 10_000

#: Bytes of the large object, more than any machine's copies of it in memory could hide.
LARGE = 3 << 30

#: Megabytes that no process of a job may take, whatever it scores.
MOST_MB = 220

#: What a process of each kind has on its command line.
WORDS = {"scheduler": b"\0gristmill_scheduler\0", "node": b"\0gristmill_workers\0"}


class Peaks:
    """The most memory that each kind of a job's processes has taken, in megabytes."""

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.of: dict[str, float] = dict.fromkeys(WORDS, 0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        known: dict[Path, str] = {}
        while not self._over.wait(0.25):
            for folder in Path("/proc").iterdir():
                if folder.name.isdigit() and folder not in known:
                    known[folder] = self._kind(folder)
                if known.get(folder):
                    kind = known[folder]
                    self.of[kind] = max(self.of[kind], peak(folder))

    def _kind(self, folder: Path) -> str:
        try:
            line, ours = (folder / "cmdline").read_bytes(), self._mark in (folder / "environ").read_bytes()
        except OSError:
            return ""
        return next((kind for kind, word in WORDS.items() if ours and word in line), "")


def peak(folder: Path) -> float:
    try:
        status = (folder / "status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def run(project: Any, store: ObjectStore, place: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Run a job on what is in the store; return its summary, and how much memory its processes took."""
    mark = uuid.uuid4().hex
    where = ("--input", f"{place}/in", "--output", f"{place}/out", "--job-name", "large")
    began = time.monotonic()
    with Peaks(mark) as peaks:
        done = subprocess.run(
            project.command("run", "deployment.yml", *where),
            cwd=project.folder,
            env={**os.environ, **store.environment, "DOOMED": mark, "GRISTMILL_SCRATCH": str(project.folder)},
            capture_output=True,
            text=True,
            timeout=1700,
            check=False,
        )
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    taken = ", ".join(f"{kind} {most:.0f} MB" for kind, most in peaks.of.items())
    print(f"\n{store.kind}: {seconds:.0f} s; at most: {taken}")  # noqa: T201 - the figures are wanted
    assert all(0 < most < MOST_MB for most in peaks.of.values()), peaks.of
    return json.loads(open_store(f"{place}/out").read("summary.json")), peaks.of


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_small_objects(project, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project.script("""
        def init():
            pass

        def run(mini_batch):
            return [open(path).read() for path in mini_batch]
    """)
    project.deployment(mini_batch_size=100, max_concurrency_per_instance=2)
    with object_store(kind, tmp_path) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        place = f"{store.url}/many"
        with open_driver(store) as driver:
            driver.pipe({f"box/many/in/{n % 10}/{n:05}.txt": b"%d" % n for n in range(OBJECTS)})

        summary, _ = run(project, store, place)

        rows = open_store(f"{place}/out").read("predictions.csv").split()
        assert sorted(map(int, rows)) == list(range(OBJECTS))
        assert summary["items"]["succeeded"] == OBJECTS


@pytest.mark.parametrize("kind", ["abfs", "gs"])
def test_one_object_of_three_gigabytes(project, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # moto holds all of what it is asked for in memory, several times.
    project.script("""
        import zlib

        def init():
            pass

        def run(mini_batch):
            size = crc = 0
            with open(mini_batch[0], "rb") as file:
                while data := file.read(1 << 20):
                    size, crc = size + len(data), zlib.crc32(data, crc)
            return [f"{size} {crc}"]
    """)
    project.deployment(mini_batch_size=1, retry_settings={"max_retries": 1, "timeout": 600})
    block, crc = os.urandom(1 << 20), 0
    with object_store(kind, tmp_path, on_disk=True) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        place = f"{store.url}/large"
        began = time.monotonic()
        for _ in range(LARGE >> 20):
            crc = zlib.crc32(block, crc)
        if kind == "gs":
            # This server copies all that it has at each piece of an upload; its objects are files.
            open_store(f"{place}/in").create("large.bin", b"small")
            with (tmp_path / "gcs" / "box" / "large" / "in" / "large.bin").open("r+b") as file:
                for _ in range(LARGE >> 20):
                    file.write(block)
        else:
            with open_store(f"{place}/in").writer("large.bin") as writer:
                for _ in range(LARGE >> 20):
                    writer.write(block)
                writer.publish()
        print(f"\n{kind}: written in {time.monotonic() - began:.0f} s")  # noqa: T201 - as above

        run(project, store, place)

        assert open_store(f"{place}/out").read("predictions.csv") == f"{LARGE} {crc}\n".encode()

"""Real scorer children over real pipes, under every Python that a deployment may bring."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill_workers.scorer import protocol

CHILD = Path(protocol.__file__).with_name("child.py")
SECONDS = 30.0


def installed_pythons() -> dict[str, str]:
    """Return {"3.8": path, ...}: one Python of each version from 3.8 on that this machine has."""
    home = Path.home()
    candidates = [sys.executable]
    for pattern in (".pyenv/versions/*/bin/python", ".local/share/uv/python/cpython-3*/bin/python"):
        candidates += [str(path) for path in sorted(home.glob(pattern))]
    candidates += [found for minor in range(8, 20) if (found := shutil.which(f"python3.{minor}"))]
    pythons: dict[str, str] = {}
    for candidate in candidates:
        version = _version(candidate)
        if version is not None and version >= (3, 8):
            pythons.setdefault("{}.{}".format(*version), candidate)
    return pythons


def _version(python: str) -> tuple[int, int] | None:
    code = "import sys; print(sys.version_info[0], sys.version_info[1])"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    major, minor = done.stdout.split()
    return int(major), int(minor)


class Child:
    """A scorer child, seen from its node."""

    def __init__(self, folder: Path, python: str, **start: Any) -> None:
        self.folder = folder
        self.environment: dict[str, str] = start.pop("environment", {})
        self.flags: list[str] = start.pop("flags", [])
        for name in ("code", "input", "out", "staging", "logs", "work"):
            (folder / name).mkdir(exist_ok=True)
        self.start = {
            "type": "start",
            "kind": "script",
            "code": str(folder / "code"),
            "script": "score.py",
            "root": str(folder / "input"),
            "output_dir": str(folder / "out"),
            "staging_dir": str(folder / "staging"),
            "log_dir": str(folder / "logs"),
            "node": "node0",
            "process": "process003",
            "logging_level": "info",
            "format": {"kind": "text", "header": False, "delimiter": " "},
            "argv": [],
            "working_dir": str(folder / "work"),
            "model": None,
            "parent": os.getpid(),
            **start,
        }
        self._spawn(python)

    def _spawn(self, python: str) -> None:
        commands, self.commands = os.pipe()
        self.results, results = os.pipe()
        self.memory = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self.memory.truncate(protocol.PROGRESS_SIZE)
        passed = (commands, results, self.memory.fileno())
        variables = {"AZUREML_BI_OUTPUT_PATH": str(self.folder / "out"), "PATH": os.environ["PATH"], **self.environment}
        with self._log("stdout").open("wb") as stdout, self._log("stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [python, *self.flags, str(CHILD), *map(str, passed)],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=variables,
                pass_fds=passed,
                start_new_session=True,
            )
        os.close(commands)
        os.close(results)
        self.progress = protocol.Progress(self.memory.fileno())
        protocol.write_frame(self.commands, self.start)
        self._reader, self._frames = protocol.FrameReader(), []

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.txt"

    @property
    def stdout(self) -> str:
        return self._log("stdout").read_text("utf-8")

    @property
    def stderr(self) -> str:
        return self._log("stderr").read_text("utf-8")

    def frame(self) -> tuple[dict[str, Any], bytes] | None:
        """Return the next frame, or None at the pipe's end."""
        deadline = time.monotonic() + SECONDS
        while not self._frames:
            ready, _, _ = select.select([self.results], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no frame within {SECONDS} s; stderr: {self.stderr}"
            data = os.read(self.results, 1 << 20)
            if not data:
                return None
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def expect(self, kind: str) -> dict[str, Any]:
        frame = self.frame()
        assert frame is not None, f"the child has ended; stderr: {self.stderr}"
        assert frame[0]["type"] == kind, frame
        return frame[0]

    def ready(self) -> Child:
        self.expect("ready")
        return self

    def send(self, *batches: list[str], first: int = 0, attempt: int = 1) -> None:
        commands = [{"n": first + i, "attempt": attempt, "items": items} for i, items in enumerate(batches)]
        protocol.write_frame(self.commands, {"type": "run", "batches": commands})

    def answers(self, count: int) -> list[tuple[dict[str, Any], bytes]]:
        """Return `count` results with their rows."""
        found: list[tuple[dict[str, Any], bytes]] = []
        while len(found) < count:
            frame = self.frame()
            assert frame is not None, f"the child has ended; stderr: {self.stderr}"
            header, payload = frame
            assert header["type"] == "results", header
            for result in header["results"]:
                size = 0 if "spool" in result else result["bytes"]
                found.append((result, payload[:size]))
                payload = payload[size:]
            assert payload == b""
        return found

    def score(self, *items: str, n: int = 0, attempt: int = 1) -> tuple[dict[str, Any], bytes]:
        """Return the result and rows of one mini-batch."""
        self.send(list(items), first=n, attempt=attempt)
        return self.answers(1)[0]

    def stop(self) -> dict[str, Any]:
        protocol.write_frame(self.commands, {"type": "stop"})
        stopped = self.expect("stopped")
        assert self.wait() == 0, self.stderr
        return stopped

    def wait(self) -> int:
        return self.process.wait(SECONDS)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"it never came; stderr: {self.stderr}"
            time.sleep(0.005)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for descriptor in (self.commands, self.results):
            os.close(descriptor)
        self.progress.close()
        self.memory.close()


@pytest.fixture(scope="session")
def pythons() -> dict[str, str]:
    return installed_pythons()


@pytest.fixture(params=["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def python(request: pytest.FixtureRequest, pythons: dict[str, str]) -> str:
    """Each Python of this machine; the test runs once for each."""
    if request.param not in pythons:
        pytest.skip(f"no Python {request.param} here")
    return pythons[request.param]


@pytest.fixture(params=["oldest", "newest"])
def edge_python(request: pytest.FixtureRequest, pythons: dict[str, str]) -> str:
    """The oldest and the newest Python of this machine."""
    ordered = sorted(pythons, key=lambda version: int(version.partition(".")[2]))
    return pythons[ordered[0 if request.param == "oldest" else -1]]


Launch = Callable[..., Child]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start a child whose code folder holds the given files: launch("def init(): ...", python=..., files={...})."""
    children: list[Child] = []

    def start(
        source: str | bytes = "",
        /,
        *,
        python: str = sys.executable,
        files: dict[str, str] | None = None,
        **more: Any,
    ) -> Child:
        folder = tmp_path / f"child{len(children)}"
        (folder / "code").mkdir(parents=True)
        for name, text in {"score.py": source, **(files or {})}.items():
            path = folder / "code" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        child = Child(folder, python, **more)
        children.append(child)
        return child

    yield start
    for child in children:
        child.close()

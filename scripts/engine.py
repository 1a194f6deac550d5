"""A Docker engine for a test, and images for it where none can be pulled.

Where `docker info` answers, that engine is used, and images are pulled. Elsewhere, as root with `dockerd` installed,
one is started in a network namespace of its own, so that it changes no rule of this machine's network. Its images are
made of Debian's packages (debootstrap) and of what PyPI and npm hold.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lock_images

ROOT: Final = Path(__file__).parent.parent
#: What is kept between two runs; an engine takes no path that goes through a link.
CACHE: Final = (ROOT / "build").resolve() / "compose"

BASE: Final = "python:3.11-slim-bookworm"
#: Redis, Azurite, MLflow and Prometheus in one image, in place of those that cannot be pulled.
PARTS: Final = "gristmill-parts:test"

DEBIAN: Final = "bookworm"
AZURITE: Final = "azurite@3.35.0"
MLFLOW: Final = "mlflow==3.17.2"

_PATH: Final = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MLFLOW: Final = '#!/bin/sh\nexport PYTHONPATH=/opt/mlflow PYTHONDONTWRITEBYTECODE=1\nexec python3 -m mlflow "$@"\n'
_AZURITE: Final = '#!/bin/sh\nexec node /opt/azurite/node_modules/azurite/dist/src/blob/main.js "$@"\n'
_NEEDLESS: Final = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")

_START_SECONDS: Final = 30


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A Docker engine that answers."""

    #: Of the docker command, and of docker-compose.
    environment: Mapping[str, str]
    #: What comes before a command that is to reach the published ports.
    inside: tuple[str, ...] = ()
    #: Whether images can be pulled.
    pulls: bool = True

    def docker(self, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a docker command; raise if it fails."""
        return run("docker", *arguments, environment=self.environment, **options)


def run(
    *command: object, environment: Mapping[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run a command; raise if it fails."""
    words = [str(word) for word in command]
    return subprocess.run(words, env=environment, text=True, check=True, **options)  # type: ignore[call-overload,no-any-return]


@contextmanager
def engine() -> Iterator[Engine]:
    """Use the engine of this machine, or one of our own until the end."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        yield Engine(environment=os.environ)
        return
    if os.geteuid() or not shutil.which("dockerd") or not shutil.which("debootstrap"):
        sys.exit("no Docker engine answers; as root, with docker.io, docker-compose and debootstrap, one is started")
    with _own_engine() as own:
        yield own


@contextmanager
def _own_engine() -> Iterator[Engine]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another run has its engine in build/compose: wait for its end")
        with _started() as own:
            yield own


@contextmanager
def _started() -> Iterator[Engine]:
    folder = CACHE / "engine"
    namespace = _namespace(folder)
    _sweep(folder)
    folder.mkdir(parents=True, exist_ok=True)
    socket = f"unix://{folder}/docker.sock"
    inside = ("nsenter", f"--net=/run/netns/{namespace}")
    run("ip", "netns", "add", namespace)
    try:
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        where = [f"--data-root={folder}/data", f"--exec-root={folder}/run", f"--pidfile={folder}/pid", "-H", socket]
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen([*inside, "dockerd", "--oom-score-adjust=0", *where], stdout=log, stderr=log)
        try:
            # The command of Debian's package builds by itself; newer ones want a plug-in for that.
            path = os.pathsep.join(["/usr/bin", os.environ["PATH"]])
            environment = {**os.environ, "PATH": path, "DOCKER_HOST": socket, "DOCKER_BUILDKIT": "1"}
            own = Engine(environment=environment, inside=inside, pulls=False)
            _wait(own, daemon, folder / "log")
            yield own
        finally:
            daemon.terminate()
            daemon.wait()
    finally:
        _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove what an engine leaves, one that was killed as well: its mounts, its network, its files.

    Its images stay, for the next run.
    """
    _end(folder)
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in sorted((each for each in mounted if Path(each).is_relative_to(folder)), reverse=True):
        run("umount", "--lazy", place)
    namespace = _namespace(folder)
    if (Path("/run/netns") / namespace).exists():
        run("ip", "netns", "delete", namespace)
    for path in folder.glob("*"):
        if path.name == "run":
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "data":
            path.unlink()


def _namespace(folder: Path) -> str:
    """Return the name of the network of an engine: each checkout's own."""
    return f"gristmill-{zlib.crc32(str(folder).encode()):08x}"


def _end(folder: Path) -> None:
    """End an engine that has outlived who started it, and with it its containers."""
    try:
        number = int((folder / "pid").read_text())
        if str(folder) not in Path(f"/proc/{number}/cmdline").read_text():
            return
        os.kill(number, signal.SIGTERM)
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + _START_SECONDS
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)


def _wait(own: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while subprocess.run(["docker", "info"], env=own.environment, capture_output=True, check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"dockerd does not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def import_base(own: Engine) -> None:
    """Make the base image of Debian's packages, under the name that deploy/Dockerfile asks for."""
    root = CACHE / "base"
    if not root.exists():
        _bootstrap(root, "python3,python3-venv,ca-certificates")
    _import(own, root, BASE)


def import_parts(own: Engine) -> None:
    """Make the image that stands in for Redis, Azurite, MLflow and Prometheus."""
    root = CACHE / "parts"
    if not root.exists():
        _bootstrap(root, "python3,python3-venv,ca-certificates,redis-server,prometheus,nodejs")
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", root / "opt/azurite", AZURITE)
        uv = Path(sys.executable).with_name("uv")
        # async-timeout: of a Python 3.11 before 3.11.3, as Debian's is.
        run(uv, "pip", "install", "--quiet", "--target", root / "opt/mlflow", MLFLOW, "async-timeout")
        for name, text in {"mlflow": _MLFLOW, "azurite-blob": _AZURITE}.items():
            (root / "usr/local/bin" / name).write_text(text)
            (root / "usr/local/bin" / name).chmod(0o755)
    _import(own, root, PARTS)


def build(own: Engine, name: str, *arguments: object, locks: Sequence[str] = ("build", "runtime")) -> int:
    """Build an image of deploy/Dockerfile; tell how long that took, and return its size in bytes.

    Where nothing can be pulled, its base is made of Debian's packages, and its wheels are those that this machine could
    fetch by its own clients.
    """
    if not own.pulls:
        import_base(own)
        lock_images.main(["--wheels", *locks])
        arguments = (*arguments, "--build-arg", "OFFLINE=1")
    began = time.monotonic()
    command = ("build", "-q", "-f", ROOT / "deploy/Dockerfile", "-t", name, *arguments, ROOT)
    own.docker(*command, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    # What had its name before.
    own.docker("image", "prune", "-f", stdout=subprocess.DEVNULL)
    size = int(own.docker("image", "inspect", "-f", "{{.Size}}", name, capture_output=True).stdout)
    print(f"{name}: built in {took:.1f} s, {size / 1e6:.0f} MB", flush=True)
    return size


def _bootstrap(root: Path, packages: str) -> None:
    unfinished = root.with_name(f"{root.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    run("debootstrap", "--variant=minbase", f"--include={packages}", DEBIAN, unfinished, stdout=subprocess.DEVNULL)
    for needless in _NEEDLESS:
        shutil.rmtree(unfinished / needless, ignore_errors=True)
    unfinished.rename(root)


def _import(own: Engine, root: Path, name: str) -> None:
    if own.docker("image", "ls", "-q", name, stdout=subprocess.PIPE).stdout.strip():
        return
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as archive:
        own.docker("import", "--change", _PATH, "-", name, stdin=archive.stdout, stdout=subprocess.DEVNULL)

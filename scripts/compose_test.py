"""Build the images, bring the cluster of compose.yaml up, let it fail, check what it made, and take it down.

    python scripts/compose_test.py

A job runs on three workers; in its middle one of them is killed and Redis is restarted. The output must hold each
input once. Then a worker is stopped and must have drained. Prints what was measured as it comes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import engine as engines
import lock_images
from engine import CACHE, ROOT, Engine

IMAGE: Final = "gristmill:test"
PROJECT: Final = "gristmill-test"
WORKERS: Final = 3
#: Bytes of the image without torch.
MOST_BYTES: Final = 400_000_000

#: Mini-batches after which something is made to fail.
_SOME: Final = 10

#: In place of images that cannot be pulled. Grafana is no package: without it.
_PARTS: Final = dict.fromkeys(("REDIS_IMAGE", "STORE_IMAGE", "MLFLOW_IMAGE", "PROMETHEUS_IMAGE"), engines.PARTS)

_SUBMIT: Final = (sys.executable, ROOT / "examples" / "submit.py", "--instances", WORKERS)

_SECONDS: Final = 400


class Cluster:
    """The services of compose.yaml, under a project name of their own."""

    def __init__(self, engine: Engine, words: list[str]) -> None:
        """Take the engine, and what calls compose."""
        self._engine = engine
        self._compose = [*words, "-p", PROJECT, "--env-file", str(CACHE / "env"), "-f", str(ROOT / "compose.yaml")]

    def compose(self, *arguments: object, quiet: bool = False) -> str:
        """Run a command of compose; return what it printed."""
        done = subprocess.run(
            [*self._compose, *map(str, arguments)],
            env=self._engine.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        return done.stdout

    def submit(self, *arguments: object) -> subprocess.Popen[str]:
        """Start examples/submit.py where the published ports are."""
        token = self.compose("exec", "-T", "scheduler", "cat", "/var/lib/gristmill/token").strip()
        environment = {**self._engine.environment, "GRISTMILL_URL": "http://127.0.0.1:8890", "GRISTMILL_TOKEN": token}
        command = [str(word) for word in (*self._engine.inside, *_SUBMIT, *arguments)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def workers(self) -> list[str]:
        """Return the ids of the workers' containers that run."""
        return [each for each in self.compose("ps", "-q", "worker").split() if self.state(each)["Running"]]

    def state(self, container: str) -> dict[str, object]:
        """Return what the engine knows of a container's state."""
        state: dict[str, object] = json.loads(self._engine.docker("inspect", container, capture_output=True).stdout)[0][
            "State"
        ]
        return state

    def kill(self, container: str) -> None:
        """Kill a container's processes, as a machine that is gone."""
        self._engine.docker("kill", container, stdout=subprocess.DEVNULL)

    def says(self, service: str, *command: str) -> str:
        """Return what a command in a service's container prints; "" where it fails."""
        try:
            return self.compose("exec", "-T", service, *command, quiet=True)
        except subprocess.CalledProcessError:
            return ""


def main() -> None:
    """Do all of it; what is told to end takes its engine down first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    with engines.engine() as engine:
        build(engine)
        with cluster(engine) as running:
            began = time.monotonic()
            services = ["worker", *(["grafana"] if engine.pulls else []), *monitoring()]
            running.compose("up", "-d", "--no-build", "--scale", f"worker={WORKERS}", *services)
            tell("up", began)
            finish(running.submit(), ignore)
            tell("from `compose up` to the first result", began)
            check_faults(running)
            check_drain(running)
            if monitoring():
                wait_until(lambda: scrapes(running), "Prometheus scrapes the scheduler")
    print("compose-test: 1 passed, 0 failed")


def build(engine: Engine) -> None:
    """Build the image; where nothing can be pulled, of what this machine could fetch by its own clients."""
    arguments: list[object] = []
    if not engine.pulls:
        engines.import_base(engine)
        engines.import_parts(engine)
        lock_images.main(["--wheels"])
        arguments = ["--build-arg", "OFFLINE=1"]
    began = time.monotonic()
    engine.docker(
        "build", "-q", "-f", ROOT / "deploy/Dockerfile", "-t", IMAGE, *arguments, ROOT, stdout=subprocess.DEVNULL
    )
    tell("image built", began)
    size = int(engine.docker("image", "inspect", "-f", "{{.Size}}", IMAGE, capture_output=True).stdout)
    print(f"{IMAGE}: {size / 1e6:.0f} MB", flush=True)
    assert size < MOST_BYTES, "the runtime image is to be below 400 MB"


@contextmanager
def cluster(engine: Engine) -> Iterator[Cluster]:
    """Make the cluster's settings, and take it down with all its volumes at the end."""
    settings = {"GRISTMILL_IMAGE": IMAGE, "WORKER_MEMORY": "1g", **({} if engine.pulls else _PARTS)}
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, env=engine.environment)
    running = Cluster(engine, ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"])
    try:
        yield running
    except BaseException:
        print(running.compose("logs", "--tail", "15"))
        raise
    finally:
        running.compose("down", "-v", "-t", "5", quiet=True)


def check_faults(running: Cluster) -> None:
    """Kill a worker and restart Redis while a job runs; its output must be whole."""
    began = time.monotonic()
    victim, faults = running.workers()[0], iter(("kill", "restart"))

    def disturb(line: str) -> None:
        done, _, rest = line.partition(" of ")
        if not (done.isdecimal() and int(done) >= _SOME) or not rest:
            return
        match next(faults, None):
            case "kill":
                running.kill(victim)
                print("-- killed a worker", flush=True)
            case "restart":
                running.compose("restart", "redis", quiet=True)
                print("-- restarted redis", flush=True)

    finish(running.submit("--files", 240, "--pause", 1), disturb)
    assert next(faults, None) is None, "the job was over before both faults had come"
    tell("a job with a killed worker and a restarted Redis", began)


def check_drain(running: Cluster) -> None:
    """Stop the workers while a job runs: each leaves in order, and those that come back finish it."""
    process = running.submit("--files", 60, "--pause", 1)
    assert process.stdout is not None
    for line in process.stdout:
        if line[0] in "123456789":
            break
    began = time.monotonic()
    workers = running.workers()
    running.compose("stop", "worker", quiet=True)
    tell("workers drained", began)
    codes = [running.state(worker)["ExitCode"] for worker in workers]
    assert codes == [0] * len(codes), f"the workers ended with {codes}"
    running.compose("start", "worker", quiet=True)
    finish(process, ignore)


def finish(process: subprocess.Popen[str], disturb: Callable[[str], None]) -> None:
    """Follow a submission to its end, which must be a good one."""
    assert process.stdout is not None
    for line in process.stdout:
        print(f"   {line}", end="", flush=True)
        disturb(line)
    assert process.wait() == 0, "the job's output is not what it must be"


def ignore(_line: str) -> None:
    """Do nothing."""


def monitoring() -> list[str]:
    """Return Prometheus, if there is a configuration for it."""
    return ["prometheus"] if (ROOT / "deploy/prometheus/prometheus.yml").exists() else []


def scrapes(running: Cluster) -> bool:
    """Return whether Prometheus reads the scheduler's metrics with the token that was made for it."""
    query = 'up{job="gristmill"} == 1'
    return "=> 1" in running.says("prometheus", "promtool", "query", "instant", "http://127.0.0.1:9090", query)


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for something, a minute at most."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"not so: {what}"
        time.sleep(1)


def tell(what: str, began: float) -> None:
    """Print how long something took."""
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()

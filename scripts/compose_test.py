"""Build the images, bring the cluster of compose.yaml up, let it fail, check what it made, and take it down.

    python scripts/compose_test.py

Every service must be healthy, and have no more rights than it needs. A job runs on three workers; in its middle one of
them is killed and Redis is restarted. The output must hold each input once. Then all workers are stopped and must have
drained. Every panel of every dashboard must have data. Prints what was measured as it comes.
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
from typing import Any, Final

import engine as engines
from engine import CACHE, ROOT, Engine

IMAGE: Final = "gristmill:test"
PROJECT: Final = "gristmill-test"
WORKERS: Final = 3
#: Bytes of the image without torch.
MOST_BYTES: Final = 400_000_000

#: Characters that a password which is made has more of.
WORD: Final = 40

#: Mini-batches after which something is made to fail.
_SOME: Final = 10

#: In place of images that cannot be pulled. Grafana is no package: without it.
_PARTS: Final = dict.fromkeys(("REDIS_IMAGE", "STORE_IMAGE", "MLFLOW_IMAGE", "PROMETHEUS_IMAGE"), engines.PARTS)

#: Services that are root, with three capabilities, for the moment in which volumes are handed over.
_ROOTS: Final = {"setup"}

#: A node with a GPU, which the machine of a test need not have: it says so of itself in the ledger.
_GPU_NODE: Final = """
import os
from gristmill_storage.ledger import Ledger
machine = {"cpus": 8, "gpus": [{"utilization": 0.5, "memory": 100, "memory_used": 40}]}
info = {"compute": "gpu", "host": "box", "pid": 1, "slots": 1, "running": [None], "machine": machine}
Ledger(os.environ["GRISTMILL_REDIS_URL"]).see_node("box@gpu/1", info, 600)
"""

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
        return self.start(ROOT / "examples" / "submit.py", "--instances", WORKERS, *arguments)

    def start(self, script: Path, *arguments: object) -> subprocess.Popen[str]:
        """Start a script of ours where the published ports are, with an owner's token."""
        token = self.compose("exec", "-T", "scheduler", "cat", "/var/lib/gristmill/token").strip()
        environment = {**self._engine.environment, "GRISTMILL_URL": "http://127.0.0.1:8890", "GRISTMILL_TOKEN": token}
        command = [str(word) for word in (*self._engine.inside, sys.executable, script, *arguments)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def workers(self) -> list[str]:
        """Return the ids of the workers' containers that run."""
        return [each for each in self.compose("ps", "-q", "worker").split() if self.state(each)["Running"]]

    def state(self, container: str) -> dict[str, Any]:
        """Return what the engine knows of a container's state."""
        state: dict[str, Any] = self.about(container)["State"]
        return state

    def about(self, container: str) -> dict[str, Any]:
        """Return all that the engine knows of a container."""
        about: dict[str, Any] = json.loads(self._engine.docker("inspect", container, capture_output=True).stdout)[0]
        return about

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
            services = ["worker", "prometheus", *(["grafana"] if engine.pulls else [])]
            running.compose("up", "-d", "--no-build", "--scale", f"worker={WORKERS}", *services)
            tell("up", began)
            finish(running.submit(), ignore)
            tell("from `compose up` to the first result", began)
            check_services(running)
            check_faults(running)
            check_drain(running)
            check_panels(running)
    print("compose-test: 1 passed, 0 failed")


def build(engine: Engine) -> None:
    """Build the image, and make what stands in for those that cannot be pulled."""
    if not engine.pulls:
        engines.import_parts(engine)
    assert engines.build(engine, IMAGE) < MOST_BYTES, "the runtime image is to be below 400 MB"


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


def check_services(running: Cluster) -> None:
    """Wait until every service is healthy, or has ended well; none may have rights or passwords in reach of others."""
    containers = [running.about(each) for each in running.compose("ps", "-q").split()]
    names = [each["Config"]["Labels"]["com.docker.compose.service"] for each in containers]
    for name, about in zip(names, containers, strict=True):
        wait_until(lambda each=about["Id"]: well(running.state(each)), f"{name} is healthy")
    made = secrets(running)
    assert all(len(word) > WORD for word in made)
    running.compose("run", "--rm", "setup", quiet=True)
    assert secrets(running) == made, "a second start made other passwords"
    for name, about in zip(names, containers, strict=True):
        host, config = about["HostConfig"], about["Config"]
        found = (config["User"], host["ReadonlyRootfs"], host["Memory"] > 0, host["CapDrop"], host["SecurityOpt"])
        user = "0:0" if name in _ROOTS else "10001:10001"
        assert found == (user, True, True, ["ALL"], ["no-new-privileges:true"]), f"{name}: {found}"
        assert not [word for word in made if word in json.dumps(about)], f"{name}: a password in its environment"
    refused = running.says("redis", "sh", "-c", "$(command -v valkey-cli || command -v redis-cli) ping")
    assert "NOAUTH" in refused, f"redis asks for no password: {refused}"
    print(f"{len(containers)} services healthy, none root but {sorted(_ROOTS)}, no password in an environment")


def secrets(running: Cluster) -> list[str]:
    """Return the passwords that were made."""
    return [running.says("scheduler", "cat", f"/secrets/{name}") for name in ("redis-password", "store-key")]


def well(state: dict[str, Any]) -> bool:
    """Return whether a container is healthy, or has ended without a fault."""
    if state["Running"]:
        return bool(state.get("Health", {}).get("Status") == "healthy")
    return bool(state["ExitCode"] == 0)


def check_panels(running: Cluster) -> None:
    """Ask Prometheus for every query of every panel, of a job of which one item fails."""
    wait_until(lambda: scrapes(running), "Prometheus scrapes the scheduler")
    running.compose("exec", "-T", "scheduler", "/etc/gristmill/start.sh", "python", "-c", _GPU_NODE)
    process = running.start(ROOT / "scripts" / "compose_panels.py", "http://127.0.0.1:9090")
    assert process.stdout is not None
    for line in process.stdout:
        print(f"   {line}", end="", flush=True)
    assert process.wait() == 0, "a panel is empty"


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


def scrapes(running: Cluster) -> bool:
    """Return whether Prometheus reads the scheduler's metrics with the token that was made for it."""
    query = 'up{job="gristmill"} == 1'
    return "=> 1" in running.says("prometheus", "promtool", "query", "instant", "http://127.0.0.1:9090", query)


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for something, two minutes at most."""
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, f"not so: {what}"
        time.sleep(1)


def tell(what: str, began: float) -> None:
    """Print how long something took."""
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()

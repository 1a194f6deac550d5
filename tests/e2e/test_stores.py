"""Whole jobs with input, parts and output in real object stores: odd names, kills, throttling, racing publishers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
from clusters import wait_until
from faulty_proxy import FaultyProxy

from gristmill.errors import AlreadyExists, Mistake
from gristmill_scheduler.exclusion import Exclusion
from gristmill_scheduler.service import open_workspace
from gristmill_storage import fsspec_writer
from gristmill_storage.files import excludes, open_store
from gristmill_storage.fsspec_store import FsspecStore
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import patient
from object_stores import KINDS, ObjectStore, object_store, open_driver

#: A remark of aiohttp's on how large requests should be given to it, which drivers do not heed.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

#: What takes long, and says little more than the rest.
LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

#: Names that some part of an address, a request or a path gives a meaning to.
ODD = (
    "a b.txt",
    "ü/日本 語.txt",
    "x#1.txt",
    "100%.txt",
    "p%20q%2Fr.txt",
    "what?x=1&y=2.txt",
    "plus+and=;,'.txt",
    "[br]{ac}*.txt",
    "a:b@c.txt",
)

READ = """
    def init():
        pass

    def run(mini_batch):
        return [open(path).read() for path in mini_batch]
"""


@pytest.fixture(scope="module", params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """Each real store in turn; the environment leads this process' clients to it."""
    with (
        object_store(request.param, tmp_path_factory.mktemp(request.param)) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in running.environment.items():
            patch.setenv(name, value)
        # A driver keeps the address that it was made with, and other tests of this process have other servers.
        driver = fsspec.get_filesystem_class(running.kind)
        driver.clear_instance_cache()
        yield running
        driver.clear_instance_cache()


@pytest.fixture
def place(store: ObjectStore) -> str:
    """A folder of a test's own."""
    return f"{store.url}/{uuid.uuid4().hex}"


def put(store: ObjectStore, place: str, names: dict[str, bytes]) -> None:
    """Put objects past Gristmill."""
    with open_driver(store) as driver:
        driver.pipe({f"{place.partition('://')[2]}/{name}": data for name, data in names.items()})


def rows(place: str) -> list[str]:
    return open_store(place).read("predictions.csv").decode().splitlines()


def job(project: Any, *words: str) -> subprocess.CompletedProcess[str]:
    command = project.command("job", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("store", [pytest.param("s3", marks=LONG), "abfs", "gs"], indirect=True)
def test_input_parts_and_output_of_a_whole_job_are_in_the_store(project, store, place) -> None:
    put(store, f"{place}/in", {name: name.encode() for name in ODD})
    project.script(READ)
    project.deployment(mini_batch_size=2, max_concurrency_per_instance=2)

    ran = project.run("--job-name", "odd", input=f"{place}/in", output=f"{place}/out")

    assert ran.returncode == 0, ran.stderr
    assert rows(f"{place}/out") == sorted(ODD, key=str.encode)
    verified = job(project, "verify", f"{place}/out/.gristmill/odd")
    assert verified.returncode == 0, verified.stderr
    found = open_store(f"{place}/out")
    texts = [found.read(entry.path).decode("latin-1") for entry in found.list()]
    assert store.secret not in "".join([*texts, ran.stdout, ran.stderr, verified.stdout, verified.stderr])


@pytest.mark.parametrize("size", [100, 6 << 20], ids=["by one put", "by an upload"])
def test_of_racing_publishers_one_wins(store, place, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if store.kind == "gs" and size > fsspec_writer.BUFFER // 4:
        pytest.skip("this fake-gcs-server passes over the conditions of uploads in pieces (its issue 1967)")
    monkeypatch.setattr(fsspec_writer, "BUFFER", 5 << 20)
    for number in range(2):
        racers = [bytes([racer]) * size for racer in range(3)]
        won, lost = race([publisher(place, f"{number}", data) for data in racers])

        assert len(won) == 1, won
        assert {type(error) for error in lost} == {AlreadyExists}
        assert open_store(place).read(f"{number}") == racers[won[0]]


def publisher(place: str, name: str, data: bytes) -> Callable[[], None]:
    """Return what publishes a file through a store of its own."""

    def publish() -> None:
        with open_store(place).writer(name) as writer:
            writer.write(data)
            writer.publish()

    return publish


def race(actions: list[Callable[[], None]]) -> tuple[list[int], list[Exception]]:
    """Begin all at once; return which came through, and what the others raised."""
    begin = threading.Barrier(len(actions))
    won: list[int] = []
    lost: list[Exception] = []

    def run(number: int) -> None:
        begin.wait()
        try:
            actions[number]()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            lost.append(error)
        else:
            won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won, lost


def test_the_store_keeps_create_if_absent(store, place) -> None:
    found = open_store(place)

    assert isinstance(found, FsspecStore)
    assert found.conditional
    assert excludes(found, "probe")
    assert list(found.list()) == []


# Only what speaks S3 is known to take conditions and to ignore them.
@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_store_that_ignores_conditions_is_refused_where_several_schedulers_may_write(store, place) -> None:
    with FaultyProxy(store.endpoint, hidden=frozenset({"if-none-match"})) as proxy, through(proxy, store):
        with pytest.raises(Mistake, match=r"--workspace .*: its store ignores create-if-absent.*If-None-Match"):
            open_workspace(place)
        with pytest.raises(Mistake, match=r"output: .*If-None-Match.*several schedulers could undo each other's work"):
            Exclusion().check(place)
        Exclusion(store.url).check(place)  # what is known is not asked again
    Exclusion().check(place)
    assert list(open_store(place).list()) == []


@contextlib.contextmanager
def through(proxy: FaultyProxy, store: ObjectStore) -> Iterator[None]:
    """Lead this process' clients to a store by a proxy; drivers keep clients, so that those have to be made anew."""
    driver = type(open_store(store.url).fs)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.at(proxy.url).items():
            patch.setenv(name, value)
        patch.setattr(driver, "_cache", {})
        yield


@pytest.mark.parametrize("times", [1, pytest.param(8, marks=LONG)])
def test_a_request_that_is_one_too_many_is_sent_again(store, place, times: int) -> None:
    with FaultyProxy(store.endpoint) as proxy, through(proxy, store):
        throttled = patient(open_store(f"{place}/throttled"), Patience(100))
        for act in (
            lambda: throttled.create("a", b"1"),
            lambda: throttled.read("a"),
            lambda: list(throttled.list()),
        ):
            fault = proxy.add("", "busy", times=times)
            act()
            assert fault.seen > times
            proxy.faults.clear()


@LONG
@pytest.mark.timeout(600)
def test_a_whole_job_gets_through_a_store_that_throttles(project, store, place) -> None:
    put(store, f"{place}/in", {f"{number}.txt": b"%d" % number for number in range(10)})
    project.script(READ)
    project.deployment(mini_batch_size=2)
    with FaultyProxy(store.endpoint) as proxy:
        fault = proxy.add("", "busy", times=10**6, every=7)
        ran = project.run(input=f"{place}/in", output=f"{place}/out", env=store.at(proxy.url))

    assert ran.returncode == 0, ran.stderr
    assert rows(f"{place}/out") == [f"{number}" for number in range(10)]
    assert fault.seen > 20


#: What a process of each kind has on its command line.
WORDS = {"scheduler": b"\0gristmill_scheduler\0", "node": b"\0gristmill_workers\0"}

HELD = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        while not os.path.exists({free!r} + mini_batch[0][-6]):
            time.sleep(0.01)
        open({free!r} + "-seen", "w").close()
        return [open(path).read() for path in mini_batch]
"""


class Running:
    """A job's command, and the processes that it started."""

    def __init__(self, project: Any, *words: str) -> None:
        self._mark = uuid.uuid4().hex
        environment = {**os.environ, "DOOMED": self._mark, "GRISTMILL_LEASE_SECONDS": "2"}
        self.process = subprocess.Popen(
            project.command(*words), cwd=project.folder, env=environment, stderr=subprocess.PIPE, text=True
        )

    def kill(self, kind: str) -> None:
        """Kill the processes of a kind; there is one at least."""
        wait_until(lambda: self.living(kind))
        for pid in self.living(kind):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def living(self, kind: str) -> list[int]:
        return [
            int(folder.name)
            for folder in Path("/proc").iterdir()
            if folder.name.isdigit()
            and WORDS[kind] in content(folder / "cmdline")
            and self._mark.encode() in content(folder / "environ")
        ]

    def end(self) -> int:
        _, self.said = self.process.communicate(timeout=90)
        return self.process.returncode


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@dataclass(frozen=True)
class Doomed:
    """A job whose items are let go by tens, in a store."""

    project: Any
    place: str
    free: Path
    names: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.place}/out/.gristmill/doomed"

    def start(self) -> Running:
        where = ("--input", f"{self.place}/in", "--output", f"{self.place}/out", "--job-name", "doomed")
        return Running(self.project, "run", "deployment.yml", *where)

    def let_go(self, *tens: int) -> None:
        for ten in tens:
            Path(f"{self.free}{ten}").touch()

    def until_parts(self, count: int) -> None:
        wait_until(lambda: len(list(open_store(self.folder).list("parts"))) >= count, seconds=100)

    def check(self) -> None:
        """Insist on the output that a job has to which nothing happens."""
        assert rows(f"{self.place}/out") == list(self.names)
        verified = job(self.project, "verify", self.folder)
        assert verified.returncode == 0, verified.stderr


@pytest.fixture
def doomed(project, store, place, tmp_path) -> Doomed:
    names = tuple(f"{number:03}.txt" for number in range(100))
    put(store, f"{place}/in", {name: name.encode() for name in names})
    project.script(HELD.format(free=str(tmp_path / "free")))
    project.deployment(mini_batch_size=5, max_concurrency_per_instance=2)
    return Doomed(project, place, tmp_path / "free", names)


# Another test kills more of a job, on each store.
@pytest.mark.parametrize("store", ["abfs"], indirect=True)
def test_a_node_is_killed_and_the_output_is_the_same(doomed, store) -> None:
    running = doomed.start()
    try:
        doomed.let_go(0)
        wait_until(Path(f"{doomed.free}-seen").exists)
        running.kill("node")
        doomed.let_go(*range(10))
        assert running.end() == 0, running.said
    finally:
        running.process.kill()
    doomed.check()


@LONG
@pytest.mark.timeout(600)
def test_node_scheduler_and_command_are_killed_and_the_output_is_the_same(doomed) -> None:
    running = doomed.start()
    try:
        for count, kind in enumerate(("node", "scheduler"), 1):
            doomed.let_go(2 * count, 2 * count + 1)
            doomed.until_parts(count)
            running.kill(kind)
        wait_until(lambda: running.living("scheduler"))
    finally:
        running.process.kill()
    assert running.end() == -signal.SIGKILL
    doomed.let_go(*range(10))

    resumed = job(doomed.project, "resume", doomed.folder)

    assert resumed.returncode == 0, resumed.stderr
    doomed.check()

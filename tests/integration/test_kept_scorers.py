"""Scorers that serve one job after the other: real instances and real scorers, without a server."""

from __future__ import annotations

import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gristmill.settings import ProcessSettings
from gristmill.spec import CodeConfiguration, Deployment, Input, Job, Model, Output, RetrySettings, Settings
from gristmill_storage.files import open_store
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.manifest import Item, ManifestWriter, cut
from gristmill_storage.parts import PartReader
from gristmill_workers import bench as bench_module
from gristmill_workers.assignment import Assignment
from gristmill_workers.bench import Bench
from gristmill_workers.instance import Instance

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="scorers are kept where /proc shows them")

SCRIPT = """
    import os, sys
    from azureml_user.parallel_run import EntryScript

    LOG_DIR = EntryScript().log_dir
    LOGGER = EntryScript().logger

    def init():
        with open(os.environ["INITS"], "a") as file:
            file.write(f"{os.getpid()}\\n")

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        print("printed", *names)
        print("warned", *names, file=sys.stderr)
        LOGGER.warning("logged %s", names)
        with open(os.path.join(LOG_DIR, f"own-{names[0]}.txt"), "w") as file:
            file.write("own")
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], f"{names[0]}.out"), "w") as file:
            file.write(names[0])
        return names
"""


class Node:
    """A node's bench, and the jobs that it works for one after the other."""

    def __init__(self, folder: Path) -> None:
        for name in ("code", "model", "scratch"):
            (folder / name).mkdir()
        self.folder = folder
        self.inits = folder / "inits.txt"
        (folder / "model" / "weights").write_text("7")
        self.script(SCRIPT)
        self.bench = Bench(places=1, seconds=60)
        self.deployment = Deployment(
            name="dep",
            endpoint_name="words",
            model=Model(path=str(folder / "model")),
            code_configuration=CodeConfiguration(code=str(folder / "code"), scoring_script="score.py"),
            environment_variables={"INITS": str(self.inits)},
            settings=Settings(mini_batch_size=1, retry_settings=RetrySettings(max_retries=1, timeout=30)),
        )
        #: Whether a job's plan has come to its end.
        self.planned = True
        #: The job that is scored, or was last.
        self.present: Done | None = None
        self._jobs = 0

    def script(self, text: str) -> None:
        (self.folder / "code" / "score.py").write_text(textwrap.dedent(text))

    def settings(self, **changes: Any) -> None:
        self.deployment = replace(self.deployment, settings=replace(self.deployment.settings, **changes))

    @property
    def pids(self) -> list[int]:
        """Who has run init(), in order."""
        return [int(line) for line in self.inits.read_text().split()]

    def job(self, *items: str, kept_for: str = "words/dep/1", text: str = "x", slot: int = 0) -> Done:
        """Score a job to its end, as the instance that the slot is the number of."""
        self._jobs += 1
        name = f"job{self._jobs}"
        given = self.folder / name / "in"
        given.mkdir(parents=True)
        for item in items:
            (given / item).write_text(text)
        job = Job(
            name=name,
            deployment=self.deployment,
            input=Input(uri=str(given)),
            output=Output(folder=str(self.folder / name / "out")),
            kept_for=kept_for,
        )
        self.present = Done(self, job, slot)
        self.present.score(items)
        return self.present


class Done:
    """A job that was scored."""

    def __init__(self, node: Node, job: Job, slot: int) -> None:
        self.node = node
        self.name = job.name
        self.store = open_store(str(node.folder / job.name / "folder"))
        self.folder = node.folder / job.name / "folder"
        self.ledger = MemoryLedger()
        self._job = job
        self._slot = slot

    def score(self, items: tuple[str, ...]) -> None:
        self.ledger.open(self.name, epoch="1", lease_seconds=30, error_threshold=-1)
        writer = ManifestWriter(self.store)
        chunks = [writer.add(batch) for batch in cut([Item(name=item, size=1) for item in items], 1)]
        for chunk in filter(None, [*chunks, writer.close()]):
            told = {"first": chunk.first, "count": chunk.count, "items": chunk.items, "size": chunk.size}
            self.ledger.extend(self.name, **told, closed=False)
        self.ledger.extend(
            self.name, first=writer.totals.mini_batches, count=0, items=0, size=0, closed=self.node.planned
        )
        scratch = {"GRISTMILL_SCRATCH": str(self.node.folder / "scratch"), "GRISTMILL_NODE_NAME": "n"}
        assignment = Assignment(
            job=self._job,
            folder=self.store,
            slot=self._slot,
            ledger=self.ledger,
            settings=ProcessSettings.read({**os.environ, **scratch}),
            drain=threading.Event(),
            share=1,
            bench=self.node.bench,
        )
        # As on a node: in a thread that ends with the instance.
        thread = threading.Thread(target=Instance(assignment).run)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()

    @property
    def state(self) -> str:
        return self.ledger.snapshot(self.name).state

    @property
    def scorers(self) -> int:
        """How many are ready, as the instance says."""
        return sum(int(each.info.get("scorers", 0)) for each in self.ledger.snapshot(self.name).instances)

    @property
    def rows(self) -> list[str]:
        found = []
        for part, _ in self.ledger.parts(self.name):
            with PartReader(self.store, part) as reader:
                found += [reader.read(block).decode().strip() for block in reader.blocks()]
        return found

    def log(self, path: str) -> str:
        return (self.folder / "logs" / path).read_text()

    @property
    def node_log(self) -> str:
        return self.log("sys/node/n/_main.txt")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.bench.close()
    assert not any((tmp_path / "scratch").iterdir())
    assert made.inits.exists()
    until(lambda: not any(alive(pid) for pid in made.pids))


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/fd").is_dir() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_the_next_job_is_scored_by_the_same_process_and_init_is_not_called_again(node: Node) -> None:
    first, second = node.job("a"), node.job("b")

    assert len(node.pids) == 1
    assert first.state == second.state == "scored"
    assert "kept 1 scorer of words/dep for 60 s" in first.node_log
    assert "took 1 kept scorer of words/dep" in second.node_log
    assert node.bench.resting() == [{"deployment": "words/dep", "scorers": 1}]


def test_each_job_gets_its_own_lines_files_and_rows(node: Node) -> None:
    jobs = {name: node.job(name) for name in ("a", "b", "c")}

    assert len(node.pids) == 1
    for name, job in jobs.items():
        assert job.rows == [name]
        assert job.log("user/stdout/n/process000.stdout.txt") == f"printed {name}\n"
        assert job.log("user/stderr/n/process000.stderr.txt") == f"warned {name}\n"
        (line,) = job.log("user/entry_script_log/n/process000.log.txt").splitlines()
        assert line.endswith(f"logged ['{name}']")
        assert [path.name for path in (job.folder / "logs" / "user").glob("own-*")] == [f"own-{name}.txt"]
        assert [path.name for path in (job.folder / "files").rglob("*.out")] == [f"{name}.out"]


def test_which_of_a_jobs_instances_a_node_has_changes_from_job_to_job(node: Node) -> None:
    jobs = {slot: node.job("a", slot=slot) for slot in (0, 2, 1)}

    assert len(node.pids) == 1
    for slot, name in ((0, "n"), (2, "n-2"), (1, "n-1")):
        (line,) = jobs[slot].log(f"user/entry_script_log/{name}/process000.log.txt").splitlines()
        assert line.endswith("logged ['a']")
        assert jobs[slot].log(f"user/stdout/{name}/process000.stdout.txt") == "printed a\n"


def test_a_job_that_others_finish_leaves_scorers_to_the_next(node: Node) -> None:
    node.planned = False
    thread = threading.Thread(target=node.job)
    thread.start()
    until(lambda: node.present is not None and node.present.scorers == 1)
    assert node.present is not None
    node.present.ledger.close(node.present.name, status="Completed", error=None, epoch="1")
    thread.join(60)

    assert not thread.is_alive()
    assert node.bench.resting() == [{"deployment": "words/dep", "scorers": 1}]
    node.planned = True
    assert node.job("a").rows == ["a"]
    assert len(node.pids) == 1


def test_two_scorers_keep_their_places_and_their_names(node: Node) -> None:
    node.settings(max_concurrency_per_instance=2)
    node.job(*"abcdef")
    second = node.job(*"ghijkl")

    assert len(node.pids) == 2
    logs = sorted(path.name for path in (second.folder / "logs" / "user" / "stdout" / "n").iterdir())
    assert logs == ["process000.stdout.txt", "process001.stdout.txt"]


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.settings(header=True),
        lambda node: (node.folder / "model" / "weights").write_text("8"),
    ],
    ids=["header", "model"],
)
def test_what_a_scorer_was_born_with_is_never_another_jobs(node: Node, change: Callable[[Node], Any]) -> None:
    node.job("a")
    change(node)
    second = node.job("b", "c", "d")

    assert second.state == "scored"
    assert "took" not in second.node_log
    assert not alive(node.pids[0])
    assert len(set(node.pids)) >= 2


@pytest.mark.parametrize("kept_for", ["words/dep/2", ""])
def test_a_scorer_serves_one_version_of_one_deployment_for_one_user(node: Node, kept_for: str) -> None:
    node.job("a")
    node.job("b", kept_for=kept_for)

    assert len(node.pids) == 2
    assert not alive(node.pids[0])


def test_settings_of_the_node_side_are_the_jobs_own(node: Node) -> None:
    node.job("a")
    node.settings(retry_settings=RetrySettings(max_retries=2, timeout=31), error_threshold=5)
    node.job("b")

    assert len(node.pids) == 1


def test_scorers_that_died_while_they_were_kept_are_replaced(node: Node) -> None:
    node.settings(max_concurrency_per_instance=2)
    node.job("a", "b")
    os.kill(node.pids[0], signal.SIGKILL)
    until(lambda: not alive(node.pids[0]))
    second = node.job("c", "d", "e", "f")

    assert second.state == "scored"
    assert "took 1 kept scorer" in second.node_log
    assert len(node.pids) == 3


def test_a_scorer_that_does_not_wake_up_is_replaced(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill_workers.pool.BEGIN_SECONDS", 0.2)
    node.job("a")
    os.kill(node.pids[0], signal.SIGSTOP)
    second = node.job("b")

    assert second.state == "scored"
    assert second.rows == ["b"]
    assert len(node.pids) == 2


def test_kept_scorers_end_when_their_time_is_over(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "LOOK_SECONDS", 0.05)
    node.settings(keep_scorers_seconds=1)
    node.job("a")

    until(lambda: not node.bench.resting())
    until(lambda: not alive(node.pids[0]))


def test_scorers_that_die_while_they_are_kept_are_noticed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "LOOK_SECONDS", 0.05)
    node.job("a")
    os.kill(node.pids[0], signal.SIGKILL)

    until(lambda: not node.bench.resting())


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("def shutdown(): print('shut down')", "their script ends its work"),
        ("open(os.environ['AZUREML_BI_OUTPUT_PATH'] + '/own', 'w').close()", "their script ends its work"),
        ("KEPT = open(os.path.join(LOG_DIR, 'kept.txt'), 'w')", "kept.txt open"),
        ("KEPT = os.dup(1)", "process000.stdout.txt open"),
        ("if not os.fork(): os.setsid(); os.fork() and os._exit(0); os.execlp('sleep', 'sleep', '60')", "leaves 1"),
    ],
    ids=["shutdown", "output of init", "file in the logs", "copy of stdout", "daemon"],
)
def test_a_script_that_clings_to_its_job_is_not_kept(node: Node, more: str, why: str) -> None:
    node.script(textwrap.dedent(SCRIPT) + more + "\n")
    first, second = node.job("a"), node.job("b")

    assert len(node.pids) == 2
    assert why in first.node_log
    assert not alive(node.pids[0])
    assert second.rows == ["b"]
    if "shutdown" in more:
        assert first.log("user/stdout/n/process000.stdout.txt") == "printed a\nshut down\n"


@pytest.mark.parametrize(
    "run",
    ["raise ValueError(mini_batch)", "import time; time.sleep(99)"],
    ids=["failed", "timed out"],
)
def test_scorers_of_a_job_in_which_something_failed_are_not_kept(node: Node, run: str) -> None:
    failing = f"    if open(mini_batch[0]).read() == 'bad': {run}\n    names ="
    node.script(textwrap.dedent(SCRIPT).replace("    names =", failing, 1))
    usual = node.deployment.settings.retry_settings
    node.settings(retry_settings=replace(usual, timeout=1))
    first = node.job("a", text="bad")
    before = list(node.pids)
    node.settings(retry_settings=usual)
    node.job("b")

    assert "are not kept: one of them has failed in something" in first.node_log
    assert not any(map(alive, before))
    assert len(node.pids) == len(before) + 1


def test_scorers_of_a_job_that_was_cancelled_are_not_kept(node: Node) -> None:
    held = "    while not os.path.exists(os.environ['INITS'] + '.go'): __import__('time').sleep(0.01)\n    names ="
    node.script(textwrap.dedent(SCRIPT).replace("    names =", held, 1))
    thread = threading.Thread(target=node.job, args=("a",))
    thread.start()
    until(node.inits.exists)
    assert node.present is not None
    node.present.ledger.stop(node.present.name, state="canceled", error=None)
    Path(f"{node.inits}.go").touch()
    thread.join(60)

    assert not thread.is_alive()
    assert not alive(node.pids[0])
    assert node.bench.resting() == []


def test_scorers_that_have_worked_for_a_day_are_not_kept(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    first = node.job("a")
    assert alive(node.pids[0])
    monkeypatch.setattr("gristmill_workers.crew.LIFE_SECONDS", 0.0)
    second = node.job("b")

    assert len(node.pids) == 1
    assert "kept 1 scorer" in first.node_log
    assert "are not kept: they have worked for a day" in second.node_log
    assert not alive(node.pids[0])


def test_what_threads_print_between_two_jobs_is_dropped_and_in_a_job_goes_there(node: Node) -> None:
    thread = """
    import threading, time
    def speak():
        while True:
            with open(os.environ["INITS"] + ".spoken", "a") as file:
                file.write(".")
            print("spoken")
            time.sleep(0.01)
    threading.Thread(target=speak, daemon=True).start()
    """
    node.script(textwrap.dedent(SCRIPT) + textwrap.dedent(thread))
    first = node.job("a")
    log = first.log("user/stdout/n/process000.stdout.txt")
    spoken = Path(f"{node.inits}.spoken")
    now = spoken.stat().st_size
    until(lambda: spoken.stat().st_size > now + 5)

    assert first.log("user/stdout/n/process000.stdout.txt") == log
    assert len(node.pids) == 1
    node.job("b")
    assert first.log("user/stdout/n/process000.stdout.txt") == log
    assert len(node.pids) == 1


def test_what_c_libraries_hold_back_is_of_the_job_that_printed_it(node: Node) -> None:
    puts = "    __import__('ctypes').CDLL(None).puts(b'past Python')\n"
    node.script(textwrap.dedent(SCRIPT).replace("    print(", f"{puts}    print(", 1))
    first, second = node.job("a"), node.job("b")

    assert len(node.pids) == 1
    for job in (first, second):
        assert job.log("user/stdout/n/process000.stdout.txt").count("past Python") == 1


def test_another_deployment_has_the_place_at_once(node: Node) -> None:
    node.job("a")
    node.deployment = replace(node.deployment, name="other")
    node.job("b", kept_for="words/other/1")

    assert not alive(node.pids[0])
    assert node.bench.resting() == [{"deployment": "words/other", "scorers": 1}]


def test_a_node_without_time_for_it_keeps_none(node: Node) -> None:
    node.bench = Bench(places=1, seconds=0)
    node.job("a")

    assert not alive(node.pids[0])

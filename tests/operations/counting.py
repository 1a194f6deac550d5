"""`python counting.py REDIS_URL FOLDER`: plan, score and merge a job in this process, and count what that takes.

The scorers are real, and so are the server and the disk; what each phase did is counted by what the system and the
server say of it. Nothing here is timed.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gristmill.settings import ProcessSettings
from gristmill.spec import CodeConfiguration, Deployment, Input, Job, Output, Settings
from gristmill_scheduler.plan import Planner
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Ledger
from gristmill_storage.ledger.wire import Client
from gristmill_workers import aggregator
from gristmill_workers.assignment import Assignment
from gristmill_workers.instance import Instance
from gristmill_workers.scorer_process import ScorerProcess
from gristmill_workers.scoring import Scoring

MINI_BATCHES = 1000
ITEMS = 4
SCRIPT = "def init():\n    pass\n\n\ndef run(mini_batch):\n    return [path[-5:] for path in mini_batch]\n"


class Counted:
    """What was counted since the last look."""

    def __init__(self, url: str) -> None:
        self._client = Client(url, 10)
        self._counts: Counter[str] = Counter()
        self._look()
        sys.addaudithook(self._hear)
        self._wrap(os, "fsync")
        self._wrap(os, "fdatasync")
        self._wrap(ScorerProcess, "send", "frames")

    def _wrap(self, where: Any, name: str, what: str = "fsyncs") -> None:
        plain = getattr(where, name)

        def counting(*arguments: Any) -> Any:
            self._counts[what] += 1
            return plain(*arguments)

        setattr(where, name, counting)

    def calls(self, where: Any, name: str, what: str) -> None:
        """Count the calls of functions, Python's own too, that one makes in its thread."""
        plain = getattr(where, name)

        def counting(*arguments: Any, **more: Any) -> None:
            profile = cProfile.Profile()
            profile.runcall(plain, *arguments, **more)
            self._counts[what] += pstats.Stats(profile).total_calls  # type: ignore[attr-defined]

        setattr(where, name, counting)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT:
            self._counts["files made"] += 1
        elif event in ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir"):
            self._counts["names changed"] += 1
        elif event == "subprocess.Popen":
            self._counts["processes"] += 1

    def _look(self) -> dict[str, int]:
        """Return totals that only grow."""
        told = re.findall(r"^(\w+): (\d+)$", Path("/proc/self/io").read_text(), re.MULTILINE)
        commands = re.findall(r"cmdstat_(\S+?):calls=(\d+)", self._client.ask("INFO", "commandstats"))
        io = {name: int(value) for name, value in told}
        # A script's own calls are counted like a client's: what comes over the wire is what costs a round trip.
        over_the_wire = {"evalsha", "eval", "brpop", "exists", "hscan", "hgetall", "hdel", "lpush", "lrange", "del"}
        self._totals = {
            "redis calls": sum(int(calls) for name, calls in commands if name in over_the_wire),
            "reads": io["syscr"],
            "writes": io["syscw"],
            "bytes read": io["rchar"],
            "bytes written": io["wchar"],
        }
        return self._totals

    def of(self, act: Callable[[], object]) -> dict[str, int]:
        """Return what an act took."""
        before = dict(self._look())
        self._counts.clear()
        act()
        after = self._look()
        return {**{name: after[name] - before[name] for name in after}, **self._counts}


def make_job(folder: Path) -> Job:
    """Return a job whose items are empty files."""
    for name in ("in", "code", "scratch"):
        (folder / name).mkdir()
    for number in range(MINI_BATCHES * ITEMS):
        (folder / "in" / f"{number:05d}").touch()
    (folder / "code" / "score.py").write_text(SCRIPT)
    deployment = Deployment(
        code_configuration=CodeConfiguration(code=str(folder / "code"), scoring_script="score.py"),
        settings=Settings(mini_batch_size=ITEMS, max_concurrency_per_instance=2),
    )
    return Job(name="j", deployment=deployment, input=Input(uri=str(folder / "in")), output=Output(folder=str(folder)))


def main() -> None:
    url, folder = sys.argv[1], Path(sys.argv[2])
    job, store, ledger = make_job(folder), open_store(str(folder / "job")), Ledger(url)
    ledger.open("j", epoch="1", lease_seconds=60, error_threshold=-1)
    assignment = Assignment(
        job=job,
        folder=store,
        slot=0,
        ledger=ledger,
        settings=ProcessSettings.read({**os.environ, "GRISTMILL_SCRATCH": str(folder / "scratch")}),
        drain=threading.Event(),
        share=1,
    )
    planner = Planner(job, store, ledger)

    def plan() -> None:
        planner.start()
        planner._thread.join()
        planner.check()

    counted = Counted(url)
    counted.calls(Scoring, "run", "calls in the loop")
    counted.calls(aggregator, "aggregate", "calls")
    phases = {
        "plan": counted.of(plan),
        "score": counted.of(Instance(assignment).run),
        "merge": counted.of(lambda: aggregator.aggregate(job, store, ledger, publish=True)),
    }
    rows = len((folder / "predictions.csv").read_bytes().splitlines())
    sys.stdout.write(json.dumps({"rows": rows, "manifest": size(folder / "job" / "manifest"), **phases}))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    main()

"""The jobs that run while faults fall, and what their outputs must be, known before they run.

Each item's row follows from its name and its content alone, so a lost, doubled, torn or foreign row is seen. A few
items fail for good, a few fail on their first attempt, and a few bring their scorer down on theirs.
"""

from __future__ import annotations

import json
import random
import textwrap
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gristmill.deployment import load_deployment
from gristmill.spec import Input, Job, Output

#: Files given to one run().
MINI_BATCH: Final = 10

#: Seconds that one run() may take.
RUN_SECONDS: Final = 5

#: Attempts that a mini-batch has. Faults kill some of them: too few would let chance decide what is in the output.
ATTEMPTS: Final = 6

#: The compute that all nodes serve.
COMPUTE: Final = "chaos"

#: The variable by which a scorer knows its node, for the trace.
NODE: Final = "CHAOS_NODE"

#: One mini-batch in so many has an item of each kind of trouble.
_TROUBLE_EVERY: Final = 500

_SCRIPT: Final = textwrap.dedent('''
    """Scores a file by its name and its bytes; some files are trouble. Each run() leaves a byte in the trace."""

    import os
    import signal
    import time
    import zlib

    ROOT = os.environ["CHAOS_ROOT"]
    FIRST_TIME = os.environ["CHAOS_MARKS"]
    TRACE = None


    def init():
        global TRACE
        name = "%s-%d" % (os.environ["CHAOS_NODE"], os.getpid())
        TRACE = os.open(os.path.join(os.environ["CHAOS_TRACE"], name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


    def first_time(name):
        try:
            os.close(os.open(os.path.join(FIRST_TIME, name.replace("/", "-")), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


    def score(path):
        name = os.path.relpath(path, ROOT)
        with open(path, "rb") as file:
            data = file.read()
        if data.startswith(b"!never"):
            raise ValueError("%s cannot be scored" % name)
        if data.startswith(b"!later") and first_time(name):
            raise RuntimeError("%s fails once" % name)
        if data.startswith(b"!crash") and first_time(name):
            os.kill(os.getpid(), signal.SIGSEGV)
        return "%s,%08x,%d" % (name, zlib.crc32(data), len(data))


    def run(mini_batch):
        rows = [score(path) for path in mini_batch]
        time.sleep(float(os.environ["CHAOS_SECONDS"]))
        os.write(TRACE, b".")
        return rows
''')


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a job must leave."""

    rows: tuple[str, ...]
    #: Mini-batches that fail for good.
    failed: frozenset[int]
    items: int

    @property
    def output(self) -> bytes:
        """The output's bytes."""
        return "".join(f"{row}\n" for row in self.rows).encode()


class Workload:
    """An input with its script, and jobs on it."""

    def __init__(self, folder: Path, *, items: int, seconds: float, scorers: int, nodes: int, seed: int = 0) -> None:
        """Write input and script.

        Args:
            folder: Where they go.
            items: Files of the input.
            seconds: What an undisturbed job should take to score, with every scorer at work.
            scorers: Scorers a node.
            nodes: Instances that a job wants.
            seed: Chooses the contents.

        """
        self.folder = folder
        self.nodes = nodes
        self._input = folder / "input"
        self._deployment = self._write_deployment(scorers, seconds * nodes * scorers / max(1, items / MINI_BATCH))
        self.expected = self._write_input(items, random.Random(seed))

    def _write_input(self, items: int, rng: random.Random) -> Expected:
        rows: list[str] = []
        trouble = _trouble(items // MINI_BATCH, rng)
        for number in range(items):
            name = f"{number // 1000:03d}/item-{number:06d}.txt"
            word = trouble.get(number // MINI_BATCH, "") if number % MINI_BATCH == 0 else ""
            data = f"{word}{rng.getrandbits(64):016x}".encode() * rng.randint(1, 8)
            path = self._input / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if trouble.get(number // MINI_BATCH) != "!never":
                rows.append(f"{name},{zlib.crc32(data):08x},{len(data)}")
        failed = frozenset(batch for batch, word in trouble.items() if word == "!never")
        return Expected(rows=tuple(rows), failed=failed, items=items)

    def _write_deployment(self, scorers: int, seconds: float) -> Path:
        code, model = self.folder / "code", self.folder / "model"
        for path in (code, model, self.folder / "traces", self.folder / "marks"):
            path.mkdir(parents=True)
        (code / "score.py").write_text(_SCRIPT)
        (model / "weights").write_text("7")
        document = {
            "type": "model",
            "name": "chaos",
            "endpoint_name": "chaos",
            "model": {"path": "model"},
            "code_configuration": {"code": "code", "scoring_script": "score.py"},
            "compute": f"azureml:{COMPUTE}",
            "resources": {"instance_count": self.nodes},
            "settings": {
                "mini_batch_size": MINI_BATCH,
                "max_concurrency_per_instance": scorers,
                "retry_settings": {"max_retries": ATTEMPTS, "timeout": RUN_SECONDS},
            },
        }
        path = self.folder / "deployment.yml"
        path.write_text(json.dumps(document))  # JSON is YAML
        self._seconds = seconds
        return path

    def trace(self, job: str) -> Path:
        """Return the folder where a job's scorers leave their traces: a file a scorer, a byte a run()."""
        return self.folder / "traces" / job

    def job(self, name: str, output: str) -> Job:
        """Return a job on the input; each one meets its trouble anew."""
        marks = self.folder / "marks" / name
        for path in (self.trace(name), marks):
            path.mkdir()
        variables = {
            "CHAOS_ROOT": self._input,
            "CHAOS_MARKS": marks,
            "CHAOS_TRACE": self.trace(name),
            "CHAOS_SECONDS": self._seconds,
        }
        overrides = [f"environment_variables.{key}={value}" for key, value in variables.items()]
        return Job(
            name=name,
            deployment=load_deployment(self._deployment, overrides=overrides),
            input=Input(uri=str(self._input)),
            output=Output(folder=output),
            submitted=time.time(),
        )

    def runs(self, job: str) -> dict[str, int]:
        """Return how many run() calls a job's scorers have ended, by node."""
        runs: dict[str, int] = {}
        for file in self.trace(job).iterdir():
            node = file.name.rpartition("-")[0]
            runs[node] = runs.get(node, 0) + file.stat().st_size
        return runs


def _trouble(mini_batches: int, rng: random.Random) -> dict[int, str]:
    """Choose the mini-batches that are trouble, and of which kind: early ones, so that no back-off is last."""
    each = max(1, mini_batches // _TROUBLE_EVERY)
    chosen: Sequence[int] = rng.sample(range(mini_batches // 2), 3 * each)
    words = ["!never"] * each + ["!later"] * each + ["!crash"] * each
    return dict(zip(chosen, words, strict=True))

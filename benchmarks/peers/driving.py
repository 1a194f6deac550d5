"""What the drivers of all systems share: the script, the mini-batches, and the output that gets its name at the end."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

_loaded: dict[str, Any] = {}


@dataclass(frozen=True)
class Task:
    """What a driver is asked for, as it stands in its command."""

    script: str
    input: str
    output: str
    model: str
    mini_batch: int

    @property
    def header(self) -> list[str]:
        """The names of the columns."""
        lines = Path(self.script).read_text(encoding="utf-8").splitlines()
        columns: list[str] = json.loads(next(line[9:] for line in lines if line.startswith("HEADER = ")))
        return columns

    def files(self) -> list[str]:
        """Return the input's files."""
        with os.scandir(self.input) as entries:
            return sorted(entry.path for entry in entries)

    def mini_batches(self) -> list[list[str]]:
        """Return them in runs."""
        files = self.files()
        return [files[at : at + self.mini_batch] for at in range(0, len(files), self.mini_batch)]


def task() -> Task:
    """Return what the command asks for."""
    script, folder, output, model, mini_batch = sys.argv[1:6]
    os.environ["AZUREML_MODEL_DIR"] = model
    return Task(script, folder, output, model, int(mini_batch))


def score(task: Task, mini_batch: list[str]) -> list[tuple[Any, ...]]:
    """Score a mini-batch; the model is loaded once a process."""
    if task.script not in _loaded:
        os.environ["AZUREML_MODEL_DIR"] = task.model
        spec = spec_from_file_location("script", task.script)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        module.init()
        _loaded[task.script] = module
    rows: list[tuple[Any, ...]] = _loaded[task.script].run(mini_batch)
    return rows


def text(task: Task, mini_batch: list[str]) -> str:
    """Score a mini-batch; return its rows as text, which systems carry better than lists."""
    return "".join(",".join(map(str, row)) + "\n" for row in score(task, mini_batch))


@contextmanager
def output(task: Task) -> Iterator[Any]:
    """Give what takes rows; the file gets its name when all are there."""
    whole = Path(f"{task.output}.part")
    with whole.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(task.header)
        yield writer, stream
    whole.rename(task.output)


def put(stream: Any, texts: Iterable[str]) -> None:
    """Write rows that are text already."""
    for one in texts:
        stream.write(one)
        stream.flush()

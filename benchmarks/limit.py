"""The limit: what a user would write by hand, a pool of processes and nothing else. It promises nothing.

    python limit.py SCRIPT INPUT OUTPUT --model FOLDER --mini-batch N --processes N [--first N]

No result is durable before the last one is there, a failure ends it, and there is nothing to go on from. The output
gets its name when it is whole, as the product's does; nobody asks the disk whether it has it.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


def load(script: str) -> Any:
    """Return a scoring script as a module."""
    spec = spec_from_file_location("script", script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_run: Callable[[list[str]], list[tuple[Any, ...]]]


def begin(script: str) -> None:
    """Load the model, once a process."""
    global _run
    module = load(script)
    module.init()
    _run = module.run


def score(mini_batch: list[str]) -> list[tuple[Any, ...]]:
    """Score one mini-batch."""
    return _run(mini_batch)


def header(script: str) -> list[str]:
    """Return the names of a script's columns, without what it imports: that is for the pool's processes."""
    line = next(line for line in Path(script).read_text(encoding="utf-8").splitlines() if line.startswith("HEADER = "))
    columns: list[str] = json.loads(line.removeprefix("HEADER = "))
    return columns


def mini_batches(folder: str, size: int, first: int | None) -> Iterator[list[str]]:
    """Yield the input's files in runs of `size`."""
    with os.scandir(folder) as entries:
        files = sorted(entry.path for entry in entries)[:first]
    return (files[at : at + size] for at in range(0, len(files), size))


def main() -> int:
    """Score a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("script")
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--model")
    parser.add_argument("--mini-batch", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--first", type=int, help="so many files and no more")
    given = parser.parse_args()
    os.environ["AZUREML_MODEL_DIR"] = given.model or ""
    whole, began = f"{given.output}.part", 0.0
    with Path(whole).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header(given.script))
        with multiprocessing.Pool(given.processes, begin, (given.script,)) as pool:
            for rows in pool.imap_unordered(score, mini_batches(given.input, given.mini_batch, given.first)):
                began = began or time.monotonic()
                writer.writerows(rows)
                stream.flush()
        print(json.dumps({"steady": time.monotonic() - began}))
    Path(whole).rename(given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

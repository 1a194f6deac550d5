"""Plain processes that share mini-batches and do nothing else: what more of them gain is the machine's doing alone.

They take the numbers of mini-batches from a pipe, which is their standard input, and keep no result. The seconds go
from when all have loaded their model until the last has ended its last mini-batch.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from benchmarks import limit, running
from benchmarks.cases import Case

#: Bytes of the number of a mini-batch; as many are read at once, and a pipe hands them over whole.
_NUMBER: Final = 4


def seconds(case: Case, given: Path, model: Path, confined: Iterable[AbstractContextManager[list[str]]]) -> float:
    """Have a process for each way to be confined score a folder together; return how long they took.

    Raises:
        OSError: they cannot be confined so here.
        Failed: one of them has ended too early.

    """
    command = [sys.executable, "-m", "benchmarks.plain", str(case.path), str(given), str(case.mini_batch)]
    environment = {**running.environment(), "AZUREML_MODEL_DIR": str(model)}
    count = len(list(limit.mini_batches(str(given), case.mini_batch, None)))
    numbers = b"".join(number.to_bytes(_NUMBER, "big") for number in range(count))
    with contextlib.ExitStack() as stack:
        ends = os.pipe()
        taking = stack.enter_context(os.fdopen(ends[0], "rb", buffering=0))
        feed = stack.enter_context(os.fdopen(ends[1], "wb", buffering=0))
        processes = []
        for one in confined:
            before = stack.enter_context(one)
            process = subprocess.Popen(
                [*before, *command], stdin=taking, stdout=subprocess.PIPE, text=True, env=environment
            )
            processes.append(stack.enter_context(process))
            stack.callback(feed.close)  # else it would wait for more, and be waited for
        for process in processes:
            _moment(process)
        began = time.monotonic()
        feed.write(numbers)
        feed.close()
        return max(map(_moment, processes)) - began


def _moment(process: subprocess.Popen[str]) -> float:
    """Return when a process was ready, or had ended its last mini-batch, by the clock that all of them have."""
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        raise running.Failed(f"a plain process ended with {process.wait()}")
    return float(said)


def main() -> None:
    """Score mini-batches while there are numbers of some."""
    script, given, size = sys.argv[1:]
    limit.begin(script)
    batches = list(limit.mini_batches(given, int(size), None))
    print(time.monotonic(), flush=True)
    while number := os.read(0, _NUMBER):
        limit.score(batches[int.from_bytes(number, "big")])
    print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main()

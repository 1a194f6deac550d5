"""The least that fetching and scoring take in Python: the plain download, and a pool that scores what has come.

python -m benchmarks.scripts.fetching_and_scoring LIBRARY OUTPUT ENDPOINT BUCKET NAME_FILE SCRIPT MODEL SIZE PROCESSES

It promises nothing: it is told the objects' names, and lists nothing; nothing is durable before the last row is there;
what fails ends it; no copy is removed before the end; mini-batches are of SIZE objects in the order in which they came.
"""

from __future__ import annotations

import asyncio
import csv
import multiprocessing
import os
import sys
import tempfile
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import Any

from benchmarks import limit
from benchmarks.scripts import downloading


class MiniBatches:
    """Hands objects to a pool as they come, some at a time."""

    def __init__(self, pool: Pool, size: int) -> None:
        self._pool = pool
        self._size = size
        self._next: list[str] = []
        self.results: list[AsyncResult[list[tuple[Any, ...]]]] = []

    def take(self, path: Path) -> None:
        self._next.append(str(path))
        if len(self._next) == self._size:
            self.flush()

    def flush(self) -> None:
        if self._next:
            self.results.append(self._pool.apply_async(limit.score, (self._next,)))
            self._next = []


def main() -> None:
    library, output, endpoint, bucket, names, script, model, size, processes = sys.argv[1:]
    os.environ["AZUREML_MODEL_DIR"] = model
    whole, keys = Path(f"{output}.part"), Path(names).read_text().split()
    with (
        tempfile.TemporaryDirectory(dir=whole.parent) as folder,
        whole.open("w", newline="", encoding="utf-8") as stream,
        multiprocessing.Pool(int(processes), limit.begin, (script,)) as pool,
    ):
        mini_batches = MiniBatches(pool, int(size))
        asyncio.run(downloading.main(library, Path(folder), endpoint, bucket, keys, arrived=mini_batches.take))
        mini_batches.flush()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(limit.header(script))
        for result in mini_batches.results:
            writer.writerows(result.get())
        pool.close()
        pool.join()  # so that the processor time of its processes is told
    whole.rename(output)


if __name__ == "__main__":
    main()

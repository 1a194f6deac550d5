"""What takes gigabytes and minutes, one after the other, each in a process of its own so that its memory is its own.

`python -m benchmarks large [plan | merge | csv | parquet ...]`; `--gigabytes` stands in for the sizes of tables (5) and
of the merge (10).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import running
from benchmarks.running import Failed

ROOT: Final = Path(__file__).parents[1]

PARTS: Final = ("plan", "merge", "csv", "parquet")


def measure(names: Sequence[str], data: Path, gigabytes: float | None) -> Iterator[dict[str, Any]]:
    """Yield the figures of each part, of all parts where none is named; the disk of `data` has room for it twice.

    Raises:
        Failed: a part is unknown, or ended by an error.

    """
    if unknown := set(names) - set(PARTS):
        raise Failed(f"{', '.join(sorted(unknown))}: give {', '.join(PARTS)}")
    for name in names or PARTS:
        for module, *options in _commands(name, gigabytes):
            yield {"part": name, **_run(module, options, data)}


def _commands(name: str, gigabytes: float | None) -> Iterator[list[str]]:
    if name == "plan":
        yield from (["big_plan", "--files", "1000000", "--folders", count] for count in ("1", "10000"))
        yield ["big_plan", "--files", "10000000", "--synthetic"]
    elif name == "merge":
        for size in (0.1, gigabytes or 10):
            yield ["big_aggregate", "--megabytes", str(int(1024 * size)), "--times", "2"]
    else:
        yield ["big_tables", "--kind", name, "--megabytes", str(int(1024 * (gigabytes or 5)))]


def _run(module: str, options: Sequence[str], data: Path) -> dict[str, Any]:
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="large-", dir=data, ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", f"benchmarks.{module}", *options, "--folder", str(Path(folder) / "large")]
        environment = {**running.environment(), "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode:
        raise Failed(f"{' '.join(command)}\nended with {ended.returncode}:\n{ended.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found

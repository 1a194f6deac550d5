"""A large CSV table and an MLflow model: scored whole, and cut into items; memory of every process, and equal outputs.

python benchmarks/big_tables.py --megabytes 1000 --folder /tmp/big
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GRISTMILL = Path(sys.executable).with_name("gristmill")

#: What names a process by a word of its command line.
ROLES = ("gristmill_scheduler", "gristmill_workers", "scorer/__main__", "child.py", "valkey", "bin/gristmill")


def write_table(path: Path, megabytes: int) -> None:
    """Write rows of numbers and of quoted texts with line ends in them."""
    lines = [f'{n % 97},{n * 0.37:.4f},"text {n}, and\nmore",{n % 7}\n' for n in range(20_000)]
    block = "".join(lines).encode()
    with path.open("wb") as file:
        file.write(b"a,b,note,c\n")
        while file.tell() < megabytes << 20:
            file.write(block)


def save_model(folder: Path) -> None:
    """Save a model that adds three columns."""
    warnings.simplefilter("ignore")
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    class Adder(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
        def predict(self, context: object, model_input: Any, params: object = None) -> Any:  # noqa: ARG002
            return model_input["a"] + model_input["b"] + model_input["c"]

    example = pd.DataFrame({"a": [1], "b": [0.5], "note": ["x"], "c": [2]})
    mlflow.pyfunc.save_model(folder, python_model=Adder(), signature=infer_signature(example), pip_requirements=[])


def peaks(root: int) -> Iterator[tuple[str, int]]:
    """Yield (role, peak bytes) of a process and of all below it."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            children.setdefault(int(status.read_text().rpartition(")")[2].split()[1]), []).append(
                int(status.parent.name)
            )
    todo = [root]
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        with contextlib.suppress(OSError, StopIteration):
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            kilobytes = next(int(one.split()[1]) for one in lines if one.startswith("VmHWM"))
            yield next((role for role in ROLES if role in line), line[:40]), kilobytes << 10


def run(folder: Path, name: str, settings: dict[str, object]) -> dict[str, object]:
    """Run one job; return seconds, seconds to the first planned chunk, and peaks in MB."""
    deployment = folder / f"{name}.yml"
    settings = {"retry_settings": {"timeout": 36000}, **settings}
    deployment.write_text(json.dumps({"type": "model", "model": {"path": "model"}, "settings": settings}))
    most: dict[str, int] = {}
    began, first = time.time(), None
    output = folder / f"out-{name}"
    process = subprocess.Popen(
        [GRISTMILL, "run", deployment, "--input", folder / "in", "--output", output],
        stdout=subprocess.DEVNULL, stderr=(folder / f"{name}.log").open("w"),
    )  # fmt: skip
    while process.poll() is None:
        for role, peak in peaks(process.pid):
            most[role] = max(most.get(role, 0), peak >> 20)
        chunks = list((output / ".gristmill").glob("*/manifest/0*.jsonl"))
        if chunks and first is None:
            first = chunks[0].stat().st_mtime - began
        time.sleep(0.1)
    return {
        "code": process.returncode,
        "seconds": round(time.time() - began, 1),
        "first_chunk": first,
        "peaks_mb": most,
    }


def main() -> None:
    """Measure and print JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--megabytes", type=int, default=1000)
    arguments.add_argument("--folder", type=Path, required=True)
    arguments.add_argument("--scorers", type=int, default=2)
    arguments.add_argument("--whole", action="store_true", help="also in chunks of rows by one scorer, to compare")
    given = arguments.parse_args()
    (given.folder / "in").mkdir(parents=True)
    write_table(given.folder / "in" / "big.csv", given.megabytes)
    save_model(given.folder / "model")
    split = {"split_files": True, "max_concurrency_per_instance": given.scorers}
    found: dict[str, Any] = {"megabytes": given.megabytes, "split": run(given.folder, "split", split)}
    if given.whole:
        found["whole"] = run(given.folder, "whole", {"rows_per_predict": 100_000})
        outputs = [given.folder / f"out-{name}" / "predictions.csv" for name in ("split", "whole")]
        found["equal"] = filecmp.cmp(outputs[0], outputs[1], shallow=False)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

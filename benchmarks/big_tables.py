"""A table of gigabytes and an MLflow model: scored whole and cut into items; memory of every process, equal outputs.

python -m benchmarks.big_tables --kind csv --megabytes 5120 --folder /tmp/big
python -m benchmarks.big_tables --kind parquet --megabytes 5120 --folder /tmp/big

Each table is also scored at a tenth of its size, by which memory is compared. A row has a text of 300 letters, half of
them with line ends and quotes: rows are then few enough for the figures to be of reading, cutting and moving them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import memory, running
from benchmarks.running import Failed

GRISTMILL: Final = Path(sys.executable).with_name("gristmill")
SCORERS: Final = 2
#: Rows that are written at once; of a Parquet file a row group.
ROWS: Final = 40_000
#: Rows that the whole table is scored by at a time.
CHUNK: Final = 40_000

_TEXT: Final = "lorem ipsum dolor sit amet " * 11


def _columns(first: int) -> dict[str, list[Any]]:
    numbers = range(first, first + ROWS)
    notes = [f"{_TEXT}{n}" if n % 2 else f'"{n}",\n{_TEXT}' for n in numbers]
    return {
        "a": [n % 97 for n in numbers],
        "b": [n * 0.37 for n in numbers],
        "note": notes,
        "c": [n % 7 for n in numbers],
    }


def write(path: Path, megabytes: int) -> int:
    """Write a table of so many megabytes; return its rows."""
    return (_write_csv if path.suffix == ".csv" else _write_parquet)(path, megabytes << 20)


def _write_csv(path: Path, size: int) -> int:
    first = 0
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_columns(0))
        while file.tell() < size:
            writer.writerows(zip(*_columns(first).values(), strict=True))
            first += ROWS
    return first


def _write_parquet(path: Path, size: int) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first, table = 0, pa.table(_columns(0))
    # Neither packed nor made of words, so that the file is as large as what is in it.
    with pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=False) as writer:
        while path.stat().st_size < size:
            writer.write_table(pa.table(_columns(first)), row_group_size=ROWS)
            first += ROWS
    return first


def save_model(folder: Path) -> None:
    """Save a model that adds three columns."""
    warnings.simplefilter("ignore")
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    class Adder(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
        # Without hints, of which MLflow would make a schema.
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
            return model_input["a"] + model_input["b"] + model_input["c"]

    example = pd.DataFrame({"a": [1], "b": [0.5], "note": ["x"], "c": [2]})
    mlflow.pyfunc.save_model(folder, python_model=Adder(), signature=infer_signature(example), pip_requirements=[])


def run(folder: Path, table: Path, settings: Mapping[str, object]) -> dict[str, Any]:
    """Score a table; return seconds, memory, each scorer's seconds in run(), and the output's digest.

    Raises:
        Failed: the job failed.

    """
    deployment, output = folder / "deployment.json", folder / "out"
    model = {"path": str(folder / "model")}
    settings = {"retry_settings": {"timeout": 36000}, "mini_batch_size": 1, **settings}
    deployment.write_text(json.dumps({"type": "model", "model": model, "settings": settings}))
    shutil.rmtree(output, ignore_errors=True)
    command: list[str | Path] = [GRISTMILL, "run", deployment, "--input", table.parent, "--output", output]
    began = time.monotonic()
    with (folder / "log").open("w") as log, subprocess.Popen(
        command, stdout=log, stderr=log, env=running.environment()
    ) as process, memory.watched(process.pid) as peak:  # fmt: skip
        code = process.wait()
    seconds = time.monotonic() - began
    if code:
        raise Failed(f"the job ended with {code}: {(folder / 'log').read_text()[-2000:]}")
    with (output / "predictions.csv").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"seconds": round(seconds, 1), **peak.megabytes(), "run_seconds": _at_work(output), "sha256": digest}


def _at_work(output: Path) -> dict[str, float]:
    """Return how long each scorer was in run()."""
    (report,) = output.glob(".gristmill/*/logs/sys/job_report/processed_mini-batches.csv")
    found: dict[str, float] = defaultdict(float)
    with report.open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["Process"].rpartition("/")[2]] += float(row["Run Method Seconds"])
    return {name: round(seconds, 1) for name, seconds in sorted(found.items())}


def compare(folder: Path, kind: str, megabytes: int) -> dict[str, Any]:
    """Score a table of so many megabytes cut and whole, and a tenth of it cut."""
    shutil.rmtree(folder, ignore_errors=True)
    split = {"split_files": True, "max_concurrency_per_instance": SCORERS, "rows_per_predict": CHUNK}
    found: dict[str, Any] = {"kind": kind, "megabytes": megabytes}
    table = folder / "in" / f"big.{kind}"
    table.parent.mkdir(parents=True)
    save_model(folder / "model")
    write(table, megabytes // 10)
    found["tenth"] = run(folder, table, split)
    found["rows"] = write(table, megabytes)
    found["split"] = run(folder, table, split)
    found["whole"] = run(folder, table, {"rows_per_predict": CHUNK})
    shutil.rmtree(folder)
    found["equal"] = found["split"]["sha256"] == found["whole"]["sha256"]
    kinds = [name for name in found["split"] if name.endswith("_mb")]
    found["grown_mb"] = {name: round(found["split"][name] - found["tenth"].get(name, 0), 1) for name in kinds}
    return found


def main() -> None:
    """Measure and print JSON."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kind", choices=("csv", "parquet"), required=True)
    arguments.add_argument("--megabytes", type=int, default=5120)
    arguments.add_argument("--folder", type=Path, required=True)
    given = arguments.parse_args()
    print(json.dumps(compare(given.folder, given.kind, given.megabytes)))


if __name__ == "__main__":
    main()

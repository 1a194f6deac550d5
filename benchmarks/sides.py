"""The two sides of a comparison: each takes a case and makes an output, which must hold what it should."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import inputs, running
from benchmarks.cases import SCORERS, Case
from benchmarks.running import Failed, Ran

HERE: Final = Path(__file__).parent

#: Digits behind the point to which two floats are the same: processes may add up in another order.
_DIGITS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run of one side."""

    ran: Ran
    #: Seconds in which mini-batches are scored: of the limit from the first that is finished to the last, of the
    #: product from the first scorer that is ready.
    steady: float
    #: The rows without their order.
    rows: list[tuple[str, ...]]
    #: The product's summary; of the limit nothing.
    summary: dict[str, Any]


def limit(case: Case, data: Path, scratch: Path) -> Result:
    """Run the script that a user would write."""
    output = scratch / "limit.csv"
    command = [sys.executable, str(HERE / "limit.py"), str(case.path), str(inputs.make(data, case.input)), str(output)]
    command += ["--mini-batch", str(case.mini_batch), "--processes", str(SCORERS)]
    if case.model is not None:
        command += ["--model", str(inputs.make(data, case.model))]
    if case.first is not None:
        command += ["--first", str(case.first)]
    ran = running.run(command, output, running.environment())
    steady = float(json.loads(ran.said)["steady"])
    return Result(ran=ran, steady=steady, rows=sorted(_rows(output)), summary={})


def product(case: Case, data: Path, scratch: Path) -> Result:
    """Run Gristmill, by its command."""
    folder = scratch / "product"
    output = folder / "scores.csv"
    command = [str(Path(sys.executable).with_name("gristmill")), "run", str(deployment(case, data, scratch))]
    command += ["--input", str(inputs.make(data, case.input)), "--output", str(output)]
    ran = running.run(command, output, running.environment())
    return made(case, ran, output)


def made(case: Case, ran: Ran, output: Path) -> Result:
    """Return what a job of the product came to.

    Raises:
        Failed: not all of it was scored.

    """
    summary: dict[str, Any] = json.loads(output.with_name("summary.json").read_text())
    if summary["status"] != "Completed" or summary["items"] != {
        "total": case.items,
        "succeeded": case.items,
        "failed": 0,
    }:
        raise Failed(f"{case.name}: {summary['status']}, {summary['items']}")
    rows = _no_code_rows(output) if case.no_code else _rows(output)
    return Result(ran=ran, steady=summary["seconds"]["score"], rows=sorted(rows), summary=summary)


def deployment(case: Case, data: Path, scratch: Path) -> Path:
    """Write the deployment of a case; return where."""
    document: dict[str, Any] = {
        "type": "model",
        "name": "benchmark",
        "endpoint_name": "benchmarks",
        "compute": "local",
        "settings": {
            "mini_batch_size": case.mini_batch,
            "max_concurrency_per_instance": SCORERS,
            "output_format": "csv",
            "header": True,
        },
    }
    if case.model is not None:
        found = inputs.make(data, case.model)
        document["model"] = {"path": str(next(found.rglob("MLmodel")).parent if case.no_code else found)}
        if case.no_code:
            document["model"]["type"] = "mlflow_model"
    if not case.no_code:
        document["code_configuration"] = {"code": str(case.path.parent), "scoring_script": case.script}
    target = scratch / "deployment.yml"
    target.write_text(json.dumps(document))  # JSON is YAML
    return target


def check(case: Case, ours: Result, theirs: Result) -> None:
    """Compare the outputs of both sides.

    Raises:
        Failed: they differ.

    """
    for side, result in (("product", ours), ("limit", theirs)):
        if len(result.rows) != case.rows:
            raise Failed(f"{case.name}: {len(result.rows)} rows from the {side}, {case.rows} were due")
    for one, other in zip(ours.rows, theirs.rows, strict=True):
        if one != other:
            raise Failed(f"{case.name}: the product says {one}, the limit {other}")


def _rows(output: Path) -> Iterator[tuple[str, ...]]:
    with output.open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        next(reader)
        yield from (tuple(map(_shown, row)) for row in reader)


def _no_code_rows(output: Path) -> Iterator[tuple[str, ...]]:
    """Yield file and prediction: the product writes row, prediction, file_name."""
    with output.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            prediction = next(value for name, value in row.items() if name not in ("row", "file_name"))
            yield row["file_name"], _shown(prediction)


def _shown(cell: str) -> str:
    try:
        return cell if "." not in cell else f"{float(cell):.{_DIGITS}f}"
    except ValueError:
        return cell

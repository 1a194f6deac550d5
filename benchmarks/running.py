"""Runs a command to its end: how long until its output stood there, how long until it had gone, and what it used."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Seconds between two looks at whether the output is there.
GLANCE: Final = 0.002

#: A run that takes longer hangs.
LONGEST: Final = 600.0


class Failed(Exception):
    """A run did not do what it should; the message says what it said."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One run."""

    #: Seconds from its start until the finished output had its name; 0 where nobody looked for it.
    finished: float
    #: Seconds until the command had ended.
    ended: float
    #: Seconds of processor time of all its processes that were waited for.
    cpu: float
    #: What it wrote to its standard output.
    said: str


def run(command: Sequence[str], output: Path | None, environment: Mapping[str, str]) -> Ran:
    """Run a command that makes `output`, which is not there yet; None: it is not on this machine.

    Raises:
        Failed: it ended by an error, or made nothing.

    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=errors, env=dict(environment))
        finished, status, used = 0.0, 0, None
        while used is None:
            time.sleep(GLANCE)
            now = time.monotonic() - began
            if not finished and output is not None and output.exists():
                finished = now
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                used = usage
            elif now > LONGEST:
                process.kill()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0 or not (finished or output is None):
            errors.seek(0)
            raise Failed(f"{' '.join(command)}\nended with {process.returncode}:\n{errors.read().decode()[-3000:]}")
        said.seek(0)
        return Ran(finished=finished, ended=now, cpu=used.ru_utime + used.ru_stime, said=said.read().decode())


def environment() -> dict[str, str]:
    """Return the environment of both sides: one thread a process for whatever computes, and no news from elsewhere."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GRISTMILL_", "COVERAGE_"))}
    return {**kept, **threads, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}

"""How long the first thing takes that anybody does: an import, and a look at the help."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks import running

_COMMANDS: Final = {
    "python": [sys.executable, "-c", "pass"],
    "import gristmill": [sys.executable, "-c", "import gristmill"],
    "gristmill --help": [str(Path(sys.executable).with_name("gristmill")), "--help"],
}

#: Seconds that these may take.
ALLOWED: Final = {"import gristmill": 0.15, "gristmill --help": 0.25}


def measure(runs: int) -> dict[str, Any]:
    """Return the seconds of each, in turn, as min, median and max."""
    taken: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for _ in range(runs):
        for name, command in _COMMANDS.items():
            began = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=running.environment())
            taken[name].append(time.monotonic() - began)
    return {
        name: {
            "min": round(min(each), 4),
            "median": round(statistics.median(each), 4),
            "max": round(max(each), 4),
            "allowed": ALLOWED.get(name),
        }
        for name, each in taken.items()
    }

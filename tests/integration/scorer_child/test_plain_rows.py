"""What is written many values at a time is what each value by itself would be, on each Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gristmill_workers.scorer import protocol

PROBE = Path(__file__).with_name("rows_probe.py")


def test_results_are_the_same_bytes_however_many_values_are_written_at_once(python: str, tmp_path: Path) -> None:
    command = [python, "-I", str(PROBE), str(Path(protocol.__file__).parent), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    written, quickly = map(int, done.stdout.split())
    assert (written, quickly > 1000) == (3000, True)

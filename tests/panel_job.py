"""The job that panels are tried with: retries, and an item that fails for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SCRIPT = """\
import os, time


def init():
    pass


def run(mini_batch):
    time.sleep({seconds})
    names = [os.path.basename(path) for path in mini_batch]
    if "00007.txt" in names:
        raise ValueError("this one never works")
    return names
"""


def prepare(folder: Path, *, files: int, seconds: float) -> tuple[dict[str, Any], Path]:
    """Write script and input into a folder; return the deployment, and the folder of the input.

    A mini-batch of two files takes so many seconds.
    """
    code, texts = folder / "code", folder / "in"
    for place in (code, texts):
        place.mkdir()
    (code / "score.py").write_text(_SCRIPT.format(seconds=seconds))
    for number in range(files):
        (texts / f"{number:05}.txt").touch()
    deployment = {
        "name": "blue",
        "endpoint_name": "panels",
        "type": "model",
        "code_configuration": {"code": str(code), "scoring_script": "score.py"},
        "compute": "local",
        "resources": {"instance_count": 2},
        "settings": {
            "mini_batch_size": 2,
            "error_threshold": 10,
            "max_concurrency_per_instance": 2,
            "retry_settings": {"max_retries": 2},
        },
    }
    return deployment, texts

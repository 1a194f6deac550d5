"""What 1,000 mini-batches may take in calls, files, syncs and bytes: ceilings that hold on any machine, however busy.

A ceiling is two or three times what is needed on a quiet machine, because a busy one seals more parts and sends more
frames; a change that makes anything of this grow with the mini-batches themselves is far above it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from counting import ITEMS, MINI_BATCHES

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def counted(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not Path("/proc/self/io").exists():
        pytest.skip("nothing here counts what a process reads and writes")
    # In a database of its own: other tests empty theirs.
    command = [sys.executable, str(HERE / "counting.py"), redis_server.replace("db=0", "db=9")]
    folder = tmp_path_factory.mktemp("counted")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


#: By phase: the most of each operation, and in front of it what a quiet machine needs.
CEILINGS = {
    "plan": {
        "redis calls": (10, 25),
        "fsyncs": (16, 24),
        "files made": (7, 12),
        "names changed": (23, 40),
        "reads": (30, 80),
        "writes": (7, 30),
    },
    "score": {
        "redis calls": (45, 200),
        "frames": (22, 250),
        "fsyncs": (3, 30),
        "files made": (19, 60),
        "names changed": (51, 160),
        "processes": (3, 3),
        "calls in the loop": (30_000, 52_000),
        "writes": (69, 500),
        "bytes written": (300_000, 400_000),
    },
    "merge": {
        "redis calls": (17, 50),
        "fsyncs": (16, 30),
        "files made": (12, 25),
        "names changed": (33, 80),
        "calls": (73_000, 120_000),
        "reads": (25, 120),
        "writes": (12, 60),
        "bytes read": (315_000, 700_000),
        "bytes written": (176_000, 230_000),
    },
}


@pytest.mark.parametrize("phase", CEILINGS)
def test_a_thousand_mini_batches_take_no_more_than_this(counted: dict[str, Any], phase: str) -> None:
    too_many = {
        name: f"{counted[phase].get(name, 0)}, not {most}"
        for name, (_, most) in CEILINGS[phase].items()
        if counted[phase].get(name, 0) > most
    }

    assert counted["rows"] == MINI_BATCHES * ITEMS
    assert too_many == {}


def test_the_manifest_is_written_once(counted: dict[str, Any]) -> None:
    assert counted["plan"]["bytes written"] <= counted["manifest"] + 1000


#: Libraries that neither scheduler nor node needs for a job of this machine.
LIBRARIES = "celery kombu redis fsspec opentelemetry yaml http.client asyncio"

#: Modules that a process imports at most before it works, and what it must not need for that.
IMPORTS = {
    "gristmill": (8, "typing dataclasses re logging"),
    "gristmill.local.ahead": (48, "typing dataclasses argparse logging pathlib subprocess threading yaml"),
    "gristmill.local.early_server": (105, "argparse yaml httpx asyncio"),
    "gristmill.cli.run": (150, "yaml httpx rich celery redis http.client ssl email"),
    "gristmill_scheduler.door": (195, f"{LIBRARIES} httpx fastapi zipfile"),
    "gristmill_workers.node": (252, f"{LIBRARIES} packaging uv numpy"),
    "gristmill_storage.server": (22, "logging subprocess socket pathlib typing re enum argparse contextlib signal"),
    "gristmill_workers.scorer.process": (
        95,
        "dataclasses inspect pathlib datetime decimal uuid shutil platform tempfile subprocess yaml numpy pandas",
    ),
}


@pytest.mark.parametrize("module", IMPORTS)
def test_a_process_imports_no_more_than_it_needs(module: str) -> None:
    code = f"import sys; bare = set(sys.modules); import {module}; print(*sorted(set(sys.modules) - bare))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    imported = found.stdout.split()
    most, unwanted = IMPORTS[module]

    assert set(unwanted.split()) & set(imported) == set()
    assert len(imported) <= most, f"{len(imported)} modules"

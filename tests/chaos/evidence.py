"""What is kept of a job that went wrong: the ledger, the logs' ends, the processes, the job's folder."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Final

from chaos.world import BUCKET, WATCH, World
from gristmill.errors import GristmillError
from gristmill_storage.ledger import Ledger

#: Lines of each log that are kept beside the whole.
_LINES: Final = 40


def dump(world: World, job: str, folder: str, faults: list[str]) -> Path:
    """Write everything into a folder of the world's; return it."""
    place = world.folder / "evidence" / job
    place.mkdir(parents=True, exist_ok=True)
    (place / "faults.txt").write_text("\n".join(faults))
    (place / "ledger.txt").write_text(_ledger(world, job))
    (place / "processes.txt").write_text(_processes(world))
    for log in (world.folder / "logs").iterdir():
        (place / f"{log.name}.tail").write_text("\n".join(log.read_text(errors="replace").splitlines()[-_LINES:]))
    if folder.startswith("s3://"):
        _copy_from_storage(world, folder, place / "folder")
    return place


def _ledger(world: World, job: str) -> str:
    ledger = Ledger(world.watch_url, timeout=1, patience=1)
    try:
        return json.dumps(ledger.snapshot(job), default=lambda one: getattr(one, "__dict__", repr(one)), indent=1)
    except GristmillError as error:
        return str(error)


def _processes(world: World) -> str:
    names = ["redis", "scheduler", *world.nodes]
    lines = [f"{name}: {one.pid} {one.command}" for name in names for one in world.kept(name).family()]
    return "\n".join(lines)


def _copy_from_storage(world: World, folder: str, place: Path) -> None:
    prefix = folder.removeprefix(f"s3://{BUCKET}/")
    with contextlib.suppress(Exception), world.network.inside(WATCH):
        for page in world.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
            for entry in page.get("Contents", []):
                path = place / entry["Key"].removeprefix(prefix).lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(world.s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read())

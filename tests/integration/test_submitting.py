"""What a job takes of a real server before anything is scored: as much for a million items as for a thousand."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from gristmill.spec import Deployment, Input, Job, Output, Settings
from gristmill_scheduler import plan as plan_module
from gristmill_scheduler.plan import Planner
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Ledger
from gristmill_storage.ledger.wire import Client
from gristmill_storage.listing import Item

#: Items of the large job.
MANY = 1_000_000 if "LONG_TESTS" in os.environ else 100_000

#: Bytes of the ledger that a job's plan may take: a line for each chunk of thousands of mini-batches.
ALLOWED = 1000


def taken(redis_url: str, folder: Path, name: str, items: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Return (keys, bytes) of a job that is planned whole."""
    monkeypatch.setattr(plan_module, "list_input", lambda *_, **__: (Item(f"i{n:07d}.png") for n in range(items)))
    deployment = Deployment(settings=Settings(mini_batch_size=10))
    job = Job(name=name, deployment=deployment, input=Input(uri="/in"), output=Output(folder=str(folder)))
    ledger = Ledger(redis_url)
    ledger.open(name, epoch="1", lease_seconds=30, error_threshold=-1)
    planner = Planner(job, open_store(job_folder.url(job.output.folder, name)), ledger)
    planner.start()
    while not ledger.snapshot(name).plan_closed:
        planner.check()
        ledger.wait(name, 1)
    planner.stop()
    assert ledger.snapshot(name).items_planned == items
    ledger.disconnect()
    with contextlib.closing(Client(redis_url, 10)) as client:
        keys = client.ask("KEYS", f"gristmill:{{{name}}}:*")
        return len(keys), sum(client.ask("MEMORY", "USAGE", key, "SAMPLES", "0") for key in keys)


def test_a_plan_takes_no_more_of_the_server_than_a_line_a_chunk(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = taken(redis_url, tmp_path, "small", 1000, monkeypatch)
    large = taken(redis_url, tmp_path, "large", MANY, monkeypatch)

    assert large[0] == small[0]
    assert large[1] - small[1] < ALLOWED, (small, large)

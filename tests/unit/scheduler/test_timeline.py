from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from gristmill_scheduler import timeline as timeline_module
from gristmill_scheduler.timeline import KEEP_SECONDS, Timeline
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger import InstanceInfo, Snapshot
from gristmill_storage.ledger.memory import MemoryLedger


@pytest.fixture
def folder(tmp_path):
    return open_store(str(tmp_path))


@pytest.fixture
def snapshot() -> Snapshot:
    ledger = MemoryLedger()
    ledger.open("j", epoch="1", lease_seconds=30, error_threshold=-1)
    return ledger.snapshot("j")


def kept(timeline: Timeline, folder: Any, snapshot: Snapshot) -> dict[str, Any]:
    timeline.save(folder, snapshot)
    document: dict[str, Any] = json.loads(folder.read(job_folder.TIMELINE))
    return document


def test_another_coordinator_goes_on_with_what_the_first_one_saw(folder, snapshot) -> None:
    first = Timeline(1.0)
    worker = InstanceInfo(name="a", info={"role": "instance", "ready_after": 5.0}, alive_seconds=8)
    first.see(replace(snapshot, done=1, plan_closed=True, instances=[worker]))
    before = kept(first, folder, snapshot)

    second = Timeline(1.0)
    second.restore(folder)
    other = InstanceInfo(name="b", info={"role": "instance", "ready_after": 7.0}, alive_seconds=8)
    second.see(replace(snapshot, done=2, plan_closed=True, instances=[other]))
    after = kept(second, folder, snapshot)

    assert after["moments"] == before["moments"]
    assert after["moments"]["ready"] == pytest.approx(time.time() - 3.0, abs=2)
    assert set(after["instances"]) == {"a", "b"}


def test_when_an_instance_was_ready_is_told_by_no_clock_of_its_own_and_counts_once(folder, snapshot) -> None:
    timeline = Timeline(1.0)
    told = {"role": "instance", "ready_at": 1.0, "ready_after": 4.0}
    timeline.see(replace(snapshot, instances=[InstanceInfo(name="a", info=told, alive_seconds=5)]))
    first = kept(timeline, folder, snapshot)["moments"]["ready"]
    # The server's clock was set forward by an hour.
    timeline.see(replace(snapshot, instances=[InstanceInfo(name="a", info=told, alive_seconds=3605)]))

    assert first == pytest.approx(time.time() - 1.0, abs=2)
    assert kept(timeline, folder, snapshot)["moments"]["ready"] == first


def test_counts_of_a_ledger_that_lost_its_memory_are_added_up(folder, snapshot) -> None:
    timeline = Timeline(1.0)
    timeline.see(replace(snapshot, losses=2, failures={"timeout": 3}))
    timeline.see(replace(snapshot, losses=4, failures={"timeout": 5}))
    timeline.save(folder, snapshot)
    again = Timeline(1.0)
    again.restore(folder)
    later = replace(snapshot, epoch="2", losses=1, failures={"crash": 1})
    again.see(later)
    again.see(later)

    document = kept(again, folder, later)

    assert document["losses"] == 5
    assert document["attempts_failed"] == {"timeout": 5, "crash": 1}


def test_it_is_written_down_now_and_then(folder, snapshot, monkeypatch) -> None:
    moments = [100.0]
    monkeypatch.setattr(timeline_module.time, "monotonic", lambda: moments[0])
    timeline = Timeline(1.0)
    timeline.keep(folder, snapshot)
    assert not folder.exists(job_folder.TIMELINE)

    moments[0] += KEEP_SECONDS
    timeline.keep(folder, snapshot)

    assert folder.exists(job_folder.TIMELINE)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"moments": 3, "instances": {}}'])
def test_a_timeline_that_cannot_be_read_is_begun_anew(folder, snapshot, content) -> None:
    folder.replace(job_folder.TIMELINE, content)
    timeline = Timeline(1.0)
    timeline.restore(folder)

    assert set(kept(timeline, folder, snapshot)["moments"]) == {"submitted", "opened"}

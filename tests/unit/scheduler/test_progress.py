from __future__ import annotations

from typing import Any

import pytest

from gristmill_scheduler import progress as progress_module
from gristmill_scheduler.progress import Progress
from gristmill_storage.ledger import InstanceInfo, Snapshot


def snapshot(**changes: Any) -> Snapshot:
    facts: dict[str, Any] = {
        "state": "open",
        "error": None,
        "epoch": "1",
        "planned": 10,
        "plan_closed": True,
        "items_planned": 100,
        "size_planned": 0,
        "done": 0,
        "leased": 2,
        "returned": 0,
        "cursor": 2,
        "items_done": 0,
        "succeeded": 0,
        "failed": 0,
        "rows": 0,
        "size": 0,
        "failures": {},
        "losses": 0,
        "expiries": 0,
        "instances": [],
        "parts": 0,
        "seconds_since_commit": 0.0,
        "fenced": 0,
        "status": "",
    }
    return Snapshot(**{**facts, **changes})


@pytest.fixture
def clock(monkeypatch):
    moments = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: moments[0])
    return moments


def test_pace_and_time_to_go_follow_the_items(clock) -> None:
    progress = Progress()
    progress.document(snapshot())
    clock[0] = 2.0

    document = progress.document(snapshot(succeeded=15, failed=5))

    assert document["rate"] == 10.0
    assert document["eta"] == 8.0


def test_there_is_no_time_to_go_while_the_listing_goes_on(clock) -> None:
    progress = Progress()
    progress.document(snapshot())
    clock[0] = 2.0

    assert progress.document(snapshot(succeeded=20, plan_closed=False))["eta"] is None


def test_there_is_no_time_to_go_while_nothing_moves(clock) -> None:
    assert Progress().document(snapshot())["eta"] is None


def test_the_pace_forgets_what_is_long_ago(clock) -> None:
    progress = Progress()
    progress.document(snapshot())
    clock[0] = 1.0
    progress.document(snapshot(succeeded=80))
    clock[0] = 100.0
    progress.document(snapshot(succeeded=80))
    clock[0] = 105.0

    assert progress.document(snapshot(succeeded=90))["rate"] == 2.0


def test_scorers_are_summed_over_instances(clock) -> None:
    infos = [{"role": "instance", "scorers": 2}, {"role": "instance", "scorers": 3}, {"role": "aggregator"}]
    instances = [InstanceInfo(name=str(n), info=info, alive_seconds=1.0) for n, info in enumerate(infos)]

    document = Progress().document(snapshot(instances=instances, failures={"timeout": 4}))

    assert (document["instances"], document["scorers"], document["retries"]) == (2, 5, {"timeout": 4})

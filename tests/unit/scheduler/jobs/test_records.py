from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gristmill import spec
from gristmill.errors import Conflict, Corrupt, JobNotFound, OtherVersion
from gristmill_scheduler.jobs.record import JobRecord, State, Way, ended, read_record
from gristmill_scheduler.jobs.records import Records
from gristmill_storage.files import open_store
from gristmill_storage.workspace import Workspace


def record(name: str = "j", submitted: float = 1.0, **more) -> JobRecord:
    job = spec.Job(
        name=name,
        deployment=spec.Deployment(model=spec.Model(path="/m"), compute="c", instance_count=2),
        input=spec.Input(uri="/in"),
        output=spec.Output(folder="/out"),
        submitted=submitted,
    )
    return JobRecord(job=job, folder="/out/.gristmill/j", endpoint="e", deployment="d", **more)


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(open_store(f"memory://{uuid.uuid4().hex}"))


@pytest.fixture
def records(workspace) -> Records:
    return Records(workspace.documents("jobs"))


def test_a_record_comes_back_as_it_was_written() -> None:
    full = record(tags={"a": "b"}, overrides=("x=1",), state=State.BEGUN, way=Way.RESUME, inputs={"i": {"path": "p"}})

    assert read_record(full.body(), 7) == replace(full, version=7)


def test_keys_of_a_newer_server_are_passed_over_and_its_version_is_refused() -> None:
    body = record().body()

    assert read_record({**body, "new": 1}, 0) == record()
    with pytest.raises(OtherVersion, match=r"a job's record: is of version 99, and .* reads up to 1: upgrade it"):
        read_record({**body, "record_version": 99}, 0)


@pytest.mark.parametrize("body", [{}, {"job": 5}, {**record().body(), "state": "odd"}, {**record().body(), "job": {}}])
def test_what_is_no_record_is_corrupt(body) -> None:
    with pytest.raises(Corrupt):
        read_record(body, 0)


def test_an_end_keeps_the_counts_and_not_the_deployment() -> None:
    summary = {"items": {"total": 2}, "rows": 3, "mini_batches": {"total": 1}, "seconds": {"queue": 5.0}}
    result = {"status": "Completed", "output": "o", "document": {**summary, "deployment": {"big": 1}, "instances": []}}

    now = replace(record(), **ended(record(), result))

    assert now.status == "Completed"
    assert now.started == 6.0
    assert now.result == {
        "status": "Completed",
        "error": None,
        "output": "o",
        "summary": None,
        "errors": None,
        "items": {"total": 2},
        "mini_batches": {"total": 1},
        "rows": 3,
        "document": summary,
    }


def test_a_name_is_taken_once(records) -> None:
    made = records.create(record())

    assert records.get("j") == made
    with pytest.raises(Conflict, match="job name: j is taken"):
        records.create(record())
    with pytest.raises(JobNotFound):
        records.get("k")
    assert records.find("../x") is None


def test_changes_side_by_side_are_all_made(records) -> None:
    records.create(record())

    def add(number: int) -> None:
        records.change("j", lambda known: {"tags": {**known.tags, str(number): ""}}, by="ann")

    with ThreadPoolExecutor(5) as writers:
        list(writers.map(add, range(20)))

    found = records.get("j")
    assert len(found.tags) == 20
    assert found.modified_by == "ann"


def test_a_change_of_nothing_writes_nothing(records) -> None:
    made = records.create(record())

    assert records.change("j", lambda _known: {}) == made


def test_rows_are_known_by_a_listing_and_of_the_newest_version(workspace, records) -> None:
    for number in range(30):
        records.create(record(f"j{number:02}", submitted=float(number % 10)))
    other = Records(workspace.documents("jobs"))
    other.refresh()

    in_order = [row.name for row in other.rows.newest()]
    assert in_order == [row.name for row in records.rows.newest()]
    assert in_order[:4] == ["j29", "j19", "j09", "j28"]
    assert next(other.rows.newest(other.rows.find("j09"))).name == "j28"

    records.change("j05", lambda known: ended(known, {"status": "Failed"}))
    assert len(other.rows.unfinished()) == 30
    other.refresh()
    assert len(other.rows.unfinished()) == 29
    row = other.rows.find("j05")
    assert row is not None
    assert (row.status, row.instances, row.compute) == ("Failed", 2, "c")
    other.rows.put(replace(row, version=1, status=""))
    assert other.rows.find("j05") == row
    assert other.rows.stale({"j05": row.version, "new": 1}) == ["new"]

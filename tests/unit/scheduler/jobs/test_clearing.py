"""Uploads that were inputs of jobs alone go when the last of these is over; what something may read stays."""

from __future__ import annotations

import hashlib
import io
import tarfile
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from gristmill import spec
from gristmill.trees import digest_of
from gristmill_scheduler.jobs.addresses import Addresses
from gristmill_scheduler.jobs.clearing import Clearing
from gristmill_scheduler.jobs.record import JobRecord, State
from gristmill_scheduler.jobs.records import Records
from gristmill_storage.files import open_store
from gristmill_storage.workspace import Workspace

DAY = 86400.0
TREE = digest_of([("a.txt", 1, hashlib.sha256(b"x").hexdigest())])
COMPLETED = {"status": "Completed", "items": {"succeeded": 1, "failed": 0}}


@dataclass
class Place:
    """A workspace with one upload, which jobs read."""

    workspace: Workspace
    records: Records
    clearing: Clearing

    def job(self, name: str, **more: Any) -> None:
        """Write down a job that ended on the first day, completed, unless something else is said."""
        job = spec.Job(
            name=name,
            deployment=spec.Deployment(model=spec.Model(path="/m"), compute="c"),
            input=spec.Input(uri="/in"),
            output=spec.Output(folder="/out"),
            submitted=1.0,
        )
        given = {
            "inputs": {"i": {"path": f"upload:{TREE}/a.txt"}},
            "state": State.ENDED,
            "ended": 0.0,
            "result": COMPLETED,
        }
        self.records.create(JobRecord(job=job, folder="/f", endpoint="e", deployment="d", **{**given, **more}))

    @property
    def there(self) -> bool:
        return self.workspace.uploads.exists(TREE)

    def look(self, *, day: float) -> None:
        self.workspace.uploads.asked.clear()
        self.clearing.look(day * DAY)


@pytest.fixture(params=["memory", "local"])
def place(request: pytest.FixtureRequest, tmp_path: Any) -> Place:
    url = f"memory://{uuid.uuid4().hex}" if request.param == "memory" else str(tmp_path)
    workspace = Workspace(open_store(url))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    workspace.uploads.receive(TREE, io.BytesIO(archive.getvalue()), most_bytes=10, most_files=1)
    records = Records(workspace.documents("jobs"))
    addresses = Addresses(workspace.documents("job-inputs"))
    clearing = Clearing(records, workspace.uploads, addresses, days=30, leads=lambda: True)
    return Place(workspace, records, clearing)


def test_an_input_goes_when_it_was_not_needed_for_so_long(place: Place) -> None:
    place.job("one", ended=1 * DAY)
    place.job("two", ended=5 * DAY)

    place.look(day=34.9)
    assert place.there

    place.look(day=35.1)
    place.look(day=35.2)
    assert not place.there
    assert list(place.workspace.store.list("uploads")) == []


@pytest.mark.parametrize(
    "reader",
    [
        {"state": State.QUEUED, "result": None},
        {"state": State.QUEUED, "paused": True, "result": None},
        {"state": State.BEGUN, "result": None},
        {"result": {"status": "Failed"}},
        {"result": {"status": "Canceled", "items": {"succeeded": 1, "failed": 0}}},
        {"result": {"status": "Completed", "items": {"succeeded": 1, "failed": 1}}},
    ],
)
def test_what_a_job_may_yet_read_stays(place: Place, reader: dict[str, Any]) -> None:
    place.job("done")
    place.job("reader", **reader)

    place.look(day=1000)

    assert place.there


def test_a_job_that_another_server_took_is_known(place: Place) -> None:
    place.job("done")
    other = Place(place.workspace, Records(place.workspace.documents("jobs")), place.clearing)
    other.job("taken", state=State.QUEUED, result=None)

    place.look(day=1000)

    assert place.there


@pytest.mark.parametrize("result", [{"status": "Failed"}, {"status": "Completed", "items": {"failed": 1}}])
def test_a_job_that_was_put_away_needs_nothing(place: Place, result: dict[str, Any]) -> None:
    place.job("away", archived=True, modified=50 * DAY, result=result)

    place.look(day=79)
    assert place.there
    place.look(day=81)

    assert not place.there


def test_what_something_names_for_good_stays(place: Place) -> None:
    place.job("done")
    place.workspace.uploads.keep(TREE)

    place.look(day=1000)

    assert place.there


def test_what_was_asked_for_a_moment_ago_stays(place: Place) -> None:
    place.job("done")
    assert place.there  # asks

    place.clearing.look(1000 * DAY)

    assert place.there


def test_an_address_with_a_secret_goes_too(place: Place) -> None:
    documents = place.workspace.documents("job-inputs")
    for key in ("old", "shared"):
        documents.put(key, {"uri": "https://x/?sig=s"})
    web = {"i": {"path": "https://x/"}}
    place.job("done", inputs=web, input_key="old")
    place.job("also", inputs=web, input_key="shared")
    place.job("runs", inputs=web, input_key="shared", state=State.BEGUN, result=None)

    place.look(day=1000)
    place.look(day=1001)

    assert documents.names() == ["shared"]


def test_an_input_that_came_back_goes_again(place: Place) -> None:
    place.job("one")
    place.look(day=40)
    place.look(day=41)
    place.workspace.store.create(f"uploads/{TREE}/a.txt", b"x")
    place.workspace.store.create(f"uploads/{TREE}.complete", b"{}")
    place.job("two", ended=42 * DAY)

    place.look(day=43)
    assert place.there
    place.look(day=80)
    assert not place.there

"""Uploads go when nothing names them and no job may read them; what something may need stays."""

from __future__ import annotations

import hashlib
import io
import tarfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gristmill import spec
from gristmill.errors import Corrupt, StorageFailed
from gristmill.trees import digest_of
from gristmill_scheduler.jobs.addresses import Addresses
from gristmill_scheduler.jobs.clearing import Clearing
from gristmill_scheduler.jobs.record import JobRecord, State
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.resources.assembly import make_resources
from gristmill_scheduler.resources.naming import Naming as RealNaming
from gristmill_storage.files import open_store
from gristmill_storage.registration import Registry
from gristmill_storage.workspace import Workspace

DAY = 86400.0
TREE = digest_of([("a.txt", 1, hashlib.sha256(b"x").hexdigest())])
COMPLETED = {"status": "Completed", "items": {"succeeded": 1, "failed": 0}}


@dataclass
class Naming:
    """What is named for good."""

    registry: str = "r"
    documents: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    #: What asking for the one or the other fails by.
    unreadable: Exception | None = None
    away: Exception | None = None

    def by_documents(self) -> set[str]:
        if self.unreadable is not None:
            raise self.unreadable
        return self.documents

    def by_models(self) -> set[str]:
        if self.away is not None:
            raise self.away
        return self.models


@dataclass
class Place:
    """A workspace with one upload, which jobs read."""

    workspace: Workspace
    records: Records
    naming: Naming
    clearing: Clearing

    def job(self, name: str, *, reads: str = "input", **more: Any) -> None:
        """Write down a job that ended on the first day, completed, unless something else is said."""
        tree = f"{self.workspace.url}/uploads/{TREE}"
        models = {"model": spec.Model(path=f"{tree}/a.txt"), "registry": spec.Model(reference="azureml:m:1")}
        code = spec.CodeConfiguration(code=tree, scoring_script="a.txt") if reads == "code" else None
        job = spec.Job(
            name=name,
            deployment=spec.Deployment(
                model=models.get(reads, spec.Model(path="/m")), code_configuration=code, compute="c"
            ),
            input=spec.Input(uri=f"{tree}/a.txt" if reads == "input" else "/in"),
            output=spec.Output(folder="/out"),
            submitted=more.pop("submitted", 0) * DAY + 1,
        )
        given = {
            "state": State.ENDED,
            "ended": 0.0,
            "result": COMPLETED,
        }
        self.records.create(JobRecord(job=job, folder="/f", endpoint="e", deployment="d", **{**given, **more}))

    @property
    def there(self) -> bool:
        return self.workspace.uploads.exists(TREE)

    @property
    def files(self) -> list[str]:
        return [entry.path for entry in self.workspace.store.list("uploads")]

    def look(self, *, day: float) -> None:
        self.workspace.uploads.asked.clear()
        self.clearing.look(day * DAY)

    def looks(self, *days: float) -> None:
        for day in days:
            self.look(day=day)


@pytest.fixture(params=["memory", "local"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    url = f"memory://{uuid.uuid4().hex}" if request.param == "memory" else str(tmp_path / "w")
    workspace = Workspace(open_store(url))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    workspace.uploads.receive(TREE, io.BytesIO(archive.getvalue()), most_bytes=10, most_files=1)
    records = Records(workspace.documents("jobs"))
    addresses = Addresses(workspace.documents("job-inputs"))
    naming = Naming()
    clearing = Clearing(workspace, records, addresses, naming, days=30, leads=lambda: True)
    return Place(workspace, records, naming, clearing)


@pytest.mark.parametrize("reads", ["input", "code", "model"])
def test_it_goes_when_no_job_has_needed_it_for_so_long(place: Place, reads: str) -> None:
    place.job("one", ended=1 * DAY, reads=reads)
    place.look(day=2)
    place.job("two", ended=5 * DAY, reads=reads)

    place.look(day=34.9)
    assert place.there

    place.look(day=35.1)
    assert not place.there
    assert f"uploads/{TREE}/a.txt" in place.files  # for who found it just before

    place.look(day=35.2)
    assert place.files == []


@pytest.mark.parametrize(("days", "looks"), [(0, False), (0.5, True)])
def test_nobody_looks_where_uploads_stay_for_ever(place: Place, days: float, *, looks: bool) -> None:
    addresses = Addresses(place.workspace.documents("x"))
    clearing = Clearing(place.workspace, place.records, addresses, place.naming, days=days, leads=lambda: True)
    clearing.start()
    found = clearing._thread.is_alive()
    clearing.stop()

    assert found is looks


def test_what_nothing_ever_needed_goes(place: Place) -> None:
    place.looks(100, 129.9)
    assert place.there

    place.looks(130.1, 130.2)
    assert place.files == []


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
@pytest.mark.parametrize("reads", ["input", "code", "model"])
def test_what_a_job_may_yet_read_stays(place: Place, reader: dict[str, Any], reads: str) -> None:
    place.job("done")
    place.job("reader", reads=reads, **reader)

    place.looks(1000, 1040, 1041)

    assert place.there


def test_a_job_that_another_server_took_is_known(place: Place) -> None:
    place.job("done")
    place.look(day=1000)
    other = Place(place.workspace, Records(place.workspace.documents("jobs")), place.naming, place.clearing)
    other.job("taken", state=State.QUEUED, result=None)

    place.looks(1040, 1041)

    assert place.there


def test_nothing_goes_while_a_newer_server_has_jobs_that_cannot_be_read(place: Place) -> None:
    place.job("done")
    documents = place.workspace.documents("jobs")
    documents.put("newer", {"record_version": 99})
    place.looks(1, 40, 41)
    assert place.there

    documents.put("newer", {**documents.get("done").body, "record_version": 1})
    place.looks(42, 73, 74)
    assert place.files == []


@pytest.mark.parametrize("result", [{"status": "Failed"}, {"status": "Completed", "items": {"failed": 1}}])
def test_a_job_that_was_put_away_needs_nothing(place: Place, result: dict[str, Any]) -> None:
    place.job("away", archived=True, modified=50 * DAY, result=result)

    place.looks(51, 79)
    assert place.there
    place.look(day=81)

    assert not place.there


@pytest.mark.parametrize("by", ["documents", "models"])
def test_what_something_names_for_good_stays_and_goes_when_that_was_deleted(place: Place, by: str) -> None:
    named = getattr(place.naming, by)
    named.add(TREE)
    place.job("done")
    place.looks(1000, 1040, 1041)
    assert place.there

    named.clear()
    place.looks(1042, 1071)
    assert place.there
    place.looks(1073, 1074)
    assert place.files == []


def test_what_is_named_again_before_its_files_go_is_there_as_before(place: Place) -> None:
    place.looks(1, 32)
    assert not place.there
    place.naming.documents.add(TREE)

    place.look(day=33)

    assert place.there
    assert sorted(place.files) == [f"uploads/{TREE}.complete", f"uploads/{TREE}/a.txt"]


def test_nothing_goes_while_it_cannot_be_told_what_is_named(place: Place) -> None:
    place.looks(1, 32)
    place.naming.unreadable = Corrupt("documents/data/x: is no JSON")
    with pytest.raises(Corrupt):
        place.look(day=33)

    assert f"uploads/{TREE}/a.txt" in place.files


@pytest.mark.parametrize(
    ("registry", "away", "goes"),
    [("r", None, True), ("r", StorageFailed("no answer"), False), ("other", None, False), ("", None, True)],
)
def test_what_may_be_a_model_goes_when_its_own_registry_says_so(
    place: Place, registry: str, away: Exception | None, *, goes: bool
) -> None:
    place.workspace.uploads.note_registered(TREE, registry)
    place.naming.away = away

    place.looks(1, 32, 33)

    assert place.files == [] if goes else place.there


def test_a_registry_that_is_away_keeps_no_input(place: Place) -> None:
    place.job("done")
    place.naming.away = StorageFailed("no answer")

    place.looks(1, 32, 33)

    assert place.files == []


def test_a_deleted_model_stays_for_the_jobs_that_were_begun_with_it(place: Place) -> None:
    place.workspace.uploads.note_registered(TREE, "r")
    place.job("runs", reads="registry", state=State.BEGUN, result=None, submitted=1)
    place.looks(2, 33, 34)
    assert place.there

    place.records.change("runs", lambda _: {"state": State.ENDED, "ended": 35 * DAY, "result": COMPLETED})
    place.job("later", reads="registry", state=State.BEGUN, result=None, submitted=3)
    place.looks(36, 37)
    assert place.files == []


def test_what_was_asked_for_a_moment_ago_stays(place: Place) -> None:
    place.job("done")
    place.look(day=1)
    assert place.there  # asks

    place.clearing.look(1000 * DAY)

    assert place.there


def test_an_address_with_a_secret_goes_too(place: Place) -> None:
    documents = place.workspace.documents("job-inputs")
    for key in ("old", "shared"):
        documents.put(key, {"uri": "https://x/?sig=s"})
    place.job("done", reads="", input_key="old")
    place.job("also", reads="", input_key="shared")
    place.job("runs", reads="", input_key="shared", state=State.BEGUN, result=None)

    place.look(day=1000)
    place.look(day=1001)

    assert documents.names() == ["shared"]


def test_an_input_that_came_back_goes_again(place: Place) -> None:
    place.job("one")
    place.looks(1, 40, 41)
    assert place.files == []
    place.workspace.store.create(f"uploads/{TREE}/a.txt", b"x")
    place.workspace.store.create(f"uploads/{TREE}.complete", b"{}")
    place.job("two", ended=42 * DAY)

    place.look(day=43)
    assert place.there
    place.looks(80, 81)
    assert place.files == []


def test_the_code_of_a_deleted_deployment_goes(place: Place, tmp_path: Path) -> None:
    (model := tmp_path / "m").mkdir()
    resources = make_resources(place.workspace, allowed_roots=[model])
    naming = RealNaming(place.workspace, resources.references, Registry(""), uri="")
    place.clearing = Clearing(
        place.workspace, place.records, Addresses(place.workspace.documents("x")), naming, days=30, leads=lambda: True
    )
    resources.endpoints.put("abc", {})
    code = {"code": f"upload:{TREE}", "scoring_script": "a.txt"}
    resources.deployments.put(
        "abc", "one", {"code_configuration": code, "model": {"path": str(model)}}, skip_script_validation=True
    )
    place.looks(1, 32, 33)
    assert place.there

    resources.endpoints.delete("abc")
    place.looks(34, 65, 66)
    assert place.files == []

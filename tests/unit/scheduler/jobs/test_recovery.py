"""What a server that died at a bad moment leaves, another one brings to its end."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gristmill.errors import StorageFailed
from gristmill_scheduler.admission import admit
from gristmill_scheduler.jobs import dispatcher as dispatcher_module
from gristmill_scheduler.jobs.record import State, Way
from gristmill_scheduler.jobs.records import Records
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger.memory import MemoryLedger

BODY = {"input": {"path": "azureml:data:1"}}


@pytest.fixture
def dead(world):
    """A server that wrote a job down and died; it has not begun it."""
    return world.server(start=False)


def begun(jobs, name: str, **changes) -> None:
    jobs._records.change(name, lambda _record: {"state": State.BEGUN, **changes})


def test_a_job_of_which_only_the_record_is_there_runs(world, dead) -> None:
    name = dead.invoke("e", BODY, request_id="r")["name"]

    jobs = world.server()

    assert jobs.invoke("e", BODY, request_id="r")["name"] == name
    assert world.ends(jobs, name)["status"] == "Completed"
    assert world.nodes.aggregated == [name]


def test_a_job_that_was_begun_and_has_no_folder_runs(world, dead) -> None:
    name = dead.invoke("e", BODY)["name"]
    begun(dead, name)

    assert world.ends(world.server(), name)["status"] == "Completed"


@pytest.mark.parametrize("way", [Way.NEW, Way.RESUME])
def test_a_job_that_the_ledger_does_not_know_runs(world, dead, way) -> None:
    name = dead.invoke("e", BODY)["name"]
    admit(dead._records.get(name).job, environment={})
    begun(dead, name, way=way)

    assert world.ends(world.server(), name)["status"] == "Completed"


def test_a_job_whose_ledger_is_of_an_earlier_life_is_resumed(world, dead) -> None:
    name = dead.invoke("e", BODY)["name"]
    admit(dead._records.get(name).job, environment={})
    begun(dead, name, way=Way.RESUME)
    world.ledger.open(name, epoch="old", lease_seconds=2, error_threshold=-1)
    world.ledger.close(name, status="Canceled")

    assert world.ends(world.server(), name)["status"] == "Completed"


def test_a_job_that_ended_unnoticed_is_noted_as_that(world, dead) -> None:
    name = dead.invoke("e", BODY)["name"]
    record = dead._records.get(name)
    folder = admit(record.job, environment={})
    folder.create(job_folder.RESULT, json.dumps({"status": "Failed", "error": {"message": "m"}}).encode())
    begun(dead, name)

    done = world.ends(world.server(), name)

    assert (done["status"], done["error"]) == ("Failed", {"message": "m"})
    assert world.nodes.begun == []


def test_an_end_that_storage_refuses_is_written_down_later(world, jobs, monkeypatch) -> None:
    refusals = ["x"] * 3
    put = type(jobs._records._documents).put

    def refuse(self, name, body, *, expected=None):
        if body["state"] == State.ENDED and refusals:
            refusals.pop()
            raise StorageFailed("the disk is full")
        return put(self, name, body, expected=expected)

    monkeypatch.setattr(type(jobs._records._documents), "put", refuse)
    name = jobs.invoke("e", BODY)["name"]

    assert world.ends(jobs, name)["status"] == "Completed"
    assert not refusals


def test_a_job_goes_on_where_another_server_left_it(world) -> None:
    first = world.server()
    world.nodes.hold.set()
    name = first.invoke("e", BODY)["name"]
    world.until(lambda: first.get(name)["status"] == "Running")
    second = world.server()
    assert second.get(name)["status"] == "Running"

    first.stop()
    world.nodes.hold.clear()

    assert world.ends(second, name)["status"] == "Completed"
    assert world.nodes.aggregated == [name]
    assert second._board.find(name) is None


def test_two_servers_begin_each_job_once(world) -> None:
    servers = [world.server(), world.server()]
    names = [servers[number % 2].invoke("e", BODY)["name"] for number in range(20)]

    for name in names:
        world.ends(servers[0], name)
    assert sorted(world.nodes.aggregated) == sorted(names)


def test_another_servers_jobs_appear(world, monkeypatch) -> None:
    monkeypatch.setattr(dispatcher_module, "REFRESH_SECONDS", 0.05)
    first, second = world.server(), world.server()

    name = first.invoke("e", BODY)["name"]

    world.until(lambda: [each["name"] for each in second.list(limit=5)[0]] == [name])
    world.ends(first, name)
    world.until(lambda: second.counts() == {"Completed": 1})


def test_finished_jobs_are_listed_after_the_ledger_lost_everything(world, jobs) -> None:
    name = jobs.invoke("e", BODY)["name"]
    world.ends(jobs, name)
    jobs.stop()
    world.ledger = MemoryLedger()

    later = world.server()

    assert [(each["name"], each["status"]) for each in later.list(limit=5)[0]] == [(name, "Completed")]


def test_a_record_that_cannot_be_read_hides_no_other(world, dead) -> None:
    name = dead.invoke("e", BODY)["name"]
    world.workspace.documents("jobs").put("broken", {"record_version": 1, "job": 5})
    world.workspace.documents("jobs").put("newer", {"record_version": 99})

    records = Records(world.workspace.documents("jobs"))
    records.refresh()

    assert [row.name for row in records.rows.newest()] == [name]


@pytest.mark.parametrize("body", [{"record_version": 1, "job": 5}, {"record_version": 99}])
def test_a_record_that_cannot_be_read_any_more_hides_no_other(world, dead, body) -> None:
    names = [dead.invoke("e", BODY)["name"] for _ in range(3)]
    world.workspace.documents("jobs").put(names[1], body)

    listed, _ = dead.list(limit=10)

    assert [job["name"] for job in listed] == [names[2], names[0]]


def test_a_job_is_begun_again_when_the_store_answers(world, jobs, monkeypatch) -> None:
    monkeypatch.setattr(dispatcher_module, "_AGAIN_SECONDS", 0.02)
    failures = ["x"] * 2

    def away(job, *, environment, **_):
        if failures:
            failures.pop()
            raise StorageFailed("the store is away")
        return admit(job, environment=environment)

    monkeypatch.setattr("gristmill_scheduler.jobs.beginning.admit", away)

    assert world.ends(jobs, jobs.invoke("e", BODY)["name"])["status"] == "Completed"


def refusing(monkeypatch, error: Exception, *, seconds: float, words: str = "s3://box/in: AccessDenied") -> list[str]:
    """Have the store of every job's input say no, and the dispatcher bear it for so long; return the jobs' tries."""
    tries = []

    def admit(job, *, environment, **_):
        tries.append(job.name)
        raise StorageFailed(words.format(len(tries))) from error

    monkeypatch.setattr("gristmill_scheduler.jobs.beginning.admit", admit)
    monkeypatch.setattr(dispatcher_module, "_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(dispatcher_module, "REFUSED_SECONDS", seconds)
    return tries


def test_a_job_that_a_store_refuses_says_so_while_that_may_change(world, jobs, monkeypatch) -> None:
    refusing(monkeypatch, PermissionError(), seconds=1000)
    name = jobs.invoke("e", BODY)["name"]

    world.until(lambda: "AccessDenied" in jobs.get(name)["detail"])

    told = jobs.get(name)
    assert (told["status"], told["detail"]) == (
        "Queued",
        "cannot be begun, and is tried again: s3://box/in: AccessDenied",
    )
    monkeypatch.setattr("gristmill_scheduler.jobs.beginning.admit", admit)
    assert world.ends(jobs, name)["status"] == "Completed"


def test_every_server_says_why_a_job_cannot_be_begun(world, jobs, monkeypatch) -> None:
    tries = refusing(monkeypatch, PermissionError(), seconds=1000)
    other = world.server()
    name = jobs.invoke("e", BODY)["name"]
    why = "cannot be begun, and is tried again: s3://box/in: AccessDenied"

    for server in (jobs, other):
        world.until(lambda server=server: server.get(name)["detail"] == why)
    world.until(lambda: len(tries) > 5)
    assert jobs._records.get(name).version == 2  # it was written down once

    monkeypatch.setattr("gristmill_scheduler.jobs.beginning.admit", admit)
    world.ends(jobs, name)
    assert jobs._records.get(name).trouble == ""


def test_why_a_job_cannot_be_begun_is_written_down_now_and_then_though_its_words_change(
    world, jobs, monkeypatch
) -> None:
    tries = refusing(monkeypatch, PermissionError(), seconds=1000, words="s3://box/in: AccessDenied: request {}")
    name = jobs.invoke("e", BODY)["name"]
    world.until(lambda: len(tries) > 5)

    assert jobs._records.get(name).version == 2
    assert jobs._records.get(name).trouble.endswith("request 1")


def test_a_job_that_a_store_refuses_for_long_fails_with_the_reason(world, jobs, monkeypatch) -> None:
    refusing(monkeypatch, PermissionError(), seconds=0.1)

    ended = world.ends(jobs, jobs.invoke("e", BODY)["name"])

    assert (ended["status"], ended["error"]["class"]) == ("Failed", "StorageFailed")
    assert ended["error"]["message"] == "ScriptExecution.StreamAccess.Authentication: s3://box/in: AccessDenied"

    jobs.stop()  # nobody begins it again
    assert "AccessDenied" not in world.server(start=False).resume(ended["name"])["detail"]


def looks(world, jobs) -> None:
    """Wait until the dispatcher has looked twice: one look may be under way."""
    for _ in range(2):
        before = jobs._dispatcher.looked
        world.until(lambda before=before: jobs._dispatcher.looked > before)


def test_a_compute_that_jobs_wait_for_and_no_node_serves_is_told(world, monkeypatch) -> None:
    monkeypatch.setattr(dispatcher_module, "_UNSERVED_SECONDS", 0.0)
    monkeypatch.setattr("gristmill_scheduler.jobs.looking._NODES_SECONDS", 0.0)
    world.nodes.open.clear()
    told = []
    jobs = world.server(unserved=told.append)
    jobs.invoke("e", BODY)
    looks(world, jobs)
    assert told == []  # no node is known at all

    world.ledger.see_node("other", {"compute": "d"}, 60)
    world.until(lambda: told)
    assert set(told) == {"c"}

    world.ledger.see_node("its", {"compute": "c"}, 60)
    looks(world, jobs)
    told.clear()
    looks(world, jobs)
    assert told == []


def test_a_store_that_is_away_is_waited_for(world, jobs, monkeypatch) -> None:
    refusing(monkeypatch, ConnectionRefusedError(), seconds=0)
    name = jobs.invoke("e", BODY)["name"]
    world.until(lambda: "AccessDenied" in jobs.get(name)["detail"])
    monkeypatch.setattr("gristmill_scheduler.jobs.beginning.admit", admit)

    assert world.ends(jobs, name)["status"] == "Completed"


def test_the_retry_of_a_job_is_begun_once(world, jobs, monkeypatch) -> None:
    name = jobs.invoke("e", BODY)["name"]
    world.ends(jobs, name)
    made = []

    def begin_retry(folder, job, *, name):
        made.append(name)
        return replace(job, name=name, retry_of=job.name), open_store(job_folder.url(job.output.folder, name))

    monkeypatch.setattr("gristmill_scheduler.jobs.control.begin_retry", begin_retry)
    jobs.stop()

    first = jobs.retry_failed(name, by="ann")
    second = jobs.retry_failed(name)

    assert made == [f"{name}-retry-1"]
    assert first["name"] == second["name"] == f"{name}-retry-1"
    assert (first["retry_of"], first["creation_context"]["created_by"]) == (name, "ann")


def test_a_job_whose_folder_cannot_be_opened_hides_no_other(world, dead) -> None:
    name = dead.invoke("e", BODY)["name"]
    begun(dead, name, folder="s3://no-such-secret.json@box/out/.gristmill/j")
    other = dead.invoke("e", BODY)["name"]

    listed, _ = dead.list(limit=10)

    assert [job["name"] for job in listed] == [other, name]
    assert listed[1]["detail"].startswith("where it stands cannot be looked at: credentials no-such-secret.json: ")
    assert dead.get(name)["status"] == "Running"


def test_a_job_that_runs_does_not_fail_because_a_server_lacks_a_secret(world, dead) -> None:
    name = dead.invoke("e", BODY)["name"]
    begun(dead, name, folder="s3://no-such-secret.json@box/out/.gristmill/j")

    jobs = world.server()
    world.until(lambda: "no-such-secret.json" in jobs._dispatcher.trouble(name))

    assert jobs.get(name)["status"] == "Running"

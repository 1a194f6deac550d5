from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gristmill import spec
from gristmill.errors import Conflict, JobNotFound, Mistake, ResourceNotFound
from gristmill_scheduler.jobs import dispatcher as dispatcher_module
from gristmill_scheduler.jobs import looking as looking_module
from gristmill_scheduler.jobs.record import State
from gristmill_storage.files import open_store

BODY = {"input": {"path": "azureml:data:1"}}


def test_an_invocation_becomes_a_job_that_completes(world, jobs) -> None:
    made = jobs.invoke("E", {**BODY, "tags": {"a": "b"}, "display_name": "mine"}, by="ann")

    assert made["status"] == "Queued"
    assert made["id"] == f"/batchEndpoints/e/jobs/{made['name']}"
    assert (made["endpoint_name"], made["deployment_name"], made["deployment_version"]) == ("e", "d", 3)
    assert (made["experiment_name"], made["display_name"], made["type"]) == ("e", "mine", "pipeline")
    assert made["creation_context"]["created_by"] == "ann"
    assert made["inputs"] == {"input": {"type": "uri_folder", "path": "azureml:data:1"}}
    done = world.ends(jobs, made["name"])
    assert done["status"] == done["properties"]["status"] == "Completed"
    assert done["error"] is None
    assert done["items"] == {"total": 1, "succeeded": 1, "failed": 0}
    assert done["outputs"]["score"]["path"].endswith(f"azureml/{made['name']}/score/predictions.csv")
    assert done["submitted"] <= done["started"] <= done["ended"]


def test_one_request_posted_side_by_side_makes_one_job(world, jobs) -> None:
    with ThreadPoolExecutor(5) as clients:
        posts = [clients.submit(jobs.invoke, "e", BODY, request_id="r-1") for _ in range(5)]
        names = {post.result()["name"] for post in posts}

    (name,) = names
    world.ends(jobs, name)
    assert jobs.invoke("e", BODY, request_id="r-1")["status"] == "Completed"
    assert [each["name"] for each in jobs.list(limit=50)[0]] == [name]
    assert world.nodes.aggregated == [name]


def test_another_request_is_another_job(world, jobs) -> None:
    first, second = (jobs.invoke("e", BODY, request_id=each)["name"] for each in ("a", "b"))

    assert first != second


def test_a_name_belongs_to_the_request_that_took_it(world, jobs) -> None:
    body = {**BODY, "job_name": "mine"}
    assert jobs.invoke("e", body, request_id="a")["name"] == "mine"
    assert jobs.invoke("e", body, request_id="a")["name"] == "mine"

    for request in ("b", ""):
        with pytest.raises(Conflict, match="job name: mine is taken"):
            jobs.invoke("e", body, request_id=request)


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ({}, Mistake, "input: none is given"),
        ({**BODY, "deployment_name": "nope"}, Mistake, "Deployment name nope not found"),
        ({**BODY, "job_name": "x_batchscoring"}, Mistake, "does not end in _batchscoring"),
        ({"input": {"path": "azureml:table:1"}}, Mistake, "is of type mltable"),
        ({**BODY, "output_path": "azureml://x/a.csv", "output_file_name": "b.csv"}, Mistake, "give one"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(jobs, body, error, words) -> None:
    with pytest.raises(error, match=words):
        jobs.invoke("e", body)

    assert jobs.list(limit=50) == ([], None)


def test_an_unknown_endpoint_is_told(jobs) -> None:
    with pytest.raises(ResourceNotFound, match="nope"):
        jobs.invoke("nope", BODY)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"path": "azureml:file:1"}, "uri_file"),
        ({"path": "azureml:file:1", "type": "uri_folder"}, "uri_folder"),
        ({"path": "azureml:folder:1"}, "uri_folder"),
    ],
)
def test_an_input_is_of_the_type_given_else_its_own_else_a_folder(world, given, kind) -> None:
    jobs = world.server(start=False)

    assert jobs.invoke("e", {"input": given})["inputs"]["input"]["type"] == kind


def test_an_output_path_with_a_suffix_names_the_file(world) -> None:
    jobs = world.server(start=False)
    made = jobs.invoke("e", {**BODY, "output_path": "azureml://datastores/workspaceblobstore/paths/a/b.jsonl"})
    folder = jobs.invoke("e", {**BODY, "output_path": "azureml://datastores/workspaceblobstore/paths/a.b"})

    assert made["outputs"]["score"]["path"] == str(world.folder / "data" / "a" / "b.jsonl")
    assert made["overrides"] == {"settings.output_file_name": "b.jsonl"}
    assert folder["outputs"]["score"]["path"] == str(world.folder / "data" / "a.b" / "predictions.csv")


def test_the_values_of_variables_are_shown_to_nobody(world) -> None:
    jobs = world.server(start=False)
    made = jobs.invoke("e", {**BODY, "environment_variables": {"KEY": "secret"}, "mini_batch_size": 5})

    assert made["overrides"] == {"settings.environment_variables.KEY": "***", "settings.mini_batch_size": 5}
    assert "secret" not in str(made)


def test_a_job_that_is_refused_ends_failed_and_says_why(world, jobs) -> None:
    (world.folder / "in" / "a.txt").unlink()
    (world.folder / "in").rmdir()

    done = world.ends(jobs, jobs.invoke("e", BODY)["name"])

    assert (done["status"], done["error"]["class"]) == ("Failed", "InputNotFound")
    assert done["error"]["message"].startswith("Dataset initialization failed: ")
    assert done["started"] is None


def test_a_job_that_waits_is_cancelled_at_once(world) -> None:
    jobs = world.server(start=False)
    name = jobs.invoke("e", BODY)["name"]

    done = jobs.cancel(name, by="ann")

    assert (done["status"], done["error"]["class"]) == ("Canceled", "JobCanceled")
    assert done["error"]["message"] == f"job {name} was cancelled by ann"
    assert done["creation_context"]["last_modified_by"] == "ann"
    assert jobs.cancel(name)["status"] == "Canceled"
    jobs.start()
    jobs.stop()
    assert world.nodes.begun == []


def test_a_job_that_runs_is_cancelled_and_goes_on_later(world, jobs) -> None:
    world.nodes.hold.set()
    name = jobs.invoke("e", BODY)["name"]
    world.until(lambda: jobs.get(name)["status"] == "Running")

    jobs.cancel(name, by="ann")
    assert world.ends(jobs, name)["status"] == "Canceled"
    world.nodes.hold.clear()
    again = jobs.resume(name)

    assert (again["status"], again["ended"]) == ("Queued", None)
    assert world.ends(jobs, name)["status"] == "Completed"
    for act in (jobs.cancel, jobs.resume, jobs.pause):
        with pytest.raises(Conflict, match=f"job {name} is Completed"):
            act(name)


def test_a_job_that_runs_cannot_be_resumed_or_retried(world, jobs) -> None:
    world.nodes.hold.set()
    name = jobs.invoke("e", BODY)["name"]

    with pytest.raises(Conflict, match="is not ended; only one that Failed or was Canceled"):
        jobs.resume(name)
    with pytest.raises(Conflict, match="not Completed; use job resume"):
        jobs.retry_failed(name)


def test_a_job_that_was_cancelled_before_it_began_can_begin_after_all(world) -> None:
    jobs = world.server(start=False)
    name = jobs.invoke("e", BODY)["name"]
    jobs.cancel(name)
    jobs.resume(name)

    later = world.server()

    assert world.ends(later, name)["status"] == "Completed"


def test_a_paused_job_is_passed_over(world) -> None:
    jobs = world.server(start=False)
    first, second = (jobs.invoke("e", BODY)["name"] for _ in range(2))
    paused = jobs.pause(first)
    assert (paused["status"], paused["detail"]) == ("Queued", "paused")

    later = world.server()

    world.ends(later, second)
    assert later.get(first)["detail"] == "paused"
    later.unpause(first)
    assert world.ends(later, first)["status"] == "Completed"


def test_a_job_that_runs_is_paused(world, jobs) -> None:
    world.nodes.hold.set()
    name = jobs.invoke("e", BODY)["name"]
    world.until(lambda: jobs.get(name)["status"] == "Running")

    jobs.pause(name)
    world.until(lambda: jobs.get(name)["detail"] == "paused")
    assert jobs.get(name)["status"] == "Running"
    world.nodes.hold.clear()
    jobs.unpause(name)

    assert world.ends(jobs, name)["status"] == "Completed"


def test_the_child_means_the_job(world, jobs) -> None:
    name = jobs.invoke("e", BODY)["name"]
    world.ends(jobs, name)

    child = jobs.get(f"{name}_batchscoring")

    assert (child["name"], child["parent_job_name"]) == (f"{name}_batchscoring", name)
    assert (child["type"], child["display_name"], child["status"]) == ("parallel", "batchscoring", "Completed")
    assert jobs.children(name) == [child]
    assert jobs.files(child["name"], "score") == jobs.files(name, "score")
    assert jobs.endpoint_of(child["name"]) == "e"
    for unknown in ("nope", "nope_batchscoring", "_batchscoring", "../x"):
        with pytest.raises(JobNotFound):
            jobs.get(unknown)


def test_a_list_goes_from_the_newest_to_the_oldest_in_pages(world) -> None:
    jobs = world.server(start=False)
    names = [jobs.invoke("e", BODY)["name"] for _ in range(5)][::-1]
    jobs.cancel(names[1])
    jobs.archive(names[2], archived=True)

    page, last = jobs.list(limit=2)
    rest, end = jobs.list(limit=2, after=last or "")

    assert [each["name"] for each in page] == names[:2]
    assert [each["name"] for each in rest] == names[3:]
    assert end is None
    assert [each["name"] for each in jobs.list(limit=9, archived="only")[0]] == [names[2]]
    assert [each["name"] for each in jobs.list(limit=9, archived="include")[0]] == names
    assert [each["name"] for each in jobs.list(limit=9, status="canceled")[0]] == [names[1]]
    assert [each["name"] for each in jobs.list(limit=9, status="Queued", endpoint="E")[0]] == [names[0], *names[3:]]
    assert jobs.list(limit=9, endpoint="other") == ([], None)
    assert jobs.list(limit=9, deployment="other") == ([], None)
    assert jobs.list(limit=9, sees=lambda endpoint: endpoint != "e") == ([], None)
    assert jobs.counts() == {"Queued": 4, "Canceled": 1}
    assert jobs.counts(lambda _endpoint: False) == {}
    with pytest.raises(Mistake, match="after: there is no job 'x'"):
        jobs.list(limit=9, after="x")
    with pytest.raises(Mistake, match="status: 'Lost' is none; one of"):
        jobs.list(limit=9, status="Lost")


def test_what_a_job_left_can_be_read(world, jobs) -> None:
    name = jobs.invoke("e", BODY)["name"]
    folder = world.ends(jobs, name)["folder"]
    open_store(folder).replace("logs/user/x.txt", b"line\n")

    assert jobs.files(name, "score") == ([{"path": "predictions.csv", "size": 2}], None)
    logs, last = jobs.files(name, "default")
    assert {"path": "logs/user/x.txt", "size": 5} in logs
    assert last is None
    assert all(each["path"].startswith("logs/") for each in logs)
    assert jobs.files(name, "default", limit=1) == (logs[:1], logs[0]["path"])
    assert jobs.files(name, "score", after="predictions.csv") == ([], None)
    file, size = jobs.open_file(name, "score", "predictions.csv")
    with file:
        assert (file.read(), size) == (b"x\n", 2)
    with pytest.raises(ResourceNotFound, match="there is no output 'scores'; give score"):
        jobs.files(name, "scores")


@pytest.mark.parametrize(
    ("output", "path"),
    [
        ("score", "nope"),
        ("score", "../../x"),
        ("score", "/etc/passwd"),
        ("score", ""),
        ("score", "a\0b"),
        ("score", ".gristmill/{name}/job.json"),
        ("score", "./.gristmill/{name}/job.json"),
        ("default", "job.json"),
        ("default", "logs/../job.json"),
        ("default", "logs"),
    ],
)
def test_nothing_else_can_be_read(world, jobs, output, path) -> None:
    name = jobs.invoke("e", BODY)["name"]
    world.ends(jobs, name)

    with pytest.raises(ResourceNotFound, match="has no file"):
        jobs.open_file(name, output, path.format(name=name))


def test_the_items_that_failed_are_told_in_pages(world, jobs) -> None:
    name = jobs.invoke("e", BODY)["name"]
    assert jobs.errors(name) == ([], None)
    errors = world.folder / "errors.jsonl"
    errors.write_text('{"item": "a"}\n{"item": "b"}\n{"item": "c"}\n')
    world.ends(jobs, name)
    jobs._records.change(name, lambda record: {"result": {**record.result, "errors": str(errors)}})

    first, place = jobs.errors(name, limit=2)
    rest, end = jobs.errors(name, after=place or 0, limit=2)

    assert [row["item"] for row in [*first, *rest]] == ["a", "b", "c"]
    assert end is None
    with pytest.raises(Mistake, match="after: 999"):
        jobs.errors(name, after=999)


def test_jobs_of_a_compute_begin_in_order_as_many_as_may_be_led(world, monkeypatch) -> None:
    monkeypatch.setattr(dispatcher_module, "MOST", 2)
    world.nodes.hold.set()
    early = world.server(start=False)
    names = [early.invoke("e", {**BODY, "job_name": f"j{number}"})["name"] for number in range(4)]
    jobs = world.server()

    world.until(lambda: [jobs.get(name)["status"] for name in names[:2]] == ["Running"] * 2)
    assert [jobs.get(name)["status"] for name in names[2:]] == ["Queued"] * 2
    world.nodes.hold.clear()
    for name in names:
        assert world.ends(jobs, name)["status"] == "Completed"
    assert set(world.nodes.begun[:2]) == set(names[:2])


def begun(jobs) -> int:
    return sum(row.state is State.BEGUN for row in jobs._records.rows.unfinished())


def test_no_place_stays_empty_while_a_job_waits(world, monkeypatch) -> None:
    monkeypatch.setattr(dispatcher_module, "MOST", 2)
    world.ledger.see_node("n1", {"compute": "c", "slots": 4, "running": []}, 60)
    world.nodes.hold.set()
    jobs = world.server()
    for _ in range(6):
        jobs.invoke("e", BODY)

    world.until(lambda: begun(jobs) == 4)
    looked = jobs._dispatcher.looked
    world.until(lambda: jobs._dispatcher.looked > looked)

    assert begun(jobs) == 4


def test_a_job_is_not_kept_waiting_by_many_huge_ones(world, monkeypatch) -> None:
    monkeypatch.setattr(dispatcher_module, "MOST", 2)
    monkeypatch.setattr(dispatcher_module, "LED_MOST", 4)
    monkeypatch.setattr(dispatcher_module, "OVERTIME_SLICES", 0.3)
    world.ledger.see_node("n1", {"compute": "c", "slots": 1, "running": []}, 60)
    world.nodes.hold.set()
    jobs = world.server(GRISTMILL_SLICE_SECONDS="1")
    names = [jobs.invoke("e", BODY)["name"] for _ in range(6)]
    world.until(lambda: begun(jobs) == 2)

    world.until(lambda: begun(jobs) == 4)
    time.sleep(0.5)  # as long as one more would take

    # No more than are led at once.
    assert sum(jobs.get(name)["detail"].endswith("before it") for name in names) == 1
    assert begun(jobs) == 4


def test_an_urgent_job_begins_before_those_that_wait_no_longer_than_it(world, monkeypatch) -> None:
    monkeypatch.setattr(dispatcher_module, "MOST", 1)
    early = world.server(start=False)
    low = early.invoke("e", {**BODY, "priority": "low"})["name"]
    high = early.invoke("e", {**BODY, "settings": {"priority": "high"}})["name"]
    monkeypatch.setattr(looking_module.time, "time", lambda: early._records.get(high).job.submitted + 1)
    assert early.get(low)["detail"].endswith("; 1 job before it")
    assert early.get(high)["overrides"] == {"settings.priority": "high"}
    assert early.get(high)["settings"]["priority"] == "high"
    jobs = world.server()

    for name in (low, high):
        world.ends(jobs, name)

    assert world.nodes.begun == [high, low]


def test_a_small_job_is_not_kept_waiting_by_a_huge_one(world) -> None:
    world.ledger.see_node("n1", {"compute": "c", "slots": 1, "running": ["huge"]}, 60)
    world.nodes.hold.set()
    world.nodes.slots = threading.Semaphore(1)
    jobs = world.server()
    huge = jobs.invoke("e", {**BODY, "job_name": "huge"})["name"]
    world.until(lambda: jobs.get(huge)["status"] == "Running")
    small = jobs.invoke("e", {**BODY, "job_name": "small"})["name"]

    world.until(lambda: world.ledger.snapshot(huge).share == 1)
    world.until(lambda: jobs.get(small)["detail"].endswith(" s)"))
    assert world.ledger.snapshot(small).share == 0
    assert re.search(r"1 node, busy with job huge \(its time slice ends in (25|30) s\)$", jobs.get(small)["detail"])


def test_other_computes_have_places_of_their_own(world, jobs) -> None:
    world.nodes.hold.set()
    big = jobs.invoke("e", {**BODY, "instance_count": 3})["name"]
    world.until(lambda: jobs.get(big)["status"] == "Running")
    world.resources.deployment = spec.Deployment(name="d", compute="other", model=spec.Model(path=str(world.folder)))
    other = jobs.invoke("e", BODY)["name"]

    world.until(lambda: jobs.get(other)["status"] == "Running")
    assert world.ledger.snapshot(big).share is None


def test_a_job_says_what_it_waits_for(world) -> None:
    world.ledger.see_node("n1", {"compute": "c", "slots": 2, "running": ["big", None]}, 60)
    jobs = world.server(start=False)
    first = jobs.invoke("e", {**BODY, "instance_count": 3})
    second = jobs.invoke("e", BODY)

    head = "waiting for 3 of 3 instances of c: 1 node, 1 of 2 places free, busy with job big"
    assert first["detail"] == head
    assert second["detail"].endswith("busy with job big; 1 job before it")


def test_a_job_on_a_compute_without_nodes_says_so(world, jobs) -> None:
    world.nodes.open.clear()
    name = jobs.invoke("e", BODY)["name"]

    world.until(lambda: jobs._board.find(name))
    found = jobs.get(name)
    assert (found["status"], found["detail"]) == ("Queued", "waiting for 1 of 1 instance of c: no node serves it")

"""What the exporter of metrics sees of a server's jobs."""

from __future__ import annotations

from typing import Any

BODY = {"input": {"path": "azureml:data:1"}}


def test_a_job_is_seen_while_it_is_led_and_for_a_while_after(world: Any, jobs: Any) -> None:
    world.nodes.hold.set()
    name = jobs.invoke("e", BODY)["name"]
    (seen,) = world.until(lambda: [job for job in jobs.observed.jobs(linger=0) if job.looked])
    assert (seen.row.name, seen.row.endpoint, seen.row.deployment) == (name, "e", "d")
    assert seen.status in ("Queued", "Preparing", "Running")
    assert jobs.observed.demand()[seen.row.compute].instances == seen.row.instances
    assert sum(jobs.observed.counts().values()) == 1

    world.nodes.hold.clear()
    world.ends(jobs, name)
    (ended,) = world.until(lambda: [job for job in jobs.observed.jobs(linger=60) if job.row.status])
    assert (ended.row.name, ended.status, ended.looked) == (name, "Completed", 0.0)
    assert world.until(lambda: not jobs.observed.jobs(linger=0))
    assert jobs.observed.counts()["Completed"] == 1
    assert jobs.observed.demand() == {}


def test_of_two_servers_one_tells_of_a_job_and_one_of_the_workspace(world: Any, jobs: Any) -> None:
    other = world.server()
    world.nodes.hold.set()
    world.until(lambda: jobs.observed.dispatches)
    name = jobs.invoke("e", BODY)["name"]
    both = [jobs.observed, other.observed]
    world.until(lambda: any(each.jobs(linger=0) for each in both))
    assert [job.row.name for each in both for job in each.jobs(linger=0)] == [name]
    assert [each.dispatches for each in both] == [True, False]
    assert world.until(lambda: other.observed.looked > 0)
    world.nodes.hold.clear()
    world.ends(jobs, name)


def test_what_waits_is_told_with_its_age(world: Any) -> None:
    jobs = world.server(start=False)
    name = jobs.invoke("e", BODY)["name"]
    asked = jobs.observed.demand()
    (compute,) = asked
    assert asked[compute].queued == 1
    assert 0 <= asked[compute].oldest_seconds < 60
    assert jobs.observed.counts()["Queued"] == 1
    assert jobs.observed.jobs(linger=60) == []
    assert jobs.get(name)["status"] == "Queued"

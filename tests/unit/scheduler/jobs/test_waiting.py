from __future__ import annotations

import pytest

from gristmill import versions
from gristmill_scheduler.jobs.waiting import describe, serving, slots


def node(*running, compute="gpu", slots=1):
    return {"compute": compute, "slots": slots, "running": list(running)}


@pytest.mark.parametrize(
    ("wanted", "alive", "nodes", "ahead", "words"),
    [
        (3, 1, [node("x")], 0, "waiting for 2 of 3 instances of gpu: 1 node, busy with job x"),
        (1, 0, [], 0, "waiting for 1 of 1 instance of gpu: no node serves it"),
        (
            1,
            0,
            [node("x", compute="cpu")],
            2,
            "waiting for 1 of 1 instance of gpu: no node serves it; 2 jobs before it",
        ),
        (1, 0, [node(None)], 1, "waiting for 1 of 1 instance of gpu: 1 node; 1 job before it"),
        (1, 0, [node("me")], 0, "waiting for 1 of 1 instance of gpu: 1 node"),
        (2, 0, [node("a"), node("b")], 0, "waiting for 2 of 2 instances of gpu: 2 nodes, busy with jobs a, b"),
        (
            2,
            0,
            [node("a", "b", "c", None, slots=4)],
            0,
            "waiting for 2 of 2 instances of gpu: 1 node, 1 of 4 places free, busy with jobs a, b and 1 more",
        ),
    ],
)
def test_a_job_says_in_words_what_it_waits_for(wanted, alive, nodes, ahead, words) -> None:
    assert describe("me", "gpu", wanted=wanted, alive=alive, nodes=nodes, ahead=ahead) == words


@pytest.mark.parametrize(
    ("nodes", "turn", "words"),
    [
        ([node("x")], 12.2, "1 node, busy with job x (its time slice ends in 15 s)"),
        ([node("x", "y", slots=2)], 3.0, "1 node, busy with jobs x, y (the next time slice ends in 5 s)"),
        ([node("x")], 0.0, "1 node, busy with job x (its time slice ends now)"),
        ([node("x")], None, "1 node, busy with job x"),
        ([node(None)], 5.0, "1 node"),
    ],
)
def test_a_job_says_when_its_turn_may_come(nodes, turn, words) -> None:
    told = describe("me", "gpu", wanted=1, alive=0, nodes=nodes, turn=turn)

    assert told == f"waiting for 1 of 1 instance of gpu: {words}"


def test_places_are_counted_of_one_compute() -> None:
    nodes = [node(slots=2), node(slots=3), node(compute="cpu", slots=9)]

    assert slots(serving(nodes, "gpu")) == 5


def told(host: str, protocol: int, **more):
    return {**node(None), "host": host, "version": "0.0", "protocol": protocol, **more}


def test_a_node_of_a_version_that_is_no_neighbour_serves_nothing_and_the_job_says_why(monkeypatch) -> None:
    monkeypatch.setattr(versions, "PROTOCOL", 7)
    nodes = [told("old", 5), told("new", 9), told("a", 6), told("b", 8)]

    assert [each["host"] for each in serving(nodes, "gpu")] == ["a", "b"]
    words = describe("me", "gpu", wanted=1, alive=0, nodes=nodes[:2])
    assert words.startswith(
        "waiting for 1 of 1 instance of gpu: node old (Gristmill 0.0) is of protocol 5, and this server"
    )
    assert words.endswith("speaks protocol 7: upgrade that node (and 1 more like it)")
    assert describe("me", "gpu", wanted=1, alive=0, nodes=nodes) == "waiting for 1 of 1 instance of gpu: 2 nodes"


def test_a_job_says_what_a_node_refuses_it_for(monkeypatch) -> None:
    nodes = [told("a", versions.PROTOCOL, refuses="job.json: is of version 2")]

    words = describe("me", "gpu", wanted=1, alive=0, nodes=nodes)

    assert words == "waiting for 1 of 1 instance of gpu: 1 node; job.json: is of version 2"


def test_what_a_node_refuses_for_one_job_is_told_there_alone() -> None:
    nodes = [told("a", versions.PROTOCOL, refuses="node a lacks a secret", refuses_job="me")]

    assert describe("me", "gpu", wanted=1, alive=0, nodes=nodes).endswith(": 1 node; node a lacks a secret")
    assert describe("you", "gpu", wanted=1, alive=0, nodes=nodes).endswith(": 1 node")

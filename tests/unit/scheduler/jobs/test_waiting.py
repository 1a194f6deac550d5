from __future__ import annotations

import pytest

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

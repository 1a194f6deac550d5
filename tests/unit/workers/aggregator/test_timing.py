from __future__ import annotations

from typing import Any

import pytest

from gristmill_workers.aggregator.timing import timing

SECONDS = {"total": 20.0, "queue": 1.0, "prepare": 3.0, "init": 2.0, "score": 10.0, "aggregate": 4.0}
ONE = {"a": {"scorers": 1}}


def split(tallies: dict[str, int], instances: dict[str, Any] = ONE, **seconds: float) -> dict[str, float]:
    found = timing({**SECONDS, **seconds}, tallies, instances)
    assert found is not None
    return found["seconds"]


def test_the_parts_are_the_whole() -> None:
    tallies = {"run:us": 5_000_000, "scorers:encode": 1_000_000, "scorers:fetch": 2_000_000, "scorers:commit": 500_000}

    assert split(tallies) == {
        "waiting": 1.0,
        "preparing": 1.0,
        "init": 2.0,
        "fetching": 2.0,
        "run": 5.0,
        "encoding": 1.0,
        "committing": 0.5,
        "idle": 1.5,
        "aggregating": 4.0,
        "other": 2.0,
    }


def test_what_several_scorers_did_is_shared_among_them() -> None:
    both = split({"run:us": 16_000_000}, {"a": {"scorers": 1}, "b": {"scorers": 1}})

    assert (both["run"], both["idle"]) == (8.0, 2.0)


def test_more_than_there_was_time_for_is_made_to_fit() -> None:
    found = split({"run:us": 30_000_000, "scorers:encode": 10_000_000})

    assert (found["run"], found["encoding"], found["idle"]) == (7.5, 2.5, 0.0)
    assert sum(found.values()) == pytest.approx(SECONDS["total"])


@pytest.mark.parametrize(
    ("tallies", "seconds", "words"),
    [
        (
            {"run:us": 9_900_000},
            {"score": 10.0, "total": 11.0, "queue": 0.1, "prepare": 0.5, "aggregate": 0.1},
            "run() 9",
        ),
        ({"scorers:fetch": 9_000_000}, {}, "fetch 45 %: the store is the limit"),
        ({"scorers:commit": 9_000_000}, {}, "committing 45 %"),
        ({"scorers:encode": 9_000_000}, {}, "encoding 45 %"),
        ({}, {}, "idle 50 %"),
        ({}, {"queue": 50.0, "total": 69.0}, "waiting 72 %"),
        ({}, {"init": 30.0, "prepare": 31.0, "total": 48.0}, "init() 62 %"),
        ({}, {"aggregate": 40.0, "total": 56.0}, "aggregating 71 %"),
        ({}, {"total": 100.0}, "other 82 %"),
    ],
)
def test_the_longest_is_named_and_what_helps(tallies: dict[str, int], seconds: dict[str, float], words: str) -> None:
    found = timing({**SECONDS, **seconds}, tallies, ONE)

    assert found is not None
    assert found["held_back"].startswith(words)


@pytest.mark.parametrize(
    ("seconds", "instances"),
    [({"total": None}, ONE), ({"score": None}, ONE), ({}, {}), ({}, {"a": {"role": "instance"}})],
)
def test_nothing_is_said_of_what_is_not_known(seconds: dict[str, Any], instances: dict[str, Any]) -> None:
    assert timing({**SECONDS, **seconds}, {"run:us": 1}, instances) is None

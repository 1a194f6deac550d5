"""What instances count and time."""

from __future__ import annotations

from collections import Counter

from gristmill_storage.parts import Block
from gristmill_storage.tallies import BOUNDS, PHASES, Tallies, count_outcome, encode


def block(**given: object) -> Block:
    plain = {"mini_batch": 0, "attempt": 1, "items": 4, "succeeded": 4, "failed": 0, "rows": 4, "seconds": 0.02}
    return Block(**{**plain, **given})  # type: ignore[arg-type]


def outcome(**given: object) -> dict[str, int]:
    amounts: Counter[str] = Counter()
    count_outcome(amounts, block(**given))
    return dict(amounts)


def test_what_was_timed_is_taken_once() -> None:
    tallies = Tallies()
    tallies.timed("queue", 0.0004, times=3)
    tallies.timed("queue", 1e9)
    assert tallies.take() == f"queue:0.0005=3 queue:us={1200 + 10**15} queue:inf=1"
    assert tallies.take() == ""


def test_a_duration_on_a_bound_belongs_below_it() -> None:
    for phase in PHASES:
        tallies = Tallies()
        tallies.timed(phase, BOUNDS[3])
        assert tallies.take() == f"{phase}:{BOUNDS[3]:g}=1 {phase}:us={round(BOUNDS[3] * 1e6)}"


def test_an_outcome_tells_the_seconds_of_run() -> None:
    assert outcome() == {"run:0.025": 1, "run:us": 20000}


def test_an_attempt_without_an_answer_has_no_seconds() -> None:
    assert outcome(seconds=0.0) == {}


def test_failed_items_are_counted_by_category_and_their_sum_is_exact() -> None:
    errors = ({"file": "a", "category": "timeout"}, {"file": None, "category": "crash", "items": ["b", "c"]})
    told = outcome(succeeded=0, failed=4, seconds=0.0, errors=errors)
    assert told == {"item:timeout": 1, "item:crash": 2, "item:unknown": 1}


def test_errors_beyond_what_failed_do_not_count() -> None:
    errors = tuple({"file": name, "category": "unreadable"} for name in "abc")
    assert outcome(succeeded=3, failed=1, seconds=0.0, errors=errors) == {"item:unreadable": 1}


def test_what_is_only_known_by_number_is_of_an_unknown_category() -> None:
    assert outcome(succeeded=1, failed=3, seconds=0.0) == {"item:unknown": 3}


def test_it_is_written_as_the_ledger_takes_it() -> None:
    assert encode({"a:b": 1, "c": 22}) == "a:b=1 c=22"


def test_what_scorers_do_beside_run_is_summed_up() -> None:
    tallies = Tallies()
    tallies.beside("fetch", 1.5)
    tallies.beside("fetch", 0.25)
    tallies.beside("encode", 0.0)

    assert tallies.take() == "scorers:fetch=1750000 scorers:encode=0"

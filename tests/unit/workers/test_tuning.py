from __future__ import annotations

import re

import pytest

from gristmill.spec import Deployment, Settings, Tuning
from gristmill_workers.feeding import Feeding
from gristmill_workers.tuning import LINES, Choice, Choices, chosen_once, told


def choice(amount: int) -> Choice:
    return Choice(what="lease size", amount=amount, words=f"{amount} mini-batches: it is so")


def test_what_is_chosen_is_said_again_when_it_is_twice_as_much_or_half() -> None:
    said: list[str] = []
    choices = Choices(said.append)

    for amount in (10, 11, 20, 5, 21, 11, 10):
        choices.made(choice(amount))

    assert [int(re.findall(r"\d+", line)[0]) for line in said] == [10, 21, 10]
    assert said[0] == "lease size: 10 mini-batches: it is so"


def test_a_choice_takes_so_many_lines_and_no_more() -> None:
    said: list[str] = []
    choices = Choices(said.append)

    for number in range(100):
        choices.made(choice(1 if number % 2 else 1000))

    assert len(said) == LINES
    assert [line.endswith("; not said again") for line in said] == [False] * (LINES - 1) + [True]


def lines(*, scorers: int = 2, ahead: int | None = None, base=None, own=None, **tuning: int) -> dict[str, str]:
    settings = Settings(max_concurrency_per_instance=scorers, tuning=Tuning(**tuning))
    deployment = Deployment(settings=settings, environment_variables=own or {})
    found = chosen_once(deployment, cores=8, base=base or {}, ahead=ahead)
    return dict(line.split(": ", 1) for line in found)


def test_what_is_chosen_at_the_start_is_told_with_its_reason() -> None:
    assert lines() == {
        "threads a scorer": "4: 2 scorers on 8 cores",
        "memory": "glibc keeps 64 MiB that a scorer freed: the next mini-batch need not ask the system for them",
        "prefetch": "none: the items are on this machine",
        "flush": (
            "16 MiB of rows or 4096 mini-batches: little is scored again when a node is lost; "
            "sooner after 0.25 s, 10 s later in the job"
        ),
    }
    assert lines(ahead=128)["prefetch"] == "128 items ahead of the scorers: enough for requests to a store to overlap"


def test_what_the_settings_say_is_told() -> None:
    found = lines(threads_per_scorer=3, prefetch_items=5, flush_bytes=100, ahead=5)

    assert found["threads a scorer"] == "3: settings.tuning.threads_per_scorer"
    assert found["prefetch"] == "5 items ahead of the scorers: settings.tuning.prefetch_items"
    assert found["flush"].startswith("100 bytes of rows or 4096 mini-batches: settings.tuning.flush_bytes")


@pytest.mark.parametrize(
    ("given", "tail"),
    [
        (
            {"base": {"OMP_NUM_THREADS": "1"}},
            "4: 2 scorers on 8 cores; but OMP_NUM_THREADS as the environment has it",
        ),
        ({"base": {"OMP_NUM_THREADS": "1"}, "threads_per_scorer": 2}, "2: settings.tuning.threads_per_scorer"),
        (
            {"own": {"MKL_NUM_THREADS": "1"}, "threads_per_scorer": 2},
            "2: settings.tuning.threads_per_scorer; but MKL_NUM_THREADS as the environment has it",
        ),
    ],
)
def test_a_variable_that_says_otherwise_is_told(given, tail) -> None:
    assert lines(**given)["threads a scorer"] == tail


def test_what_keeps_less_memory_is_told() -> None:
    found = lines(base={"MALLOC_TRIM_THRESHOLD_": "1"}, own={"MALLOC_MMAP_THRESHOLD_": "1"})["memory"]

    assert found.endswith("; but MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ as the environment has it")


@pytest.mark.parametrize(
    ("frames", "pace", "words"),
    [
        (None, None, "1 a scorer, of 1 mini-batch at most: none has been scored yet"),
        (
            None,
            0.002,
            "2 a scorer, of 10 mini-batches at most: the next is there when one is done; a mini-batch takes 2 ms",
        ),
        (
            None,
            3.0,
            "1 a scorer, of 1 mini-batch at most: none is to wait behind another; a mini-batch takes 3 s",
        ),
        (5, 3.0, "5 a scorer, of 1 mini-batch at most: settings.tuning.frames_in_flight; a mini-batch takes 3 s"),
    ],
)
def test_what_a_scorer_is_given_at_once_is_told_with_its_reason(frames, pace, words) -> None:
    assert Feeding(frames).choice(pace).words == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(61.23, "61.2 s"), (0.0031, "3.1 ms"), (5e-5, "50 us"), (1e-7, "0.1 us")]
)
def test_times_are_told_in_units_that_fit(seconds, words) -> None:
    assert told(seconds) == words


@pytest.mark.parametrize(
    ("share", "pace", "dealt"),
    [(5, None, 1), (5, 0.1, 1), (5, 1e-3, 5), (50, 1e-3, 20), (2, 1e-5, 50), (100, 1e-5, 100), (900, 1e-5, 256)],
)
def test_a_frame_is_no_smaller_than_what_it_costs(share: int, pace: float | None, dealt: int) -> None:
    assert Feeding().dealt(share, pace) == dealt

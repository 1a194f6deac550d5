from __future__ import annotations

import io
from typing import Any

import pytest

from gristmill.cli.display import open_display
from gristmill.cli.live import LiveDisplay
from gristmill.cli.progress import PlainDisplay, counted, duration, figures, headline, rate
from gristmill.local.events import Progress
from gristmill.states import JobStatus

RUNNING = JobStatus.RUNNING


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def at(done: int, **more: Any) -> Progress:
    return Progress(planned=100, plan_closed=True, done=done, succeeded=done * 10, **more)


def lines_of(*steps: tuple[float, Progress]) -> list[str]:
    """Return the lines of a plain display that is shown a progress at each time."""
    clock, stream = Clock(), io.StringIO()
    with PlainDisplay("job-1", stream, clock) as display:
        for seconds, progress in steps:
            clock.now = 100.0 + seconds
            display.show(RUNNING, "", progress)
    return stream.getvalue().splitlines()


def test_a_job_that_was_refused_has_no_line_but_its_error() -> None:
    stream = io.StringIO()
    with PlainDisplay("job-1", stream) as display:
        display.show(JobStatus.NOT_STARTED, "", Progress())
        display.show(JobStatus.FAILED, "", Progress())

    assert stream.getvalue() == ""


def test_a_job_that_cannot_start_yet_says_once_what_it_waits_for_and_no_more_when_it_is_cancelled() -> None:
    clock, stream = Clock(), io.StringIO()
    with PlainDisplay("job-1", stream, clock) as display:
        for detail in ("", "waiting for a server", "waiting for a server", ""):
            display.show(JobStatus.NOT_STARTED, detail, Progress())
            clock.now += 20
        display.show(JobStatus.CANCEL_REQUESTED, "waiting for a server", Progress())
        display.show(JobStatus.CANCELED, "", Progress())

    assert stream.getvalue() == "job-1: NotStarted: waiting for a server\n"


def test_the_first_and_the_last_line_are_always_there() -> None:
    assert lines_of((0.0, Progress())) == ["job-1: started", "job-1: Running after 0.0 s"]


def test_a_line_comes_when_five_seconds_are_over() -> None:
    steps = [(seconds / 10, at(1)) for seconds in range(120)]

    assert len(lines_of(*steps)) == 2 + 2


def test_a_line_comes_when_a_tenth_is_done() -> None:
    steps = [(done / 100, at(done)) for done in range(101)]

    assert len(lines_of(*steps)) == 2 + 10


def test_a_plan_that_still_grows_does_not_count_as_progress() -> None:
    steps = [(0.1, Progress(planned=10, done=10)), (0.2, Progress(planned=1000, done=20))]

    assert len(lines_of(*steps)) == 2


def test_the_last_line_says_how_it_stands() -> None:
    assert lines_of((2.5, at(3)))[-1] == "job-1: Running after 2.5 s, 3/100 mini-batches, 30 items, 0 failed"


def test_a_job_that_waits_says_for_what() -> None:
    assert headline(JobStatus.QUEUED, "waiting for an instance") == "Queued: waiting for an instance"


def test_the_figures_are_all_there() -> None:
    progress = at(40, failed=2, rate=12.5, eta=125.0, instances=1, scorers=4, retries={"exception": 2, "crash": 1})

    assert figures(progress) == [
        "40/100 mini-batches",
        "402 items",
        "2 failed",
        "12 items/s",
        "3 retries",
        "2:05 left",
        "1 instance, 4 scorers",
    ]


def test_a_growing_plan_is_marked() -> None:
    assert figures(Progress(planned=1200, done=1))[0] == "1/1,200+ mini-batches"


def test_nothing_planned_has_no_figures() -> None:
    assert figures(Progress()) == []


def test_a_job_that_is_done_has_nothing_left() -> None:
    assert not any("left" in word for word in figures(at(100, eta=0.0)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (8.44, "8.4 s"), (59.9, "59.9 s"), (60, "1:00"), (185, "3:05"), (3765, "1:02:45")],
)
def test_a_duration_reads_like_a_clock(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.25, "0.25"), (3.14159, "3.1"), (12345.6, "12,346")])
def test_a_rate_has_no_more_digits_than_it_is_worth(value: float, text: str) -> None:
    assert rate(value) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 items"), (1, "1 item"), (1234, "1,234 items")])
def test_a_number_has_its_noun(number: int, text: str) -> None:
    assert counted(number, "item") == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_live_picture_and_a_pipe_lines() -> None:
    assert isinstance(open_display("j", Terminal()), LiveDisplay)
    assert isinstance(open_display("j", io.StringIO()), PlainDisplay)


def test_the_live_picture_shows_all_figures_and_gives_the_cursor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    terminal = Terminal()
    progress = at(40, failed=2, rate=12.5, eta=125.0, instances=1, scorers=4)
    with open_display("job-1", terminal) as display:
        display.show(JobStatus.QUEUED, "waiting for an instance", Progress())
        display.show(JobStatus.COMPLETED, "", progress)
    text = terminal.getvalue()

    assert "\x1b[?25l" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    for word in ("Completed", "job-1", "40%", "2 failed", "12 items/s", "2:05 left", "4 scorers"):
        assert word in text

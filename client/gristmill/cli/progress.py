"""How far a job is, on stderr: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from gristmill.counts import counted
from gristmill.local.events import Progress
from gristmill.states import JobStatus

#: A plain line comes after this many seconds ...
_LINE_SECONDS: Final = 5.0

#: ... or after one of this many parts of the job, whichever is sooner.
_LINE_PARTS: Final = 10

#: Statuses of a job that never started, if they are its first.
_BEFORE: Final = frozenset(
    {JobStatus.NOT_STARTED, JobStatus.CANCEL_REQUESTED, JobStatus.CANCELED, JobStatus.FAILED},
)


class Display(Protocol):
    """Something that shows a job's progress while it is entered."""

    def show(self, status: JobStatus, detail: str, progress: Progress) -> None:
        """Show where the job stands; called several times a second."""

    def note(self, text: str) -> None:
        """Show a line that is to stay."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End, and leave the last state readable."""


class PlainDisplay:
    """One line at the start, one now and then, one at the end; none for a job that was refused before it started."""

    def __init__(self, job: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the job's name, where to write, and a clock in seconds."""
        self._job, self._stream, self._clock = job, stream, clock
        self._began = self._last_time = clock()
        self._last_part = 0
        self._status = JobStatus.NOT_STARTED
        self._waits = ""
        self._progress = Progress()
        self._started = False

    def __enter__(self) -> Self:
        """Begin; the first line waits until the job is accepted."""
        return self

    def show(self, status: JobStatus, detail: str, progress: Progress) -> None:
        """Write a line when the last one is old enough, or the job has come far enough since."""
        self._status, self._progress = status, progress
        if not self._started and not self._begins(status, detail):
            return
        now = self._clock()
        part = progress.done * _LINE_PARTS // progress.planned if progress.plan_closed and progress.planned else 0
        if now - self._last_time < _LINE_SECONDS and part <= self._last_part:
            return
        self._last_time, self._last_part = now, part
        self._write(", ".join([headline(status, detail), *figures(progress)]))

    def _begins(self, status: JobStatus, detail: str) -> bool:
        """Return whether the job has started, and say so; until then, say once what its start waits for."""
        self._started = status not in _BEFORE
        if self._started:
            self._write("started")
        elif status is JobStatus.NOT_STARTED and detail not in ("", self._waits):
            self._waits = detail
            self._write(headline(status, detail))
        return self._started

    def note(self, text: str) -> None:
        """Write it."""
        self._write(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write the last line."""
        if not self._started:
            return
        words = [f"{self._status} after {duration(self._clock() - self._began)}", *figures(self._progress)[:3]]
        self._write(", ".join(words))

    def _write(self, text: str) -> None:
        self._stream.write(f"{self._job}: {text}\n")
        self._stream.flush()


def headline(status: JobStatus, detail: str) -> str:
    """Return the status, and what the job waits for if it does."""
    return f"{status}: {detail}" if detail else str(status)


def figures(progress: Progress) -> list[str]:
    """Return what there is to say of a job's progress, most important first; nothing while nothing is planned."""
    if not progress.planned:
        return []
    words = [
        f"{progress.done:,}/{planned(progress.planned, closed=progress.plan_closed)}",
        counted(progress.items_done, "item"),
        f"{progress.failed:,} failed",
        f"{rate(progress.rate)} items/s",
    ]
    retries = sum(progress.retries.values())
    if retries:
        words.append(counted(retries, "retry", "retries"))
    if progress.eta is not None and progress.done < progress.planned:
        words.append(f"{duration(progress.eta)} left")
    if progress.instances:
        words.append(counted(progress.instances, "instance") + ", " + counted(progress.scorers, "scorer"))
    return words


def planned(mini_batches: int, *, closed: bool) -> str:
    """Return how many mini-batches are planned; there may be more where the plan is not closed."""
    return counted(mini_batches, "mini-batch") if closed else f"{mini_batches:,}+ mini-batches"


def rate(value: float) -> str:
    """Return items a second in at most three significant digits, thousands apart."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"  # noqa: PLR2004 - from two digits on, fractions are noise


def duration(seconds: float) -> str:
    """Return seconds as `8.4 s`, `3:05` or `1:02:45`."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

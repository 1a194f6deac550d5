"""The live picture of a job on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from gristmill.cli.progress import figures, headline
from gristmill.local.events import Progress
from gristmill.states import JobStatus

#: Columns of the bar.
_BAR_WIDTH = 40

_STYLES = {JobStatus.COMPLETED: "green", JobStatus.FAILED: "red", JobStatus.CANCELED: "yellow"}


class LiveDisplay:
    """A spinner with the status, a bar of the mini-batches, and the figures below it."""

    def __init__(self, job: str, stream: TextIO) -> None:
        """Take the job's name and the terminal's stream."""
        self._job = job
        self._spinner = Spinner("dots")
        self._live = Live(console=Console(file=stream), refresh_per_second=8, redirect_stdout=False)

    def __enter__(self) -> Self:
        """Take the terminal's last lines over."""
        self._live.update(self.render(JobStatus.NOT_STARTED, "", Progress()))
        self._live.start(refresh=True)
        return self

    def show(self, status: JobStatus, detail: str, progress: Progress) -> None:
        """Draw anew."""
        self._live.update(self.render(status, detail, progress))

    def note(self, text: str) -> None:
        """Write it above the picture."""
        self._live.console.print(Text(f"{self._job}: {text}"))

    def line(self, text: str) -> None:
        """Write something of the job's own above the picture, as it is."""
        self._live.console.print(Text(text))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the last picture, and give the cursor back."""
        self._live.stop()

    def render(self, status: JobStatus, detail: str, progress: Progress) -> RenderableType:
        """Return the picture."""
        style = _STYLES.get(status, "cyan")
        head = Table.grid(padding=(0, 1))
        mark: RenderableType = Text("*", style) if status.terminal else self._spinner
        head.add_row(mark, Text(headline(status, detail), style), Text(self._job, "dim"))
        words = figures(progress)
        if not words:
            return Group(head)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=max(1, progress.planned), completed=progress.done, width=_BAR_WIDTH),
            Text(f"{progress.fraction:4.0%}"),
            Text(words[0]),
        )
        red = "red" if progress.failed else ""
        rest = Text(" · ").join(Text(word, red if word.endswith(" failed") else "") for word in words[1:])
        return Group(head, bar, rest)

"""How far an upload is, on stderr: a bar on a terminal, elsewhere a line now and then. Of big uploads only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Bytes from which an upload is told of.
BIG: Final = 32 << 20

#: Seconds between two lines.
LINE_SECONDS: Final = 10.0

_MEGABYTE: Final = 1_000_000


class Uploading:
    """Tells of one upload after another; it is called with the bytes sent and the bytes in all."""

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take where it is told (None: stderr), and a clock in seconds."""
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._bar: tuple[Progress, TaskID] | None = None
        #: When the next line is due; None between two uploads.
        self._due: float | None = None

    def __call__(self, sent: int, size: int) -> None:
        """Tell how far it is."""
        over = sent >= size and self._bar is None and self._due is None
        if size < BIG or over:
            # What ends an archive comes when all of its files are sent.
            return
        if self._stream.isatty():
            self._draw(sent, size)
        else:
            self._write(sent, size)

    def _draw(self, sent: int, size: int) -> None:
        if self._bar is None:
            self._bar = _begin(self._stream, size)
        bar, task = self._bar
        bar.update(task, completed=sent)
        if sent >= size:
            bar.stop()
            self._bar = None

    def _write(self, sent: int, size: int) -> None:
        now = self._clock()
        if sent < size and self._due is not None and now < self._due:
            return
        self._due = None if sent >= size else now + LINE_SECONDS
        self._stream.write(f"uploading: {sent / size:.0%} of {size / _MEGABYTE:,.0f} MB\n")
        self._stream.flush()


def _begin(stream: TextIO, size: int) -> tuple[Progress, TaskID]:
    # Only big uploads to a terminal pay for its import.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = ("uploading", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(file=stream), transient=True, redirect_stdout=False)
    bar.start()
    return bar, bar.add_task("uploading", total=size)

"""Which display of a job's progress fits a stream."""

from __future__ import annotations

import sys
from typing import TextIO

from gristmill.cli.progress import Display, PlainDisplay


def open_display(job: str, stream: TextIO | None = None) -> Display:
    """Return the display that fits the stream (stderr, unless given)."""
    stream = stream or sys.stderr
    if stream.isatty():
        # rich takes as long to import as all of the client, and most runs are piped.
        from gristmill.cli.live import LiveDisplay  # noqa: PLC0415

        return LiveDisplay(job, stream)
    return PlainDisplay(job, stream)

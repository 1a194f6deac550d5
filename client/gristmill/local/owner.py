"""Ends a process of Gristmill whose owner has gone, whatever it is doing: importing, waiting, hanging.

The owner holds the other end of the process's stdin. A process that works reads its end there, and leaves in order; but
one that is still being started, which takes seconds on a busy machine, reads nothing yet. So this is asked for first of
all, before anything that takes time is imported.
"""

from __future__ import annotations

import os
import select
import threading
import time

#: Seconds that are left for leaving in order.
_grace = 0.0


def end_with_owner() -> None:
    """From now on, end this process when its owner has gone: at once, or after the time that `allow` gives it."""
    if hasattr(select, "poll"):
        threading.Thread(target=_watch, name="end with owner", daemon=True).start()


def allow(seconds: float) -> None:
    """Give this process so many seconds to leave in order, from its owner's end on."""
    global _grace  # noqa: PLW0603 - one process has one owner
    _grace = seconds


def _watch() -> None:
    poll = select.poll()
    poll.register(0, 0)
    if any(state & select.POLLHUP for _, state in poll.poll()):
        time.sleep(_grace)
        os._exit(0)

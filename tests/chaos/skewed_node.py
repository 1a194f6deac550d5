"""A node whose clock is wrong: `python skewed_node.py <arguments of gristmill_workers>`, by CHAOS_CLOCK_SECONDS.

The wall clock of Python alone is changed, before anything of ours is imported; the monotonic clock is not, as on a real
machine that was set wrong.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T", int, float)

#: Seconds that the wall clock is ahead.
AHEAD: Final = float(os.environ.get("CHAOS_CLOCK_SECONDS", "0"))


def shift(seconds: float) -> None:
    """Set the wall clock of this process."""
    time.time = _ahead(time.time, seconds)
    time.time_ns = _ahead(time.time_ns, int(seconds * 1e9))


def _ahead(clock: Callable[[], T], by: T) -> Callable[[], T]:
    return lambda: clock() + by


if __name__ == "__main__":
    shift(AHEAD)
    from gristmill_workers.node import main

    sys.exit(main(sys.argv[1:]))

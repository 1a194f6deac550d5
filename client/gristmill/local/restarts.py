"""Which child that ended may be started again, and what is told of it.

A child that was killed has done nothing wrong: it is started again, a few times. One that ends by itself right after
its start, with an error, would do so again: that is the job's error.
"""

from __future__ import annotations

import signal
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final

#: How often one child is started again ...
RESTARTS: Final = 3

#: ... within so many seconds.
WINDOW_SECONDS: Final = 60.0

#: A child that ends with an error this soon after its start has met something that will still be there.
YOUNG_SECONDS: Final = 5.0


class Restarts:
    """Counts the restarts of each child."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock in seconds."""
        self._clock = clock
        self._begun: dict[str, float] = {}
        self._again: defaultdict[str, deque[float]] = defaultdict(deque)

    def began(self, name: str) -> None:
        """Note that a child was started."""
        self._begun[name] = self._clock()

    def allowed(self, name: str, exit_code: int | None) -> bool:
        """Return whether a child that ended so may be started again, and count that."""
        return not self.hopeless(name, exit_code) and self.counted(name)

    def hopeless(self, name: str, exit_code: int | None) -> bool:
        """Return whether it ended by an error of its own, right after its start."""
        return bool(exit_code and exit_code > 0) and self._clock() - self._begun[name] < YOUNG_SECONDS

    def counted(self, name: str) -> bool:
        """Return whether there was not too much of it lately, and count one more."""
        again, now = self._again[name], self._clock()
        while again and now - again[0] > WINDOW_SECONDS:
            again.popleft()
        if len(again) >= RESTARTS:
            return False
        again.append(now)
        return True


def end_in_words(exit_code: int | None) -> str:
    """Return how a process ended, as `subprocess` tells it: `exit code 1` or `signal SIGKILL`."""
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"

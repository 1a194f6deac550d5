"""Ctrl-C and SIGTERM as something that is looked at, not something that bursts in."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupts:
    """Counts the signals that ask for the end while it is entered.

    A handler that raises could do so in the middle of a clean-up. This one notes the signal; whoever waits asks
    `count` many times a second. Only when nobody has asked since the signal before does it raise KeyboardInterrupt.
    """

    def __init__(self) -> None:
        """Begin with none."""
        #: The first signal's number; 0 as long as there was none.
        self.first = 0
        self._count = self._seen = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take SIGINT and SIGTERM over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def count(self) -> int:
        """Return how many there were."""
        self._seen = self._count
        return self._count

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._count += 1
        self.first = self.first or number
        if self._count > self._seen + 1:
            raise KeyboardInterrupt

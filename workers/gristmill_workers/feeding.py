"""How much a scorer is given at once.

Short mini-batches share a frame, so that one of 50 microseconds costs no round trip of its own, and a second frame is
there when the first is done. Long ones go one by one, to whoever is free.
"""

from __future__ import annotations

from typing import Final

from gristmill_workers.tuning import Choice, with_pace

#: Seconds of work that one frame should hold.
FRAME_SECONDS: Final = 0.02

#: Seconds of work in mini-batches below which they are not dealt out evenly: a frame costs more.
LEAST_SECONDS: Final = 0.0005

#: Mini-batches that one frame may hold at most.
FRAME_LIMIT: Final = 256

#: A mini-batch that takes longer than this many seconds is not queued behind another.
ALONE_SECONDS: Final = 0.05


class Feeding:
    """How many frames a scorer holds, of how many mini-batches."""

    def __init__(self, fixed: int | None = None) -> None:
        """Take how many frames it is to be, whatever the pace; None: as the pace asks for."""
        self._fixed = fixed

    def depth(self, pace: float | None) -> int:
        """Return how many frames a scorer holds at once, when a mini-batch takes `pace` seconds (None: unknown)."""
        if self._fixed is not None:
            return self._fixed
        return 1 if pace is None or pace > ALONE_SECONDS else 2

    def size(self, pace: float | None) -> int:
        """Return how many mini-batches a frame may hold."""
        return _worth(FRAME_SECONDS, pace)

    def dealt(self, share: int, pace: float | None) -> int:
        """Return how many mini-batches a frame holds where each would be of so many if all got the same."""
        return max(_worth(LEAST_SECONDS, pace), min(share, self.size(pace)))

    def choice(self, pace: float | None) -> Choice:
        """Return both, and why."""
        depth, size = self.depth(pace), self.size(pace)
        if self._fixed is not None:
            why = "settings.tuning.frames_in_flight"
        elif pace is None:
            why = "none has been scored yet"
        else:
            why = "none is to wait behind another" if depth == 1 else "the next is there when one is done"
        words = with_pace(f"{depth} a scorer, of {size} mini-batch{'es' * (size > 1)} at most: {why}", pace)
        return Choice(what="frames in flight", amount=depth * size, words=words)


def _worth(seconds: float, pace: float | None) -> int:
    return 1 if pace is None else max(1, min(FRAME_LIMIT, int(seconds / pace)))

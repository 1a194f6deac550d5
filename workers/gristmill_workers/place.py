"""A place in an instance's pool of scorers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gristmill_workers.attempts import ProcessAttempts
from gristmill_workers.scorer_process import ScorerProcess
from gristmill_workers.work import Work


@dataclass(eq=False)
class Place:
    """Whoever scores at a place now."""

    process: ScorerProcess
    #: Which of the pool's places it is, from 0: a scorer's successor has the same.
    number: int
    #: Where its attempts are noted, if they are.
    attempts: ProcessAttempts | None
    ready: bool = False
    #: What it was given and has not answered, in order.
    held: deque[Work] = field(default_factory=deque)

    @property
    def waking(self) -> bool:
        """Whether the scorer was kept, and has not begun this job."""
        return self.process.launch.kept is not None and not self.ready

    def takes(self, limit: int, work: Work) -> bool:
        """Whether the scorer is to be given more, when it may hold `limit` mini-batches already."""
        if not self.ready or self.process.blocked:
            return False
        return not self.held or (len(self.held) <= limit and not work.alone and not self.held[0].alone)

"""Where scorers rest between two jobs, with their models loaded.

A node has places for so many instances, and the memory that these need. So no more crews rest than there are places
free: an instance that starts takes the crew that fits it, or else the place of the one that has rested longest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gristmill.counts import counted
from gristmill.spec import Job
from gristmill_workers.crew import REST_SECONDS, Crew

#: Seconds between two looks at those that rest.
LOOK_SECONDS: Final = 1.0

#: Seconds that a crew which is about to rest is waited for: as many as its scorers may take to, and a little.
COMING_SECONDS: Final = REST_SECONDS + 1

#: Seconds that the end of those whose time is over is waited for, when the node leaves.
LEAVE_SECONDS: Final = 1.0

#: Only where the system shows what processes have open can be told whether they let go of their job.
_PROCESSES: Final = Path("/proc/self/fd")

log = logging.getLogger("gristmill.node")


class Bench:
    """The crews of a node that rest. Safe from any thread."""

    def __init__(self, *, places: int, seconds: float) -> None:
        """Take how many instances the node has places for, and how long scorers are kept at most (0: not at all)."""
        self._places = places
        self._seconds = seconds
        self._lock = threading.Condition()
        #: Who has rested longest comes first.
        self._crews: list[Crew] = []
        self._working = 0
        #: How many crews are about to rest, by their keys.
        self._coming: Counter[str] = Counter()
        self._closed = seconds <= 0 or not _PROCESSES.is_dir()
        self._watching = False
        self._watcher: threading.Thread | None = None

    def seconds_of(self, job: Job) -> float:
        """Return for how many seconds scorers of a job are kept; 0: not at all."""
        wanted = job.deployment.settings.keep_scorers_seconds
        seconds = self._seconds if wanted is None else min(self._seconds, wanted)
        return seconds if job.kept_for and not self._closed else 0.0

    @contextmanager
    def place(self, key: str) -> Iterator[Crew | None]:
        """Have a place for an instance while the block runs; give the crew of its key, if one rests ("": none does).

        One that is about to rest is waited for: that takes less time than init() of another.
        """
        with self._lock:
            if key and self._coming[key]:
                self._lock.wait_for(lambda: self._find(key) or not self._coming[key], COMING_SECONDS)
            self._working += 1
            found = self._find(key)
            if found is not None:
                self._crews.remove(found)
            surplus = self._surplus()
        try:
            _end(surplus, "another job needs the place")
            if found is not None and (dead := found.muster()):
                log.warning("%s of %s died", counted(dead, "kept scorer"), found.label)
            yield found
        finally:
            with self._lock:
                self._working -= 1

    @contextmanager
    def coming(self, key: str) -> Iterator[None]:
        """Have others wait for a crew of a key that comes to rest while the block runs."""
        with self._lock:
            self._coming[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._coming[key] -= 1
                if not self._coming[key]:
                    del self._coming[key]
                self._lock.notify_all()

    def keep(self, crew: Crew) -> bool:
        """Let a crew rest whose instance is about to end; False: it must end, too."""
        with self._lock:
            if self._closed:
                return False
            self._crews.append(crew)
            # The place of whoever keeps it counts for it.
            surplus = self._surplus(less=1)
            if not self._watching:
                self._watching = True
                self._watcher = threading.Thread(target=self._watch, name="bench", daemon=True)
                self._watcher.start()
        _end(surplus, "others have rested for less time")
        return True

    def close(self) -> None:
        """End all that rest, and keep none any more."""
        with self._lock:
            self._closed = True
            crews, self._crews = self._crews, []
            self._lock.notify_all()
        _end(crews, "the node leaves")
        if self._watcher is not None:
            self._watcher.join(LEAVE_SECONDS)  # it may be ending others

    def resting(self) -> list[dict[str, Any]]:
        """Return what rests, for those who look at the node: the deployment and how many scorers, a crew each."""
        with self._lock:
            return [{"deployment": crew.label, "scorers": len(crew.processes)} for crew in self._crews]

    def _find(self, key: str) -> Crew | None:
        return next((crew for crew in reversed(self._crews) if key and crew.key == key), None)

    def _surplus(self, less: int = 0) -> list[Crew]:
        """Take out the crews that there is no place for."""
        count = max(0, self._working - less + len(self._crews) - self._places)
        surplus, self._crews = self._crews[:count], self._crews[count:]
        return surplus

    def _watch(self) -> None:
        """End crews whose time is over, or who have died; until none rests."""
        while True:
            with self._lock:
                self._lock.wait(LOOK_SECONDS)
                over = self._take_out(lambda crew: time.monotonic() - crew.resting_since > crew.seconds)
                dead = sum(crew.muster() for crew in self._crews)
                empty = self._take_out(lambda crew: not crew.processes)
                self._watching = more = bool(self._crews)
            if dead:
                log.warning("%s died", counted(dead, "kept scorer"))
            _end(over, "no job came for them")
            _end(empty, "all have died")
            if not more:
                return

    def _take_out(self, which: Callable[[Crew], bool]) -> list[Crew]:
        found = [crew for crew in self._crews if which(crew)]
        self._crews = [crew for crew in self._crews if crew not in found]
        return found


def _end(crews: list[Crew], why: str) -> None:
    for crew in crews:
        crew.dismiss()  # all at once: then nobody waits for the one before
    for crew in crews:
        log.info("ended %s of %s: %s", counted(len(crew.processes), "kept scorer"), crew.label, why)
        crew.end()

"""Scorers that stay together from one job to the next: what they share, how they rest, and why they may not be kept."""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from gristmill.counts import counted
from gristmill_workers import guardian
from gristmill_workers.home import Home
from gristmill_workers.preparation import Prepared
from gristmill_workers.scorer import protocol
from gristmill_workers.scorer_process import ScorerProcess

#: Seconds that scorers may take to rest, or to leave if they cannot, when their job is over.
REST_SECONDS: Final = 5.0

#: Seconds that resting scorers may take to leave: nothing of theirs is waited for.
END_SECONDS: Final = 0.5

#: Seconds after which a scorer rests no more: what its script piles up in memory and on disk goes with it.
LIFE_SECONDS: Final = 86400.0


class Crew:
    """The scorers of an instance that may serve another one."""

    def __init__(self, home: Home, prepared: Prepared, *, key: str, label: str, seconds: float) -> None:
        """Take where they live, which gets what was prepared for them.

        Args:
            home: is closed at their end.
            prepared: what all of them have.
            key: what that of another instance must equal (see `crew_key`).
            label: what they are called.
            seconds: how long they may rest.

        """
        self.home = home
        try:
            self.prepared = prepared.housed(home.path)
        except BaseException:
            home.close()
            raise
        self.key = key
        self.label = label
        self.seconds = seconds
        #: Those that rest, by their places.
        self.processes: dict[int, ScorerProcess] = {}
        #: Since when they rest, and since when there are any, by the clock that never jumps.
        self.resting_since = self._began = time.monotonic()

    def log_dir(self, logs: Path) -> Callable[[str], Path]:
        """Return what tells a process where it finds these logs."""
        return partial(self.home.log_dir, logs=logs)

    def rest(self, processes: Mapping[int, ScorerProcess], places: Iterable[Path]) -> str:
        """Have scorers rest whose job is over; return why they must not be kept, or "".

        Args:
            processes: the scorers, by their places.
            places: the job's own folders on this machine, in which nothing may stay open.

        """
        self.processes = _rested(processes)
        self.home.rest()
        self.resting_since = time.monotonic()
        if not self.processes:
            return "their script ends its work with each job"
        if self.resting_since - self._began > LIFE_SECONDS:
            return "they have worked for a day"
        return _open_in(self.processes.values(), places) or _company(self.processes.values())

    def muster(self) -> int:
        """Take out those that have died since; return how many."""
        dead = [place for place, process in self.processes.items() if not process.alive]
        for place in dead:
            process = self.processes.pop(place)
            process.kill()
            process.close()
        return len(dead)

    def dismiss(self) -> None:
        """Tell those that rest to leave."""
        for process in self.processes.values():
            process.send({"type": "stop"})

    def end(self) -> None:
        """End those that rest, and remove where they lived."""
        self.dismiss()
        _close(self.processes.values(), time.monotonic() + END_SECONDS)
        self.processes.clear()
        self.home.close()


def _rested(processes: Mapping[int, ScorerProcess]) -> dict[int, ScorerProcess]:
    """Return the scorers that rest now; the others have ended."""
    for process in processes.values():
        process.send({"type": "rest"})
    deadline = time.monotonic() + REST_SECONDS
    rested: dict[int, ScorerProcess] = {}
    with selectors.DefaultSelector() as waiting:
        for place, process in processes.items():
            waiting.register(process.results, selectors.EVENT_READ, place)
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                said = _said(processes[key.data])
                if said:
                    waiting.unregister(key.fd)
                if said == "rested":
                    rested[key.data] = processes[key.data]
    _close([process for place, process in processes.items() if place not in rested], deadline)
    return rested


def _said(process: ScorerProcess) -> str:
    """Return whether a scorer has "rested" or is "leaving"; "" where it has not said yet."""
    try:
        frames = process.receive()
    except protocol.ProtocolError:
        return "leaving"
    if frames is None:
        return "leaving"
    said = {header["type"] for header, _ in frames}
    return "rested" if "rested" in said else "leaving" if said & {"stopped", "failed"} else ""


def _close(processes: Iterable[ScorerProcess], deadline: float) -> None:
    for process in processes:
        process.close(max(0.0, deadline - time.monotonic()))


def _open_in(processes: Iterable[ScorerProcess], places: Iterable[Path]) -> str:
    """Return what of a job's own folders scorers still hold open, in words: the next job's lines would go there."""
    roots = tuple(os.path.realpath(place) + os.sep for place in places)
    for process in processes:
        try:
            links = list(Path(f"/proc/{process.pid}/fd").iterdir())
        except OSError as error:
            return f"their open files cannot be seen: {error.strerror}"
        for link in links:
            with contextlib.suppress(OSError):  # it was closed since
                target = str(link.readlink())
                if target.startswith(roots):
                    return f"their script keeps {target} open"
    return ""


def _company(processes: Iterable[ScorerProcess]) -> str:
    """Return that processes run which scorers have begun, in words: their lines would go to the job that is over."""
    others = guardian.company({process.pid: process.mark for process in processes})
    return f"their script leaves {counted(len(others), 'process')} of its own running" if others else ""

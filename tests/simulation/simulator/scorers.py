"""What stands where scorers, inputs and logs are: outcomes that depend on the mini-batch and the attempt alone.

`SimPool` has the door of `gristmill_workers.pool.Pool`; whatever is scored twice, by anybody, gives the same bytes.
"""

from __future__ import annotations

import hashlib
import logging
import types
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.states import Category
from gristmill_storage.parts import Blocks
from gristmill_workers.feeding import Feeding
from gristmill_workers.tuning import Choice
from gristmill_workers.work import Failed, Ready, Scored, ScoredTogether, Work

if TYPE_CHECKING:
    from simulator.world import World


#: Mini-batches that a scorer is given at once, of those that are given by their lines.
TOGETHER = 3


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What scoring a mini-batch comes to."""

    #: Attempts that fail before one succeeds; as many as are allowed: it fails for good.
    failures: int
    #: Whether a failing attempt kills its scorer, too.
    kills_scorer: bool
    #: Times that it takes the whole node with it.
    kills_node: int
    #: Whether its last item alone is an error.
    partial: bool
    seconds: float


def fate_of(world: World, number: int) -> Fate:
    """Return what becomes of a mini-batch, from the seed and its number alone."""
    digest = hashlib.blake2b(f"{world.seed}:{number}".encode(), digest_size=8).digest()
    kind, count, killer, pace = digest[0] / 256, digest[1], digest[2], digest[3]
    allowed = world.attempts
    failures = allowed if kind < 0.05 else 1 + count % max(1, allowed - 1) if kind < 0.2 and allowed > 1 else 0
    return Fate(
        failures=failures if number else 0,  # something succeeds in every job
        kills_scorer=killer < 100,
        kills_node=1 + count % 2 if 0.2 < kind < 0.22 and world.faults.profile in ("crashes", "storm") else 0,
        partial=0.9 < kind < 0.95 and number > 0,
        seconds=0.005 + world.pace * (pace / 256) ** 2,
    )


def rows_of(work_items: tuple[str, ...], *, partial: bool) -> bytes:
    """Return the output's rows of a mini-batch that is scored."""
    items = work_items[:-1] if partial else work_items
    return b"".join(f"{item} scored\n".encode() for item in items)


def answer_of(world: World, work: Work) -> Scored | Failed:
    """Return what an attempt gives."""
    fate = fate_of(world, work.number)
    bad = fate.failures >= world.attempts
    if (work.piece is None or work.piece[0] == 0) if bad else work.attempt <= fate.failures:
        if fate.kills_scorer:
            return Failed(work=work, category=Category.CRASH, message="the scorer died")
        error = {"file": None, "category": Category.EXCEPTION, "message": "it failed", "traceback": ""}
        return Scored(work=work, result={**_result(work, b"", 0), "outcome": "failed", "errors": [error]}, data=b"")
    data = rows_of(work.items, partial=fate.partial)  # a piece is never of one that is partial
    result = _result(work, data, len(work.items) - fate.partial)
    if fate.partial:
        error = {"file": work.items[-1], "category": Category.EXCEPTION, "message": "a bad item", "final": True}
        result["errors"] = [error]
    return Scored(work=work, result=result, data=data)


def _result(work: Work, data: bytes, succeeded: int) -> dict[str, Any]:
    return {
        "n": work.number,
        "outcome": "done",
        "succeeded": succeeded,
        "rows": succeeded,
        "seconds": 0.01,
        "encoding": "text",
        "columns": None,
        "bytes": len(data),
        "errors": [],
        "files": [],
    }


def _together(answer: Scored) -> Scored | ScoredTogether:
    """Return an answer as a scorer gives it to what it was given by its line: by column where all went well."""
    work, result = answer.work, answer.result
    if result["errors"]:
        return answer
    blocks = Blocks(
        mini_batches=[work.number],
        attempt=work.attempt,
        items=[len(work.items)],
        rows=[result["rows"]],
        microseconds=[round(result["seconds"] * 1e6)],
        sizes=[len(answer.data)],
        encoding="text",
    )
    return ScoredTogether(works=[work], blocks=blocks, data=answer.data)


class SimPool:
    """Places that score a few mini-batches at a time, each in virtual time."""

    def __init__(
        self,
        launch: Any,
        places: int,
        *,
        run_seconds: float,
        init_seconds: float,
        attempts: object,
        frames: object = None,
        tallies: object = None,
    ) -> None:
        self._world: World = launch.world
        self._loop = launch.world.loop
        self._process = self._loop.current.process
        self._ready_at = [0.0] * places
        self._told = [False] * places
        #: What each place was given, in order, and when it has answered.
        self._works: list[list[Work]] = [[] for _ in range(places)]
        self._done_at = [0.0] * places
        self.returned: deque[Work] = deque()
        self.idle_deaths = 0
        self.pace: float | None = None

    def start(self) -> None:
        self._ready_at = [self._loop.now + self._world.rng.uniform(0.01, 0.2) for _ in self._ready_at]

    @property
    def ready(self) -> int:
        return sum(self._told)

    @property
    def held(self) -> int:
        return sum(map(len, self._works))

    @property
    def busy(self) -> int:
        return sum(bool(works) for works in self._works)

    @property
    def works(self) -> Any:
        return chain.from_iterable(self._works)

    @property
    def free(self) -> int:
        return sum(told and not works for told, works in zip(self._told, self._works, strict=True))

    def choice(self) -> Choice:
        return Feeding().choice(self.pace)

    def dispatch(self, waiting: deque[Work]) -> None:
        for place, works in enumerate(self._works):
            if not waiting or works or not self._told[place]:
                continue
            works.append(waiting.popleft())
            while works[0].line and len(works) < TOGETHER and waiting and waiting[0].line:
                works.append(waiting.popleft())
            self._done_at[place] = self._loop.now + sum(fate_of(self._world, work.number).seconds for work in works)
            for work in works:
                self._begin(work)

    def _begin(self, work: Work) -> None:
        fate = fate_of(self._world, work.number)
        self._world.began(work, self._process)
        if fate.kills_node > self._world.deaths[work.number]:
            self._world.deaths[work.number] += 1
            self._loop.at(fate.seconds / 2, lambda: self._world.crash(self._process))

    def poll(self, seconds: float, **_: object) -> list[Any]:
        fiber = self._loop.current
        moments = [at for at, told in zip(self._ready_at, self._told, strict=True) if not told]
        moments += [at for at, works in zip(self._done_at, self._works, strict=True) if works]
        fiber.wait(max(0.0001, min([self._loop.now + seconds, *moments]) - self._loop.now))
        return list(self._events())

    def _events(self) -> Any:
        now = self._loop.now + 1e-9
        for place, at in enumerate(self._ready_at):
            if not self._told[place] and at <= now:
                self._told[place] = True
                yield Ready(report={})
        for place, at in enumerate(self._done_at):
            if self._works[place] and at <= now:
                yield from self._answers(place)

    def _answers(self, place: int) -> Any:
        """Yield what became of what a place was given: of the first that kills the scorer on, the rest comes back."""
        works, self._works[place] = self._works[place], []
        self.pace = 0.05 if self.pace is None else self.pace
        for at, work in enumerate(works):
            answer = answer_of(self._world, work)
            yield _together(answer) if isinstance(answer, Scored) and work.line else answer
            if isinstance(answer, Failed):
                self._told[place], self._ready_at[place] = False, self._loop.now + 0.05
                self.returned.extend(works[at + 1 :])
                return

    def processes(self) -> dict[str, int]:
        return {}

    def stop(self) -> None:
        self._works = [[] for _ in self._works]

    kill = stop


def stand_ins(world: World) -> dict[str, Any]:
    """Return what an instance makes ready, by its name in `gristmill_workers.instance`."""
    logs = types.SimpleNamespace(
        system=logging.getLogger("gristmill.node"),
        script_error=lambda *_: None,
        attempts=lambda _: types.SimpleNamespace(failed=lambda _: None, write=lambda: None),
        close=lambda: None,
        performance=None,
    )
    launcher = types.SimpleNamespace(world=world, staging=_Nowhere(), cores=2)
    prepared = types.SimpleNamespace(python=types.SimpleNamespace(python="3"), housed=lambda _: prepared)
    return {
        "prepare": lambda *_, **__: prepared,
        "JobLogs": lambda *_, **__: logs,
        "Launcher": lambda *_, **__: launcher,
        "Performance": lambda *_, **__: types.SimpleNamespace(measured=nullcontext),
        "scratch_folder": lambda *_: nullcontext(Path("scratch")),
    }


class _Nowhere:
    """A folder of which every file is nowhere."""

    def rglob(self, _pattern: str) -> tuple[()]:
        return ()

    def __truediv__(self, _name: object) -> _Nowhere:
        return self

"""The scorers of one instance: feeds them, reads their answers, times them, replaces those that hang or die.

A scorer is given several mini-batches a frame when they are short, so that a mini-batch of 50 microseconds costs no
round trip of its own, and two frames at once, so that it never waits for the next. Long mini-batches go one by one, to
whoever is free.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, takewhile
from typing import Any, Final

from gristmill.states import Category
from gristmill_storage.tallies import Tallies
from gristmill_workers.attempts import Attempts
from gristmill_workers.dialogue import answer_together, answers, frame_of
from gristmill_workers.feeding import Feeding
from gristmill_workers.place import Place
from gristmill_workers.scorer import protocol
from gristmill_workers.scorer_process import Launch, ScorerProcess, begun
from gristmill_workers.tuning import Choice
from gristmill_workers.work import Event, Failed, InitFailure, Ready, Work

#: Seconds between two looks at the progress memories.
WATCH_SECONDS: Final = 0.1

#: How much the latest measurement weighs in the pace.
PACE_WEIGHT: Final = 0.2

#: Of many mini-batches that are answered at once, the pace follows so many: those before weigh nothing any more.
MEASURED: Final = 32

#: A mini-batch counts for so many seconds at least.
LEAST_SECONDS: Final = 1e-5

#: Seconds that a process whose pipe has closed may take to be gone.
DYING_SECONDS: Final = 0.5

#: Seconds that a scorer which was kept may take to begin its next job.
BEGIN_SECONDS: Final = 10.0

#: Seconds that scorers may take to leave by themselves at the end.
LEAVE_SECONDS: Final = 5.0


class Pool:
    """A fixed number of places for scorers. Not thread-safe: one loop owns it."""

    def __init__(
        self,
        launch: Callable[[int], Launch],
        places: int,
        *,
        run_seconds: float,
        init_seconds: float,
        frames: int | None = None,
        attempts: Attempts | None = None,
        tallies: Tallies | None = None,
    ) -> None:
        """Take how to launch a scorer at a place, how many places there are, and how long run() and init() may take.

        A scorer is given so many `frames` at once; None: as the mini-batches' pace asks for.

        Attempts that end are noted in `attempts`, how long mini-batches waited for a scorer in `tallies`.
        """
        self._launch = launch
        self._tallies = tallies
        self._attempts = attempts
        self._run_seconds = run_seconds
        self._init_seconds = init_seconds
        self._feeding = Feeding(frames)
        self._selector = selectors.DefaultSelector()
        self._places: list[Place] = []
        self._wanted = places
        self._watched = time.monotonic()
        self._once_ready = False
        #: Mini-batches that a dead scorer had been given and not begun: to be scored again, at no attempt's cost.
        self.returned: deque[Work] = deque()
        #: Scorers in a row that died while they were in no mini-batch.
        self.idle_deaths = 0
        #: Whether a scorer has failed in anything.
        self.troubled = False
        self._pace: float | None = None
        #: Seconds that every scorer has been in its present mini-batch for at least, when that was last looked at.
        self._slowness = 0.0

    def start(self) -> None:
        """Start a scorer at each place that has none: at first, and where init() has failed."""
        taken = {place.number for place in self._places}
        self._places.extend(self._fill(number) for number in range(self._wanted) if number not in taken)

    @property
    def ready(self) -> int:
        """How many scorers have run init()."""
        return sum(place.ready for place in self._places)

    @property
    def held(self) -> int:
        """How many mini-batches the scorers have been given and not answered."""
        return sum(len(place.held) for place in self._places)

    @property
    def works(self) -> Iterator[Work]:
        """What the scorers have been given and not answered."""
        return (work for place in self._places for work in place.held)

    @property
    def free(self) -> int:
        """How many scorers have nothing to do."""
        return sum(place.ready and not place.held for place in self._places)

    @property
    def busy(self) -> int:
        """How many scorers have something to do; any thread may ask."""
        return sum(bool(place.held) for place in tuple(self._places))

    def processes(self) -> dict[str, int]:
        """Return the process ids of the scorers that there are, by the name of their process; any thread may ask."""
        places = tuple(self._places)
        return {place.attempts.sums.process: place.process.pid for place in places if place.attempts is not None}

    @property
    def pace(self) -> float | None:
        """Seconds that a mini-batch takes, lately: one that was scored, since many fail at once. None before the first.

        Where all scorers are at longer ones now, these count as if they ended now.
        """
        if self._pace is None:
            return None
        return self._pace + PACE_WEIGHT * max(0.0, self._slowness - self._pace)

    def dispatch(self, waiting: deque[Work]) -> None:
        """Give the scorers what they can take of `waiting`, from its left.

        What is to be alone goes to a free scorer, and nothing is queued behind it.
        """
        frame = self._frame_size(len(waiting))
        depth = self._feeding.depth(self.pace)
        for _ in range(depth):
            for place in sorted(self._places, key=lambda place: len(place.held)):
                if not waiting:
                    return
                if place.takes((depth - 1) * frame, waiting[0]):
                    self._give(place, _frame(waiting, frame))

    def choice(self) -> Choice:
        """Return how much a scorer is given at once while this pace lasts."""
        return self._feeding.choice(self.pace)

    def _frame_size(self, waiting: int) -> int:
        return self._feeding.dealt(-(-waiting // (2 * self._wanted)), self.pace)

    def _give(self, place: Place, works: list[Work]) -> None:
        place.held.extend(works)
        if self._tallies is not None and works[0].piece is None:
            # A frame's mini-batches mostly come of one lease, and their times differ by milliseconds if not.
            self._tallies.timed("queue", time.monotonic() - works[0].leased, len(works))
        place.process.send(*frame_of(works))
        if place.process.blocked:
            self._selector.register(place.process.commands, selectors.EVENT_WRITE, place)

    def poll(self, seconds: float, *, fetching: bool = False, committing: bool = False) -> list[Event]:
        """Wait up to `seconds` for something to happen; return what did.

        Scorers that have nothing to do meanwhile wait for what is `fetching`, or else `committing`.
        """
        events: list[Event] = []
        began, free = time.monotonic(), self.free
        found = self._selector.select(min(seconds, WATCH_SECONDS))
        if self._tallies is not None and free and (fetching or committing):
            self._tallies.beside("fetch" if fetching else "commit", free * (time.monotonic() - began))
        for key, mask in found:
            place: Place = key.data
            if place not in self._places:
                continue  # it was ended by an event before this one
            if mask & selectors.EVENT_WRITE:
                self._unblock(place)
            else:
                events.extend(self._read(place))
        if time.monotonic() - self._watched >= WATCH_SECONDS:
            self._watched = time.monotonic()
            self._slowness = self._least_time()
            for place in list(self._places):
                events.extend(self._watch(place))
        return events

    def _unblock(self, place: Place) -> None:
        place.process.flush()
        if not place.process.blocked:
            self._selector.unregister(place.process.commands)

    def _read(self, place: Place) -> Iterable[Event]:
        events: list[Event] = []
        try:
            frames = place.process.receive()
            if frames is None:
                return self._died(place)
            for header, payload in frames:
                events.extend(self._take(place, header, payload))
        except (protocol.ProtocolError, LookupError, TypeError) as error:
            events.extend(self._replace(place, Category.CRASH, f"the scorer wrote nonsense to its node: {error}"))
        return events

    def _take(self, place: Place, header: dict[str, Any], payload: bytes) -> Sequence[Event]:
        kind = header["type"]
        if kind == "ready":
            place.ready = self._once_ready = True
            return [Ready(report=header)]
        if kind == "results":
            return self._answers(place, header["results"], payload)
        if kind == "scored":
            return self._answer_together(place, header, payload)
        if kind == "failed":
            error = header["error"]
            return self._init_failed(place, error["message"], error.get("traceback", ""))
        return []

    def _answers(self, place: Place, results: list[dict[str, Any]], payload: bytes) -> Sequence[Event]:
        events = answers(place.held, results, payload)
        done = [event for event in events if event.result["outcome"] == "done"]
        self.troubled = self.troubled or len(done) < len(events)
        self._measure([event.result["seconds"] for event in done if event.work.piece is None])
        if self._tallies is not None:
            self._tallies.beside("encode", sum(float(result.get("writing") or 0) for result in results))
        self.idle_deaths = 0
        if place.attempts is not None:
            place.attempts.answered([event.work for event in events], results)
        _forget(place.held, events)
        return events

    def _answer_together(self, place: Place, header: dict[str, Any], payload: bytes) -> Sequence[Event]:
        event = answer_together(place.held, header, payload)
        self._measure([microseconds / 1e6 for microseconds in event.blocks.microseconds[-MEASURED:]])
        if self._tallies is not None:
            self._tallies.beside("encode", float(header["writing"]) / 1e6)
        self.idle_deaths = 0
        if place.attempts is not None:
            place.attempts.scored(event)
        _forget(place.held, event.works)
        return [event]

    def _measure(self, measured: Sequence[float]) -> None:
        """Let the pace follow what mini-batches took that were scored just now."""
        if not measured:
            return
        pace = max(measured[0], LEAST_SECONDS) if self._pace is None else self._pace
        for seconds in measured:
            pace += PACE_WEIGHT * (max(seconds, LEAST_SECONDS) - pace)
        self._pace, self._slowness = pace, 0.0

    def _least_time(self) -> float:
        """Return the seconds that every scorer has been in its present mini-batch for at least; 0 where one is not."""
        running = [place.process.running() for place in self._places if place.ready]
        return min((0.0 if number is None else seconds for number, seconds in running), default=0.0)

    def _watch(self, place: Place) -> list[Event]:
        if not place.ready:
            if time.monotonic() - place.process.started <= (BEGIN_SECONDS if place.waking else self._init_seconds):
                return []
            stacks = place.process.dump_stacks()
            return self._init_failed(place, f"init() took longer than {self._init_seconds:g} s", stacks)
        number, seconds = place.process.running()
        if number is None or seconds <= self._run_seconds:
            return []
        stacks = place.process.dump_stacks()
        if place.process.running()[0] != number:
            return []
        message = f"run() took longer than {self._run_seconds:g} s (retry_settings.timeout)"
        return self._replace(place, Category.TIMEOUT, message, stacks)

    def _died(self, place: Place) -> list[Event]:
        if place.ready:
            return self._replace(place, Category.CRASH, "the scorer's process died: {end}", place.process.log_tail())
        return self._init_failed(place, "the scorer's process died in init(): {end}", place.process.log_tail())

    def _init_failed(self, place: Place, message: str, traceback: str) -> list[Event]:
        if place.waking:
            self._end(place, gently=False)
            self._places.append(self._fill(place.number))
            return []
        self.troubled, once_worked = True, self._once_ready
        end = self._end(place, gently=True)
        return [InitFailure(message=message.replace("{end}", end), traceback=traceback, once_worked=once_worked)]

    def _replace(self, place: Place, category: Category, message: str, traceback: str = "") -> list[Event]:
        """End a scorer, start another in its place; the mini-batch that it was in has failed, the others come back."""
        self.troubled = True
        number, seconds = place.process.culprit(), place.process.running()[1]
        end = self._end(place, gently=category is Category.CRASH)
        guilty = next((work for work in place.held if work.number == number), None)
        if guilty is None and number is not None and place.held:
            guilty = place.held[0]  # its memory names none of ours: it was overwritten, and somebody must answer for it
        self.returned.extend(work for work in place.held if work is not guilty)
        self._places.append(self._fill(place.number))
        if guilty is None:
            self.idle_deaths += 1
            return []
        failed = Failed(work=guilty, category=category, message=message.replace("{end}", end), traceback=traceback)
        if place.attempts is not None:
            place.attempts.failed(failed, seconds)
        return [failed]

    def _end(self, place: Place, *, gently: bool) -> str:
        """Take a scorer out; `gently` when it is dying by itself, so that its own exit code is seen."""
        self._places.remove(place)
        for descriptor in (place.process.results, place.process.commands):
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)
        if not gently:
            place.process.kill()
        return place.process.close(DYING_SECONDS)

    def _fill(self, number: int) -> Place:
        launch = self._launch(number)
        attempts = None if self._attempts is None else self._attempts.process(str(launch.start.get("process", "")))
        place = Place(process=begun(launch), number=number, attempts=attempts)
        self._selector.register(place.process.results, selectors.EVENT_READ, place)
        return place

    def release(self) -> dict[int, ScorerProcess]:
        """Let go of the scorers, by their places, for whoever has further use of them; end those that are at work."""
        released = {place.number: place.process for place in self._places if not place.held}
        self._places = [place for place in self._places if place.held]
        self.kill()
        return released

    def stop(self) -> None:
        """Let idle scorers run shutdown() and leave; kill those that take too long, and those that are at work at once.

        What is still scored when a job is over is the loser of two attempts.
        """
        for place in self._places:
            if place.held:
                place.process.kill()
            else:
                place.process.send({"type": "stop"})
        deadline = time.monotonic() + LEAVE_SECONDS
        for place in list(self._places):
            place.process.close(max(0.0, deadline - time.monotonic()))
        self._forget()

    def kill(self) -> None:
        """End every scorer at once."""
        for place in self._places:
            place.process.kill()
        for place in self._places:
            place.process.close()
        self._forget()

    def _forget(self) -> None:
        self._places.clear()
        self._selector.close()


def _frame(waiting: deque[Work], limit: int) -> list[Work]:
    """Take from the left what one frame holds."""
    works = list(takewhile(lambda work: not work.alone, islice(waiting, limit))) or [waiting[0]]
    _forget(waiting, works)
    return works


def _forget(held: deque[Work], answered: Sequence[object]) -> None:
    """Take out what has been answered."""
    for _ in answered:
        held.popleft()

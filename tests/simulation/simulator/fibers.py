"""One virtual clock, and fibers that take turns on it: exactly one runs at any moment, so that a seed replays exactly.

A fiber is a thread that only ever runs while it was handed the turn, and hands it back wherever it waits. Threads are
taken so that the shipped code runs as it is, from the node's task down to the committer's thread: generators would
want a second copy of it.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

#: What a wait returns whose time was over.
TIMEOUT = object()


class Killed(BaseException):
    """The fiber's process is dead: it unwinds, and nothing that it still does has any effect."""


class Violation(BaseException):
    """A promise was broken; no handler of the shipped code may swallow it."""


class Loop:
    """The queue of what is to happen, by virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self.current: Fiber | None = None
        self.fault: BaseException | None = None
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._turn = threading.Lock()
        self._turn.acquire()
        self.fibers: list[Fiber] = []

    def at(self, delay: float, act: Callable[[], None]) -> None:
        """Have something done in `delay` seconds."""
        self._serial += 1
        heapq.heappush(self._queue, (self.now + max(0.0, delay), self._serial, act))

    def run(self, until: float, over: Callable[[], bool]) -> bool:
        """Let things happen until it is over (True), or the time is (False)."""
        while not over():
            if not self._queue or self._queue[0][0] > until:
                return False
            self.now, _, act = heapq.heappop(self._queue)
            self.events += 1
            act()
            if self.fault is not None:
                raise self.fault
        return True

    def end(self) -> None:
        """Unwind every fiber that is left."""
        for fiber in self.fibers:
            fiber.kill()


class _Carrier(threading.Thread):
    """A thread that carries one fiber after the other: starting one costs more than all that a fiber does."""

    idle: ClassVar[deque[_Carrier]] = deque()

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.turn = threading.Lock()
        self.turn.acquire()
        self.body: Callable[[], None] = lambda: None
        self.start()

    def run(self) -> None:
        while True:
            self.turn.acquire()
            self.body()


class Fiber:
    """Something that a process does, step by step."""

    def __init__(self, loop: Loop, process: Any, name: str, body: Callable[[], None]) -> None:
        self.loop = loop
        self.process = process
        self.name = name
        self.ended = False
        self.ticket = 0
        self._killed = False
        self._body = body
        self._value: Any = None
        self._waiters: list[Fiber] = []
        self._carrier: _Carrier | None = None
        loop.fibers.append(self)
        loop.at(0.0, partial(self.step, self.ticket, None))

    def step(self, ticket: int, value: Any) -> None:
        """Let the fiber go on with what it waited for, if it still waits for that."""
        if ticket != self.ticket or self.ended:
            return
        frozen = self.process.frozen_until - self.loop.now
        if frozen > 0:
            self.loop.at(frozen, partial(self.step, ticket, value))
            return
        self._hand_over(value)

    def kill(self) -> None:
        """Unwind the fiber, unless it is the one that runs: that one notices at its next step."""
        if self.ended or self._killed:
            return
        self._killed = True
        if self._carrier is None:
            self.ended = True
        elif self.loop.current is None:
            self._unwind()
        elif self.loop.current is not self:
            self.loop.at(0.0, self._unwind)

    def _unwind(self) -> None:
        if not self.ended:
            self._hand_over(None)

    def _hand_over(self, value: Any) -> None:
        self.ticket += 1
        self._value = value
        assert self.loop.current is None, "only the loop gives the turn away"
        self.loop.current = self
        if self._carrier is None:
            self._carrier = _Carrier.idle.popleft() if _Carrier.idle else _Carrier()
            self._carrier.body = self._run
        self._carrier.turn.release()
        self.loop._turn.acquire()
        self.loop.current = None

    def _run(self) -> None:
        try:
            self._body()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - the loop raises it
            self.loop.fault = self.loop.fault or error
        self.ended = True
        for waiter in self._waiters:
            waiter.wake()
        assert self._carrier is not None
        _Carrier.idle.append(self._carrier)
        self.loop._turn.release()

    def check(self) -> None:
        """Raise where the process is dead."""
        if self._killed:
            raise Killed

    def wait(self, seconds: float | None = None) -> Any:
        """Hand the turn back until something wakes this fiber, or `seconds` are over (`TIMEOUT`)."""
        self.check()
        if threading.current_thread() is not self._carrier or self.loop.current is not self:
            raise Violation(f"{self.name} waits in a thread that is none of the simulator's: shims.py lacks something")
        if seconds is not None:
            self.loop.at(seconds, partial(self.step, self.ticket, TIMEOUT))
        self.loop._turn.release()
        self._carrier.turn.acquire()
        self.check()
        return self._value

    def wake(self, value: Any = None) -> None:
        """End the fiber's present wait."""
        self.loop.at(0.0, partial(self.step, self.ticket, value))

    def join(self, waiter: Fiber, seconds: float | None) -> None:
        """Wait in another fiber for the end of this one."""
        deadline = None if seconds is None else self.loop.now + seconds
        while not self.ended:
            left = None if deadline is None else deadline - self.loop.now
            if left is not None and left <= 0:
                return
            self._waiters.append(waiter)
            waiter.wait(left)


class Process:
    """What dies at once: a node, a scheduler."""

    def __init__(self, loop: Loop, name: str, *, skew: float = 0.0) -> None:
        self.loop = loop
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        #: Until when it cannot reach the ledger, or the store.
        self.cut_until = {"ledger": 0.0, "store": 0.0}
        #: Seconds by which its clock is wrong.
        self.skew = skew
        self.fibers: list[Fiber] = []

    def spawn(self, name: str, body: Callable[[], None]) -> Fiber:
        """Begin another fiber."""
        fiber = Fiber(self.loop, self, f"{self.name}/{name}", body)
        self.fibers.append(fiber)
        return fiber

    def kill(self) -> None:
        """End at once, whatever it is doing."""
        self.alive = False
        for fiber in list(self.fibers):
            fiber.kill()

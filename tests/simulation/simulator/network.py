"""The ledger's server, and the way to it: requests and replies are lost, late, repeated; the server itself goes away.

`Link` is what `Ledger` and its `Connection` are to a process: it names its lease requests, and repeats a call whose
answer did not come, after the same pauses and for a time, as `Connection.call` does (connection.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from simulator.fibers import TIMEOUT, Process

from gristmill.errors import GristmillError, LedgerFailed

if TYPE_CHECKING:
    from simulator.world import World

#: The first and the longest pause between two tries, as in connection.py.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_UNHEARD = object()


class Server:
    """The machine that the ledger and the broker live on."""

    def __init__(self, world: World, ledger: Any) -> None:
        self._world = world
        self.ledger = ledger
        self.away_until = 0.0
        self.frozen_until = 0.0

    def execute(self, name: str, caller: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        """Do one transition; return its answer, or what it raised."""
        world = self._world
        job = args[0] if args else ""
        world.look.before()
        world.checker.before(job, name, named)
        try:
            answer, error = getattr(self.ledger, name)(*args, **named), None
            if isinstance(answer, Iterator):
                answer = list(answer)
        except GristmillError as raised:
            answer, error = None, raised
        if name != "snapshot" or error is not None:
            world.note(caller, name, named, error if error is not None else answer)
        world.checker.after(job, name, named, answer, error)
        return answer, error


class Link:
    """One process' client of the ledger."""

    def __init__(self, world: World, process: Process, *, timeout: float, patience: float) -> None:
        self._world = world
        self._process = process
        self._timeout = timeout
        self._patience = patience
        self._calls = itertools.count(1)
        self._caller = f"{world.rng.getrandbits(48):012x}"
        self._tell: Callable[[str], None] = lambda _: None
        self._told = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        getattr(self._world.server.ledger, name)  # there is such a transition
        return partial(self._call, name)

    def lease(self, job: str, *, request: str | None = None, **named: Any) -> Any:
        request = f"{self._caller}-{next(self._calls)}" if request is None else request
        return self._call("lease", job, request=request, **named)

    def parts(self, job: str) -> Iterator[Any]:
        yield from self._call("parts", job)

    def wait(self, job: str, seconds: float) -> None:
        """See `Ledger.wait`: a server that is away is waited for in silence."""
        loop = self._world.loop
        deadline = loop.now + seconds
        while (left := deadline - loop.now) > 1e-9:
            self._me().wait(min(left, 0.05))
            if self._reaches() and self._world.look.rang(job):
                return

    def tell_waits(self, tell: Callable[[str], None]) -> None:
        """See `Ledger.tell_waits`."""
        self._tell = tell

    def disconnect(self) -> None:
        """Do nothing."""

    def _me(self) -> Any:
        fiber = self._world.loop.current
        assert fiber is not None
        fiber.check()
        return fiber

    def _call(self, name: str, *args: Any, **named: Any) -> Any:
        loop, rng = self._world.loop, self._world.rng
        deadline = loop.now + self._patience
        pause = _FIRST_PAUSE
        while True:
            answer, error = self._try(name, args, named)
            if (answer is _UNHEARD) != self._told:
                self._told = not self._told
                self._tell("waiting for the Redis server" if self._told else "")
            if answer is not _UNHEARD:
                if error is not None:
                    raise error
                return answer
            if loop.now + pause > deadline:
                raise LedgerFailed(f"the ledger cannot be used since {self._patience:g} s: {error}")
            self._me().wait(pause * (0.5 + rng.random() / 2))
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _reaches(self) -> bool:
        now, server = self._world.loop.now, self._world.server
        return now >= max(server.away_until, server.frozen_until, self._process.cut_until["ledger"])

    def _try(self, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        """Send a request once; returns (answer, error), with `_UNHEARD` where nothing came back."""
        me, world = self._me(), self._world
        now, faults = world.loop.now, world.faults
        if self._process.cut_until["ledger"] > now:
            me.wait(self._timeout)
            return _UNHEARD, "no answer"
        if world.server.away_until > now:
            me.wait(0.001)
            return _UNHEARD, "refused"
        if faults.strikes("ledger_crash", now):
            return self._die(name, args, named)
        delay = world.rng.random() * 0.004
        if faults.strikes("ledger_slow", now):
            delay = world.rng.random() * self._timeout
        if faults.strikes("ledger_lost", now):
            me.wait(self._timeout)
            return _UNHEARD, "lost"
        if faults.strikes("ledger_late", now):
            delay = self._timeout * (1 + world.rng.random() * world.lateness)
            faults.note("late", now, delay)
        if world.server.frozen_until > now + delay:
            delay = world.server.frozen_until - now + world.rng.random() * 0.01
        deaf = faults.strikes("ledger_reply", now)
        reply: list[Any] = []
        arrives = partial(self._arrive, name, args, named, None if deaf else (me, me.ticket), reply)
        world.loop.at(delay, arrives)
        quick = deaf and world.rng.random() < 0.5  # a connection that was reset says so at once
        answer = me.wait(delay + 0.001 if quick else self._timeout)
        if answer is TIMEOUT or answer is None:
            return _UNHEARD, "no answer"
        return answer

    def _arrive(self, name: str, args: Any, named: Any, caller: Any, reply: list[Any]) -> None:
        """Do on the server what was asked, and answer."""
        server = self._world.server
        if server.away_until > self._world.loop.now:
            return
        outcome = server.execute(name, self._process.name, args, named)
        if caller is not None:
            fiber, ticket = caller
            fiber.step(ticket, outcome)

    def _die(self, name: str, args: Any, named: Any) -> Any:
        """End the process before or after the call."""
        world = self._world
        if world.rng.random() < 0.5:
            world.loop.at(world.rng.random() * 0.01, partial(self._arrive, name, args, named, None, []))
        world.crash(self._process)
        self._me().check()
        raise AssertionError("a dead fiber goes on")

"""The standard library as the shipped code sees it here: `time`, `threading`, `queue` and `uuid` on the virtual clock.

While a simulation runs, each module of ours that has imported one of them finds these in its place. What they lack is
an AttributeError: code that begins to use more of the real ones is noticed at once.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import types
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

from simulator.fibers import TIMEOUT, Fiber, Loop

from gristmill import log_context

#: When virtual time begins, in seconds since 1970.
EPOCH = 1_795_000_000.0

#: Modules that keep the real ones: they are the world, not what lives in it.
_WORLD = ("gristmill_storage.ledger", "gristmill_storage.memory_store", "gristmill_storage.local_store")


def _me(loop: Loop) -> Fiber:
    fiber = loop.current
    assert fiber is not None, "the world itself cannot wait"
    fiber.check()
    return fiber


def make_time(loop: Loop) -> Any:
    """Return a stand-in for `time`: wall clocks differ between processes, monotonic ones do not run apart."""

    def now() -> float:
        return EPOCH + loop.now + (loop.current.process.skew if loop.current else 0.0)

    return types.SimpleNamespace(
        monotonic=lambda: loop.now + 1000.0,
        perf_counter=lambda: loop.now + 1000.0,
        time=now,
        time_ns=lambda: int(now() * 1e9),
        sleep=lambda seconds: _me(loop).wait(max(0.0, seconds)),
        gmtime=lambda seconds=None: time.gmtime(now() if seconds is None else seconds),
        strftime=lambda form, moment=None: time.strftime(form, time.gmtime(now()) if moment is None else moment),
    )


class Event:
    """`threading.Event`."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._set = False
        self._waiters: list[Fiber] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiters, self._waiters = self._waiters, []
        for fiber in waiters:
            fiber.wake()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            me = _me(self._loop)
            self._waiters.append(me)
            # Whoever is woken was told, even where somebody has cleared it since.
            return me.wait(timeout) is not TIMEOUT or self._set
        return True


class Lock:
    """`threading.Lock` and `RLock`."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._owner: Any = None
        self._depth = 0
        self._free = Event(loop)

    def acquire(self) -> bool:
        me = self._loop.current
        while self._owner is not None and self._owner is not me:
            self._free.clear()
            self._free.wait()
        self._owner, self._depth = me or self, self._depth + 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._free.set()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition(Lock):
    """`threading.Condition`."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop)
        self._told = Event(loop)

    def notify_all(self) -> None:
        self._told.set()

    notify = notify_all

    def wait(self, timeout: float | None = None) -> bool:
        self._told.clear()
        depth, self._depth = self._depth, 1
        self.release()
        found = self._told.wait(timeout)
        self.acquire()
        self._depth = depth
        return found

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        deadline = None if timeout is None else self._loop.now + timeout
        while not predicate():
            left = None if deadline is None else deadline - self._loop.now
            if left is not None and left <= 0:
                return False
            self.wait(left)
        return True


class Semaphore:
    """`threading.Semaphore` and `BoundedSemaphore`."""

    def __init__(self, loop: Loop, value: int = 1) -> None:
        self._left = value
        self._freed = Event(loop)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        while not self._left:
            self._freed.clear()
            if not blocking or not self._freed.wait(timeout):
                return False
        self._left -= 1
        return True

    def release(self) -> None:
        self._left += 1
        self._freed.set()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Thread:
    """`threading.Thread`."""

    def __init__(
        self,
        loop: Loop,
        target: Callable[..., None],
        name: str = "thread",
        args: tuple[Any, ...] = (),
        daemon: bool = True,
    ) -> None:
        self._loop = loop
        self.name = name
        self._body = lambda: target(*args)
        self._fiber: Fiber | None = None

    def start(self) -> None:
        self._fiber = _me(self._loop).process.spawn(self.name, self._body)

    def is_alive(self) -> bool:
        return self._fiber is not None and not self._fiber.ended

    def join(self, timeout: float | None = None) -> None:
        assert self._fiber is not None
        self._fiber.join(_me(self._loop), timeout)


class Executor:
    """`ThreadPoolExecutor`: one thing after the other, in whoever asks."""

    def __init__(self, _loop: Loop, *_: object, **__: object) -> None:
        self.map = map

    def submit(self, work: Callable[..., Any], *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **named))
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)
        return future

    def shutdown(self, **_: object) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class Queue:
    """`queue.Queue`."""

    def __init__(self, loop: Loop, maxsize: int = 0) -> None:
        self._limit = maxsize
        self._items: deque[Any] = deque()
        self._changed = Event(loop)

    def put(self, item: Any) -> None:
        while self._limit and len(self._items) >= self._limit:
            self._changed.clear()
            self._changed.wait()
        self._items.append(item)
        self._changed.set()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        while not self._items:
            self._changed.clear()
            if not block or not self._changed.wait(timeout):
                raise queue.Empty
        item = self._items.popleft()
        self._changed.set()
        return item

    def get_nowait(self) -> Any:
        return self.get(block=False)


def _bound(kind: Callable[..., Any], loop: Loop) -> Callable[..., Any]:
    return lambda *args, **named: kind(loop, *args, **named)


def make_all(loop: Loop, letters: Callable[[], str]) -> dict[Any, Any]:
    """Return the stand-ins, by what they stand in for; `letters` makes 32 hexadecimal ones."""
    names = {"Event": Event, "Lock": Lock, "RLock": Lock, "Condition": Condition, "Thread": Thread}
    names |= {"Semaphore": Semaphore, "BoundedSemaphore": Semaphore}
    lines = {name: getattr(log_context, name) for name in ("about", "carried", "current", "ids", "of")}
    return {
        time: make_time(loop),
        threading: types.SimpleNamespace(**{name: _bound(kind, loop) for name, kind in names.items()}),
        log_context: types.SimpleNamespace(**lines, Thread=_bound(Thread, loop)),
        queue: types.SimpleNamespace(Queue=_bound(Queue, loop), SimpleQueue=_bound(Queue, loop), Empty=queue.Empty),
        ThreadPoolExecutor: _bound(Executor, loop),
        uuid: types.SimpleNamespace(uuid4=lambda: types.SimpleNamespace(hex=letters())),
    }


@contextmanager
def installed(stand_ins: dict[Any, Any]) -> Iterator[None]:
    """Put stand-ins into every module of ours (modules, functions or classes, by identity), for a while."""
    by_id = {id(real): fake for real, fake in stand_ins.items()}
    undo: list[tuple[Any, str, Any]] = []
    for name, module in list(sys.modules.items()):
        if not name.startswith(("gristmill_storage", "gristmill_workers", "gristmill_scheduler")):
            continue
        if name.startswith(_WORLD):
            continue
        for attribute, value in list(vars(module).items()):
            if id(value) in by_id:
                undo.append((module, attribute, value))
                setattr(module, attribute, by_id[id(value)])
    try:
        yield
    finally:
        for module, attribute, value in undo:
            setattr(module, attribute, value)

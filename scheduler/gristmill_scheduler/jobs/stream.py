"""A job's life as it happens: its users' log lines, its status, how far it is, and its document in the end.

Whoever listens is served by looks at the job that all its listeners share: one look each half second, and fewer while
nothing happens. A listener has nothing of its own but its place in the logs, which each `log` tells: whoever lost its
connection gives it back, and is told what follows, no line twice and none left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from gristmill_scheduler.jobs.log_tail import LogTail, sizes
from gristmill_storage.files import Store

#: Seconds between two looks, and the most that they become while nothing happens.
TICK_SECONDS: Final = 0.5
QUIET_SECONDS: Final = 2.0

#: Looks without anything new after which they become rarer.
_QUIET_LOOKS: Final = 10

#: What is told when nothing was for so many seconds: else what lies between takes the connection for dead.
HEARTBEAT: Final = "heartbeat"
HEARTBEAT_SECONDS: Final = 15.0

#: An event's name and its document.
Event = tuple[str, dict[str, Any]]

_PROGRESS: Final = ("mini_batches", "items", "rows", "instances", "scorers", "retries")


@dataclass(frozen=True, kw_only=True)
class View:
    """A job at one moment."""

    document: Mapping[str, Any]
    ended: bool
    #: Bytes of each log file.
    logs: Mapping[str, int]


@dataclass
class _Feed:
    """What the listeners of one job share."""

    look: Callable[[], View]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    listeners: int = 0
    view: View | None = None
    looked: float = float("-inf")
    pause: float = TICK_SECONDS
    quiet: int = 0

    async def now(self) -> View:
        """Return the job as it was at most one pause ago."""
        async with self.lock:
            if self.view is None or time.monotonic() - self.looked >= self.pause * 0.9:
                view = await asyncio.to_thread(self.look)
                self._pace(changed=view != self.view)
                self.view, self.looked = view, time.monotonic()
            return self.view

    def _pace(self, *, changed: bool) -> None:
        self.quiet = 0 if changed else self.quiet + 1
        self.pause = TICK_SECONDS if self.quiet < _QUIET_LOOKS else QUIET_SECONDS


class Streams:
    """The jobs that somebody listens to; lives in one event loop."""

    def __init__(self) -> None:
        """Begin with none."""
        self._feeds: dict[str, _Feed] = {}

    def __len__(self) -> int:
        """Return how many jobs are listened to."""
        return len(self._feeds)

    async def follow(
        self, name: str, folder: Store, document: Callable[[], Mapping[str, Any]], *, place: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Yield a job's events, at last `end`; `heartbeat` where there was none for long.

        Args:
            name: the job's name
            folder: its folder
            document: looks at the job; called in a thread
            place: that of the last `log` that a listener was told whose connection was cut; "": none

        """
        async with self._feed(name, lambda: _look(folder, document)) as feed:
            listener, told = _Listener(LogTail(folder, place)), time.monotonic()
            while True:
                view = await feed.now()
                events = [*listener.changes(view), *await listener.logs(view)]
                if not events and time.monotonic() - told >= HEARTBEAT_SECONDS:
                    events = [(HEARTBEAT, {})]
                for event in events:
                    told = time.monotonic()
                    yield event
                if listener.behind(view):
                    continue
                if view.ended:
                    yield "end", dict(view.document)
                    return
                await asyncio.sleep(feed.pause)

    @asynccontextmanager
    async def _feed(self, name: str, look: Callable[[], View]) -> AsyncIterator[_Feed]:
        feed = self._feeds.setdefault(name, _Feed(look))
        feed.listeners += 1
        try:
            yield feed
        finally:
            feed.listeners -= 1
            if not feed.listeners:
                self._feeds.pop(name, None)


class _Listener:
    """What one listener was told."""

    def __init__(self, tail: LogTail) -> None:
        self._tail = tail
        self._status: Any = None
        self._progress: Any = None
        self._stuck: tuple[Mapping[str, int], bool] | None = None

    def changes(self, view: View) -> list[Event]:
        """Return what is new of status and progress."""
        document, events = view.document, list[Event]()
        status = {"status": document["status"], "detail": document["detail"]}
        if status != self._status:
            self._status = status
            events.append(("status", status))
        progress = document.get("progress")
        if progress:
            counts = {name: progress.get(name) for name in _PROGRESS}
            if counts != self._progress:
                self._progress = counts
                events.append(("progress", dict(progress)))
        return events

    async def logs(self, view: View) -> list[Event]:
        """Return what is new of the logs."""
        if not self.behind(view):
            return []
        found = await asyncio.to_thread(lambda: self._new(view))
        # A line that has no end yet, or a file that cannot be read: it waits for the next look.
        self._stuck = None if found else (view.logs, view.ended)
        return [("log", document) for document in found]

    def _new(self, view: View) -> list[dict[str, Any]]:
        # A place is taken right behind its text: whoever has heard so much, and no more, goes on there.
        new = self._tail.new(view.logs, last=view.ended)
        return [{"file": path, "text": text, "place": self._tail.place} for path, text in new]

    def behind(self, view: View) -> bool:
        """Return whether there is more to tell of a view's logs, and it can be told."""
        return (view.logs, view.ended) != self._stuck and self._tail.behind(view.logs)


def _look(folder: Store, document: Callable[[], Mapping[str, Any]]) -> View:
    # The document first: what a job that has ended wrote is in its logs by then.
    shown = document()
    return View(document=shown, ended=shown["ended"] is not None, logs=sizes(folder))

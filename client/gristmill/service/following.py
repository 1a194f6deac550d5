"""Follows a job over one connection: takes up again where it was cut, and asks now and then where nothing streams."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from gristmill.errors import Mistake, ServerFailed
from gristmill.service.events import ALIVE, Event, read_events
from gristmill.service.http import Http, place
from gristmill.service.told import Told
from gristmill.states import ENDED

#: Seconds without a byte after which a connection is taken for dead.
_SILENCE: Final = 45.0

#: Seconds that a server is waited for that cannot be reached: one that is started anew comes back.
_PATIENCE: Final = 90.0

#: Seconds between two looks where there is no stream: the first, and the longest.
_LOOK: Final = 0.2
_LOOKS: Final = 3.0

_TYPE: Final = "text/event-stream"


class _NoStream(Exception):
    """The server, or a proxy before it, streams nothing."""


class Following:
    """The events of one job until its end, whatever happens to the connection."""

    def __init__(self, http: Http, name: str, *, deadline: float | None = None) -> None:
        """Take the server, the job, and the moment (of `time.monotonic`) at which to stop."""
        self._http = http
        self._name = name
        self._deadline = deadline
        self._heard = time.monotonic()
        #: Where in the logs the last connection was, as the server said; "" where it did not.
        self._place = ""
        #: Of each log file, so that a new connection to a server that says no place tells nothing again.
        self._told: dict[str, Told] = {}

    def events(self) -> Iterator[Event]:
        """Go through log, status, progress and at last end, with `ALIVE` now and then; stop at the deadline.

        Raises:
            GristmillError: there is no such job; ServerFailed where the server is gone for long.

        """
        failures = 0
        while not self._late():
            before = self._heard
            try:
                for event in self._connection():
                    yield event
                    if event.name == "end":
                        return
            except _NoStream:
                yield from self._looks()
                return
            except ServerFailed:
                if time.monotonic() - self._heard > _PATIENCE:
                    raise
            failures = 1 if self._heard > before else failures + 1
            yield ALIVE
            self._http.wait(min(failures, 4))

    def _connection(self) -> Iterator[Event]:
        """Go through what one connection brings."""
        for told in () if self._place else self._told.values():
            told.reconnect()
        for event in self._stream():
            self._heard = time.monotonic()
            yield self._new(event) if event.name == "log" else event
            if self._late():
                return

    def _stream(self) -> Iterator[Event]:
        where = f"{place('jobs', self._name)}/stream"
        seconds = max(0.1, min(_SILENCE, self._left()))
        headers = {"accept": _TYPE, **({"last-event-id": self._place} if self._place else {})}
        try:
            with self._http.stream(where, headers=headers, read_timeout=seconds) as response:
                if not response.headers.get("content-type", "").startswith(_TYPE):
                    raise _NoStream
                self._heard = time.monotonic()
                yield from read_events(response.iter_bytes())
        except Mistake:
            # Where there is no such job, a look says so.
            raise _NoStream from None

    def _new(self, event: Event) -> Event:
        """Return what of a log's text was not told by an earlier connection."""
        self._place = event.id
        told = self._told.setdefault(str(event.data.get("file", "")), Told())
        text = told.new(str(event.data.get("text", "")))
        return replace(event, data={**event.data, "text": text}) if text else ALIVE

    def _looks(self) -> Iterator[Event]:
        """Ask for the job again and again; without logs."""
        seconds, known = _LOOK, ("", "")
        while not self._late():
            document = self._http.get(place("jobs", self._name)).document
            stands = (str(document.get("status")), str(document.get("detail") or ""))
            if stands[0] in ENDED:
                yield Event(name="end", data=document)
                return
            if stands != known:
                yield Event(name="status", data={"status": stands[0], "detail": stands[1]})
            if document.get("progress"):
                yield Event(name="progress", data=document["progress"])
            yield ALIVE
            known = stands
            time.sleep(max(0.0, min(seconds, self._left())))
            seconds = min(_LOOKS, seconds * 1.5)

    def _left(self) -> float:
        return float("inf") if self._deadline is None else self._deadline - time.monotonic()

    def _late(self) -> bool:
        return self._left() <= 0

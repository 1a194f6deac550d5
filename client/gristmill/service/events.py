"""Server-sent events, read from the bytes of a response."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from gristmill.errors import ServerFailed

#: What the server tells when it has had nothing to tell for long.
_HEARTBEAT: Final = "heartbeat"

#: Bytes of one line beyond which this is no stream of ours.
_LONGEST: Final = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a job's stream."""

    #: log, status, progress or end; "" for a sign of life between two.
    name: str
    data: dict[str, Any]
    #: Of a log: the place behind it, which the server takes back; "": none.
    id: str = ""


#: Something came: a comment, or half of an event.
ALIVE: Final = Event(name="", data={})


def read_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Go through the events of a body; between them comes `ALIVE` for each chunk that ends none.

    Raises:
        ServerFailed: the body is no stream of events with JSON in them.

    """
    buffer = bytearray()
    fields: dict[str, list[str]] = {}
    for chunk in chunks:
        buffer += chunk
        if len(buffer) > _LONGEST:
            raise ServerFailed("the server's stream has a line without an end")
        *lines, rest = bytes(buffer).split(b"\n")
        buffer = bytearray(rest)
        for line in lines:
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
            if text:
                _note(fields, text)
            elif fields.get("data"):
                yield _event(fields)
                fields = {}
            else:
                fields = {}
        yield ALIVE


def _note(fields: dict[str, list[str]], line: str) -> None:
    name, _, value = line.partition(":")
    if name:
        fields.setdefault(name, []).append(value.removeprefix(" "))


def _event(fields: dict[str, list[str]]) -> Event:
    try:
        data = json.loads("\n".join(fields["data"]))
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ServerFailed("the server's stream has an event that is no JSON object")
    name = fields.get("event", ["message"])[-1]
    return ALIVE if name == _HEARTBEAT else Event(name=name, data=data, id=fields.get("id", [""])[-1])

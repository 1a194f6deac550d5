"""How a job's bytes go out: files, whole or in part, and events as they happen."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, BinaryIO, Final

from starlette.responses import JSONResponse, Response, StreamingResponse

from gristmill_scheduler.jobs.stream import HEARTBEAT, Event

#: Bytes that are read at once.
_BLOCK: Final = 1 << 20

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

#: What is sent is the user's own: no browser may take it for a page of this server.
_HEADERS: Final = {
    "Accept-Ranges": "bytes",
    "Content-Disposition": "attachment",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a caller's headers ask of a file; "" for those that are not there."""

    #: `Range`; what is no single range of bytes is passed over, as HTTP has it.
    part: str = ""
    #: `If-Range`: the ETag that the part is to be of.
    part_of: str = ""
    #: `If-None-Match`: ETags of what the caller has.
    none_match: str = ""


class AsciiJson(JSONResponse):
    """JSON that can be sent whatever its texts hold: a file's name may be no Unicode."""

    def render(self, content: Any) -> bytes:
        """Return it with every other character escaped."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def send_file(file: BinaryIO, size: int, asked: Asked | None = None) -> Response:
    """Answer with a file, or with the part that is asked for, or that the caller has it; closes it in the end.

    Args:
        file: can seek
        size: its bytes
        asked: which part, and what the caller has

    """
    asked = asked or Asked()
    tag = tag_of(file, size)
    if tag and _is_among(tag, asked.none_match):
        file.close()
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    # A part of what was another file before is of no use to who has the beginning of that.
    part = _part(asked.part if asked.part_of in ("", tag) else "", size)
    if part is None:
        file.close()
        headers = {"Content-Range": f"bytes */{size}"}
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    start, length = part
    headers = {**_HEADERS, "Content-Length": str(length), **({"ETag": tag} if tag else {})}
    whole = length == size
    if not whole:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    return StreamingResponse(
        _blocks(file, start, length),
        status_code=HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT,
        media_type="application/octet-stream",
        headers=headers,
    )


def tag_of(file: BinaryIO, size: int) -> str:
    """Return the ETag of a file: another one after each change; "" where its store says too little."""
    try:
        told = os.fstat(file.fileno())
    except (OSError, AttributeError):
        return ""
    return f'"{told.st_ino:x}-{told.st_mtime_ns:x}-{size:x}"'


def _is_among(tag: str, header: str) -> bool:
    return header.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in header.split(","))


def send_events(events: AsyncGenerator[Event, None]) -> Response:
    """Answer with events as they happen."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(events), media_type="text/event-stream", headers=headers)


async def _lines(events: AsyncGenerator[Event, None]) -> AsyncIterator[str]:
    async with aclosing(events):
        async for event, document in events:
            yield ": still here\n\n" if event == HEARTBEAT else _event(event, document)


def _event(event: str, document: dict[str, Any]) -> str:
    # The place in the logs is the event's id: clients send the last one back by themselves. An empty one clears it.
    place = f"id: {document['place']}\n" if event == "log" else ""
    shown = {name: value for name, value in document.items() if name != "place"} if event == "log" else document
    return f"{place}event: {event}\ndata: {json.dumps(shown)}\n\n"


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """Return where a part begins and its length; None where there are no such bytes."""
    match = _RANGE.fullmatch(asked.strip()) if asked else None
    if match is None or match.groups() == ("", ""):
        return 0, size
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        return (size - length, length) if length else None
    start, end = int(first), min(int(last) if last else size - 1, size - 1)
    if last and int(last) < start:
        return 0, size
    return (start, end - start + 1) if start < size else None


def _blocks(file: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while length > 0:
            data = file.read(min(_BLOCK, length))
            if not data:
                return
            length -= len(data)
            yield data

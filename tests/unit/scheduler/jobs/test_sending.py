from __future__ import annotations

import asyncio
import io

import pytest

from gristmill_scheduler.jobs.sending import AsciiJson, send_events, send_file

DATA = b"0123456789"


def sent(response) -> bytes:
    async def gather() -> bytes:
        return b"".join(
            [piece if isinstance(piece, bytes) else piece.encode() async for piece in response.body_iterator]
        )

    return asyncio.run(gather())


@pytest.mark.parametrize(
    ("asked", "status", "data", "told"),
    [
        (None, 200, DATA, None),
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-500", 206, b"56789", "bytes 5-9/10"),
        ("bytes=0-", 200, DATA, None),
        ("bytes=-50", 200, DATA, None),
        ("bytes=0-1,3-4", 200, DATA, None),
        ("bytes=5-2", 200, DATA, None),
        ("items=0-1", 200, DATA, None),
        ("bytes=-", 200, DATA, None),
    ],
)
def test_a_file_goes_out_whole_or_in_part(asked, status, data, told) -> None:
    file = io.BytesIO(DATA)
    response = send_file(file, len(DATA), asked)

    assert (response.status_code, response.headers.get("content-range")) == (status, told)
    assert response.headers["content-length"] == str(len(data))
    assert sent(response) == data
    assert file.closed


@pytest.mark.parametrize(("asked", "size"), [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_a_part_that_is_not_there_is_refused(asked, size) -> None:
    file = io.BytesIO(DATA[:size])
    response = send_file(file, size, asked)

    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{size}")
    assert file.closed


def test_an_empty_file_goes_out() -> None:
    assert sent(send_file(io.BytesIO(b""), 0, None)) == b""


def test_events_go_out_as_a_browser_reads_them() -> None:
    async def events():
        yield "log", {"text": "a\nb"}
        yield "heartbeat", {}

    assert sent(send_events(events())) == b'event: log\ndata: {"text": "a\\nb"}\n\n: still here\n\n'


def test_a_name_that_is_no_unicode_can_be_sent() -> None:
    assert AsciiJson({"path": "a\udcff"}).body == b'{"path":"a\\udcff"}'

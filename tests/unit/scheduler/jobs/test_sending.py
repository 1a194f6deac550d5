from __future__ import annotations

import asyncio
import io

import pytest

from gristmill_scheduler.jobs.sending import AsciiJson, Asked, send_events, send_file, tag_of

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
    response = send_file(file, len(DATA), Asked(part=asked or ""))

    assert (response.status_code, response.headers.get("content-range")) == (status, told)
    assert response.headers["content-length"] == str(len(data))
    assert sent(response) == data
    assert file.closed


@pytest.mark.parametrize(("asked", "size"), [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_a_part_that_is_not_there_is_refused(asked, size) -> None:
    file = io.BytesIO(DATA[:size])
    response = send_file(file, size, Asked(part=asked))

    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{size}")
    assert file.closed


def test_a_file_that_the_caller_has_is_not_sent_again_until_it_changes(tmp_path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_bytes(DATA)

    def ask(**asked):
        file = path.open("rb")
        response = send_file(file, path.stat().st_size, Asked(**asked))
        data = sent(response) if response.status_code in {200, 206} else response.body
        assert file.closed
        return response, data

    first, _ = ask()
    tag = first.headers["etag"]
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again, data = ask(none_match=header, part="bytes=0-1")
        assert (again.status_code, again.headers["etag"], data) == (304, tag, b"")
        assert "content-length" not in again.headers or again.headers["content-length"] == "0"
    assert ask(none_match='"other"')[1] == DATA
    assert ask(part="bytes=8-", part_of=tag)[1] == b"89"

    changed = tmp_path / "new"
    changed.write_bytes(DATA[::-1])
    changed.replace(path)
    assert ask(none_match=tag)[1] == DATA[::-1], "as long as it was, and another"
    whole, data = ask(part="bytes=8-", part_of=tag)
    assert (whole.status_code, data) == (200, DATA[::-1]), "a part of the old one is no part of the new one"


def test_a_file_whose_store_says_too_little_has_no_tag() -> None:
    file = io.BytesIO(DATA)
    assert tag_of(file, 10) == ""
    assert send_file(file, 10, Asked(none_match="*", part="bytes=0-1", part_of='"x"')).status_code == 200


def test_an_empty_file_goes_out() -> None:
    assert sent(send_file(io.BytesIO(b""), 0)) == b""


def test_events_go_out_as_a_browser_reads_them() -> None:
    async def events():
        yield "log", {"text": "a\nb", "place": "p="}
        yield "heartbeat", {}
        yield "log", {"text": "c", "place": ""}

    assert sent(send_events(events())) == (
        b'id: p=\nevent: log\ndata: {"text": "a\\nb"}\n\n: still here\n\nid: \nevent: log\ndata: {"text": "c"}\n\n'
    )


def test_a_name_that_is_no_unicode_can_be_sent() -> None:
    assert AsciiJson({"path": "a\udcff"}).body == b'{"path":"a\\udcff"}'

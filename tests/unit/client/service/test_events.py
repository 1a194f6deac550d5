from __future__ import annotations

import pytest

from gristmill.errors import ServerFailed
from gristmill.service.events import ALIVE, Event, read_events

STREAM = (
    ': hello\n\nevent: status\ndata: {"status": "Running"}\n\n'
    "event: heartbeat\ndata: {}\n\n"
    'event: log\nid: 7\ndata: {"text":\ndata:  "ä\u2028b"}\r\n\r\nevent: nothing\n\ndata: {"a": 1}\n\n'
).encode()

EVENTS = [
    Event(name="status", data={"status": "Running"}),
    Event(name="log", data={"text": "ä\u2028b"}, id="7"),
    Event(name="message", data={"a": 1}),
]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_read_however_they_are_cut(size: int) -> None:
    chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]

    assert [event for event in read_events(chunks) if event is not ALIVE] == EVENTS


def test_a_comment_is_a_sign_of_life() -> None:
    assert list(read_events([b": still here\n\n"])) == [ALIVE]


def test_half_an_event_at_the_end_is_none() -> None:
    assert [event for event in read_events([b'event: end\ndata: {"a"']) if event is not ALIVE] == []


@pytest.mark.parametrize("data", [b"data: nothing\n\n", b"data: [1]\n\n"])
def test_what_is_no_object_is_no_stream_of_ours(data: bytes) -> None:
    with pytest.raises(ServerFailed, match="no JSON object"):
        list(read_events([data]))


def test_a_line_without_an_end_is_no_stream_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.service.events._LONGEST", 10)

    with pytest.raises(ServerFailed, match="without an end"):
        list(read_events([b"x" * 11]))

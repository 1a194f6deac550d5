from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from gristmill import versions
from gristmill.errors import LedgerFailed, OtherVersion
from gristmill_storage.queue import AGGREGATE, KEY_PREFIX, RUN_INSTANCE, Message, Queue

CALLS: dict[str, Callable[[Queue], object]] = {
    "length": lambda queue: queue.length("c"),
    "waiting": lambda queue: queue.waiting("c", "j"),
    "send_instance": lambda queue: queue.send_instance("c", Message(job="j", folder="/f")),
    "send_aggregate": lambda queue: queue.send_aggregate("c", Message(job="j", folder="/f")),
    "remove": lambda queue: queue.remove("c"),
}


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of a server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def closed() -> str:
    """Address where nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_never_answers_is_a_ledger_that_failed(silent: str, call: str) -> None:
    queue = Queue(silent, timeout=0.2)
    began = time.monotonic()

    with pytest.raises(LedgerFailed, match="the queue of compute c cannot be"):
        CALLS[call](queue)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_is_gone_is_a_ledger_that_failed(closed: str, call: str) -> None:
    with pytest.raises(LedgerFailed, match="the queue of compute c cannot be"):
        CALLS[call](Queue(closed, timeout=0.2))


def test_messages_wait_until_the_queue_is_removed(redis_url: str) -> None:
    queue = Queue(redis_url)
    queue.send_instance("c", Message(job="j", folder="/f"))
    assert queue.length("c") == 1

    queue.remove("c")

    assert queue.length("c") == 0
    queue.close()


def test_what_lies_in_a_queue_is_told_job_by_job(redis_url: str) -> None:
    queue = Queue(redis_url)
    first, second = Message(job="j", folder="/f", slot=3), Message(job="j", folder="/f", partial=True)
    queue.send_instance("c", Message(job="other", folder="/f"))
    queue.send_instance("c", first)
    queue.send_aggregate("c", second)
    queue.send_instance("d", first)
    with redis.from_url(redis_url) as client:
        for nonsense in (
            "no JSON",
            "[]",
            "{}",
            '{"headers": {"task": "x"}, "body": "W10="}',
            '{"headers": 1, "body": 2}',
        ):
            client.lpush(f"{KEY_PREFIX}gristmill.c", nonsense)

    assert queue.waiting("c", "j") == [(AGGREGATE, second), (RUN_INSTANCE, first)]
    assert queue.waiting("c", "nobody") == []
    queue.remove("c")
    queue.remove("d")
    queue.close()


def test_a_message_comes_out_as_it_went_in() -> None:
    message = Message(job="j", folder="/f", slot=3, publish=False, partial=True, traceparent="00-1-2-01")

    assert Message.from_json(message.to_json()) == message


def test_what_an_older_scheduler_sends_is_whole() -> None:
    document = {"version": versions.PROTOCOL, "job": "j", "folder": "/f"}

    assert Message.from_json(document) == Message(job="j", folder="/f", slot=0, publish=True, partial=False)


@pytest.mark.parametrize("document", [{}, {"version": "1", "job": "j", "folder": "/f"}, {"version": 1, "job": ""}])
def test_what_is_no_message_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a message"):
        Message.from_json(document)


@pytest.mark.parametrize(("theirs", "older"), [(5, "the scheduler that sent it"), (9, "this node")])
def test_a_message_of_a_protocol_that_is_no_neighbour_is_refused_and_the_older_side_is_named(
    theirs: int, older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"version": theirs, "job": "j", "folder": "/f"}
    monkeypatch.setattr(versions, "PROTOCOL", 7)

    with pytest.raises(OtherVersion, match=f"a message of job j is of protocol {theirs}, .* upgrade {older}$"):
        Message.from_json(document)


@pytest.mark.parametrize("theirs", [6, 7, 8])
def test_a_message_of_a_neighbour_is_read(theirs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    message = Message(job="j", folder="/f", slot=2)
    monkeypatch.setattr(versions, "PROTOCOL", theirs)
    document = message.to_json()
    monkeypatch.setattr(versions, "PROTOCOL", 7)

    assert (document["version"], Message.from_json(document)) == (theirs, message)

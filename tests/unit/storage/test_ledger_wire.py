"""The ledger's own way to a server on a unix socket: it answers as redis-py does, and its faults are told apart."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import LedgerFailed
from gristmill_storage.ledger import Entry, Lease, Ledger
from gristmill_storage.ledger.wire import Client, Refused, address, speaks


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    made = Client(redis_url, 5)
    yield made
    made.close()


@contextlib.contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A server that answers each command of one connection by the next of these, then closes it."""
    with tempfile.TemporaryDirectory(prefix="gm") as folder, socket.socket(socket.AF_UNIX) as listening:
        path = str(Path(folder) / "s")
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                for answer in answers:
                    connection.recv(65536)
                    with contextlib.suppress(BrokenPipeError):
                        for at in range(0, len(answer), 7):
                            connection.sendall(answer[at : at + 7])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"unix://{path}?db=0"
        finally:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as last:
                last.connect(path)
            thread.join(10)


def redis_py(url: str) -> Any:
    import redis

    return redis.Redis.from_url(url, decode_responses=True, protocol=2)


CALLS: dict[str, Callable[[Any], Any]] = {
    "a hash": lambda client: client.hgetall("hash"),
    "no hash": lambda client: client.hgetall("nothing"),
    "a key": lambda client: client.exists("hash", "nothing"),
    "some of a hash": lambda client: client.hscan("hash", 0, count=10),
    "a field less": lambda client: client.hdel("hash", "a", "b"),
    "an element": lambda client: client.brpop(["list"], timeout=1),
    "no element": lambda client: client.brpop(["nothing"], timeout=0.01),
    "nested answers": lambda client: client.eval("return {1, 'a', {2, {'\\195\\188'}}, false}", 1, "hash", "x"),
    "a long text": lambda client: client.eval("return string.rep('x', 300000)", 1, "hash"),
    "words of all kinds": lambda client: client.eval("return ARGV", 1, "hash", 1, "ü", 0.5, b"\0\r\n", ""),
}


@pytest.mark.parametrize("call", CALLS)
def test_it_answers_as_redis_py_does(client: Client, redis_url: str, call: str) -> None:
    library = redis_py(redis_url)
    try:
        answers = []
        for each in (library, client):
            library.flushall()
            library.hset("hash", mapping={"a": "1", "ä": "\r\n"})
            library.rpush("list", "one")
            answers.append(CALLS[call](each))
    finally:
        library.flushall()
        library.close()

    assert answers[1] == answers[0]


def test_it_uses_the_database_of_its_address(redis_url: str) -> None:
    library = redis_py(redis_url.replace("db=0", "db=3"))
    other = Client(redis_url.replace("db=0", "db=3"), 5)
    try:
        library.hset("hash", "a", "1")

        assert other.hgetall("hash") == {"a": "1"}
    finally:
        library.flushall()
        library.close()
        other.close()


def test_what_the_server_refuses_is_told_in_its_words_and_the_connection_is_kept(client: Client) -> None:
    with pytest.raises(Refused, match=r"^NOSCRIPT "):
        client.evalsha("0" * 40, 1, "x")

    assert client.exists("x") == 0
    assert len(client._free) == 1


def test_threads_have_connections_of_their_own(client: Client) -> None:
    took: list[Any] = []
    waiting = threading.Thread(target=lambda: took.append(client.brpop(["list"], timeout=20)))
    waiting.start()
    while "blocked_clients:1" not in client.ask("INFO", "clients"):
        assert waiting.is_alive()
    client.eval("return redis.call('RPUSH', 'list', 'one')", 0)
    waiting.join(20)

    assert took == [("list", "one")]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"?\r\n", ValueError),
        (b"$3\r\nabcde", ValueError),
        (b"$x\r\n", ValueError),
        (b"*1\r\n" * 40, ValueError),
        (b"x" * 200_000, ValueError),
        (b"", OSError),
        (b"$30\r\nabc", OSError),
        (b"$2\r\n\xff\xff\r\n", ValueError),
    ],
)
def test_nonsense_and_silence_are_told_apart(answer: bytes, fault: type[Exception]) -> None:
    with answering(answer) as url, pytest.raises(fault):
        Client(url, 5).exists("x")


def test_a_ledger_on_such_a_server_fails_with_a_word(tmp_path: Path) -> None:
    with (
        answering(b"$23\r\nredis_version:7.2.4\r\n\r\n\r\n", b"*1\r\n:5\r\n") as url,
        pytest.raises(LedgerFailed, match="renew"),
    ):
        Ledger(url, patience=0.1).renew("job", instance="a", info={})


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("unix:///run/s?db=0", ("/run/s", 0)),
        ("unix:///run/a%20b", ("/run/a b", 0)),
        ("unix:///run/s?db=7", ("/run/s", 7)),
        ("unix://user:secret@/run/s", None),
        ("unix:///run/s?db=0&password=secret", None),
        ("unix:///run/s?db=x", None),
        ("redis://127.0.0.1:6379/0", None),
        ("rediss://127.0.0.1:6379/0", None),
    ],
)
def test_it_takes_plain_unix_sockets_alone(url: str, known: tuple[str, int] | None) -> None:
    assert speaks(url) is (known is not None)
    if known is not None:
        assert address(url) == known


@pytest.mark.parametrize("options", ["", "&client_name=library"])
def test_a_job_lives_its_life_with_and_without_the_library(redis_url: str, options: str) -> None:
    ledger = Ledger(redis_url + options)
    ledger.open("job", epoch="e", lease_seconds=8, error_threshold=-1)
    ledger.extend("job", first=0, count=4, items=8, size=80, closed=True)
    ledger.register("job", instance="a", info={"ü": 1})
    lease = ledger.lease("job", instance="a", limit=10)
    assert isinstance(lease, Lease)
    done = Entry(token=lease.token, first=0, last=3, items=8, succeeded=8, failed=0, rows=8, size=40)
    ledger.commit("job", instance="a", part="p", entries=[done])
    ledger.wait("job", 5)
    ledger.announce("job", folder="/ü")

    assert ledger.snapshot("job").state == "scored"
    assert list(ledger.parts("job")) == [("p", [(0, 3)])]
    assert ledger.announced() == {"job": "/ü"}
    ledger.close("job", status="Completed")
    assert ledger.announced() == {}
    ledger.disconnect()

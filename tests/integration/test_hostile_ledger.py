"""A server that answers nonsense: every call of the ledger ends soon, with an error that says so, and no other."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gristmill.errors import LedgerFailed
from gristmill_storage.ledger import Entry, Ledger

INFO = b"redis_version:7.2.0\r\n"


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(data), data)


def flat(*values: object) -> bytes:
    parts = [b":%d\r\n" % value if isinstance(value, int) else bulk(str(value).encode()) for value in values]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


class Server(socketserver.ThreadingTCPServer):
    """Speaks just enough of the protocol to be asked, then says what it was told to say."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: bytes | None, info: bytes) -> None:
        self.answer, self.info = answer, info
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        while words := self._command():
            kind = words[0].upper()
            if kind == b"INFO":
                self.wfile.write(self.server.info)
            elif kind in (b"EVALSHA", b"EVAL", b"EXISTS", b"HSCAN", b"BRPOP", b"HGETALL", b"HSET", b"HDEL"):
                if self.server.answer is None:
                    return
                self.wfile.write(self.server.answer)
            else:
                self.wfile.write(b"+PONG\r\n" if kind == b"PING" else b"+OK\r\n")

    def _command(self) -> list[bytes]:
        try:
            head = self.rfile.readline()
            if not head.startswith(b"*"):
                return []
            words = []
            for _ in range(int(head[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2])
        except (OSError, ValueError):
            return []
        return words


@pytest.fixture
def serve() -> Iterator[Callable[..., Ledger]]:
    servers: list[Server] = []
    ledgers: list[Ledger] = []

    def make(answer: bytes | None, info: bytes = bulk(INFO)) -> Ledger:
        server = Server(answer, info)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        host, port = server.server_address[:2]
        ledgers.append(Ledger(f"redis://{host}:{port}", timeout=0.15, patience=0.2))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        ledger.disconnect()
    for server in servers:
        server.shutdown()
        server.server_close()


ENTRY = Entry(token="1-1", first=0, last=0, items=1, succeeded=1, failed=0, rows=1, size=1)

CALLS: dict[str, Callable[[Ledger], Any]] = {
    "open": lambda it: it.open("j", epoch="1", lease_seconds=1, error_threshold=-1),
    "extend": lambda it: it.extend("j", first=0, count=1, items=1, size=1, closed=True),
    "register": lambda it: it.register("j", instance="i", info={}),
    "renew": lambda it: it.renew("j", instance="i", info={}),
    "lease": lambda it: it.lease("j", instance="i", limit=5),
    "commit": lambda it: it.commit("j", instance="i", part="p", entries=[ENTRY]),
    "fail": lambda it: it.fail("j", instance="i", token="1-1", mini_batch=0, category="x", delay=0),
    "stop": lambda it: it.stop("j", state="canceled", error=None),
    "snapshot": lambda it: it.snapshot("j"),
    "parts": lambda it: list(it.parts("j")),
    "nodes": lambda it: it.nodes(),
}

#: Answers that fit no call.
ANSWERS: dict[str, bytes | None] = {
    "the connection closes": None,
    "an empty line": b"\r\n",
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "bytes": bytes(range(256)) + b"\r\n",
    "an error": b"-ERR nonsense\r\n",
    "a wrong type": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    "out of memory": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "a script that is never there": b"-NOSCRIPT No matching script.\r\n",
    "no permission": b"-NOPERM this user has no permissions to run the 'evalsha' command\r\n",
    "nothing": b"$-1\r\n",
    "no list": b"*-1\r\n",
    "an empty list": b"*0\r\n",
    "a text": b"+OK\r\n",
    "a number": b":5\r\n",
    "a list of a number": flat(5),
    "an unknown word": flat("PIZZA"),
    "an unknown word and more": flat("PIZZA", 1, 2, 3),
    "a lease without its range": flat("LEASE", "1-1"),
    "a lease of words": flat("LEASE", "1-1", "a", "b", "c", "d", "e"),
    "a list in a list": b"*2\r\n$2\r\nOK\r\n*1\r\n*1\r\n*0\r\n",
    "no UTF-8": b"*1\r\n$2\r\n\xff\xfe\r\n",
    "a truncated list": b"*3\r\n$2\r\nOK\r\n",
    "a truncated text": b"$100\r\nabc",
    "a huge length": b"$99999999999\r\n",
    "a negative length": b"*-7\r\n",
}

#: What the calls take: the nonsense above is refused for what it says, not for how it is served.
RIGHT: dict[str, bytes] = {
    "open": flat("OK"),
    "extend": flat("OK"),
    "register": flat("OK", "1", 1000, "open"),
    "renew": flat("OK", "open"),
    "lease": flat("LEASE", "1-1", 0, 4, 0, 0, 0, 0),
    "commit": b"*4\r\n" + bulk(b"COMMIT") + bulk(b"open") + flat(0, 0) + b"*0\r\n",
    "fail": flat("OK", 1),
    "stop": flat("OK", 0),
    "nodes": b"*2\r\n" + bulk(b"OK") + flat("a", "5", '{"slots": 1}'),
}


@pytest.mark.parametrize("call", RIGHT)
def test_a_right_answer_is_taken(serve: Callable[..., Ledger], call: str) -> None:
    CALLS[call](serve(RIGHT[call]))


@pytest.mark.parametrize("answer", ANSWERS)
def test_every_call_ends_soon_with_an_error_of_the_ledger(serve: Callable[..., Ledger], answer: str) -> None:
    ledger = serve(ANSWERS[answer])
    for name, call in CALLS.items():
        began = time.monotonic()
        with pytest.raises(LedgerFailed) as caught:
            call(ledger)
        assert "\n" not in caught.value.message, name
        assert time.monotonic() - began < 5, name


@pytest.mark.parametrize(
    "info",
    [
        b"$-1\r\n",
        bulk(b""),
        bulk(b"redis_version:\r\n"),
        bulk(b"redis_version:x.y\r\n"),
        b":5\r\n",
        b"*0\r\n",
        bulk(b"\xff"),
    ],
)
def test_a_server_that_does_not_say_what_it_is(serve: Callable[..., Ledger], info: bytes) -> None:
    ledger = serve(flat("OK", 1), info)

    with pytest.raises(LedgerFailed):
        ledger.snapshot("j")


def test_a_server_that_takes_connections_and_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        ledger = Ledger(f"redis://{host}:{port}", timeout=0.2, patience=0.5)
        began = time.monotonic()

        with pytest.raises(LedgerFailed, match="cannot be used since"):
            ledger.snapshot("j")

        assert time.monotonic() - began < 3
        ledger.disconnect()

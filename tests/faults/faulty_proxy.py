"""A real HTTP server before another one, which loses replies, breaks connections, delays, or says that it is busy."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import urlsplit

#: lose: the request is carried out, its reply does not come. reset: it is not carried out. cut: the reply breaks off.
#: damage: its first byte is another.
Action = Literal["lose", "reset", "cut", "damage", "busy", "forbid"]

ANSWERS = {
    "busy": (503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    "forbid": (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"),
}


@dataclass(kw_only=True)
class Fault:
    """What happens to the next requests of a kind."""

    #: Matched with "METHOD /path?query".
    request: str
    action: Action
    times: int = 1
    skip: int = 0
    #: Of those that could be hit, each so manieth is.
    every: int = 1
    #: Seconds before anything is done.
    delay: float = 0.0
    seen: int = 0


@dataclass
class FaultyProxy:
    """Forwards to a server, with faults."""

    target: str
    faults: list[Fault] = field(default_factory=list)
    #: Headers, in lower case, that the server never gets to see: it passes conditions over.
    hidden: frozenset[str] = frozenset()
    #: What was asked for: "METHOD /path?query".
    log: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Seconds that each request takes; how many are under way, and how many were at most.
    delay: float = 0.0
    under_way: int = 0
    most: int = 0

    def __enter__(self) -> Self:
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, request: str, action: Action, **more: Any) -> Fault:
        """Add a fault; the first that matches a request is the one that hits it."""
        self.faults.append(Fault(request=request, action=action, **more))
        return self.faults[-1]

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request as under way."""
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            yield
        finally:
            with self.lock:
                self.under_way -= 1

    def fault_of(self, request: str) -> Fault | None:
        """Return what is to happen to a request."""
        with self.lock:
            self.log.append(request)
            for fault in self.faults:
                if re.search(fault.request, request):
                    fault.seen += 1
                    hit = fault.skip < fault.seen <= fault.skip + fault.times
                    if hit and (fault.seen - fault.skip) % fault.every == 0:
                        return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultyProxy

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        with self.owner.counted():
            self._served()

    def _served(self) -> None:
        body = self._body()
        time.sleep(self.owner.delay)
        fault = self.owner.fault_of(f"{self.command} {self.path}")
        action = fault.action if fault else None
        if fault:
            time.sleep(fault.delay)
        if action == "reset":
            self._break()
        elif action in ANSWERS:
            self._answer(*ANSWERS[action])
        else:
            self._forward(body, action)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 - the server's own names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _forward(self, body: bytes, action: str | None) -> None:
        target = urlsplit(self.owner.target)
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
        try:
            hidden = {"transfer-encoding", *self.owner.hidden}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in hidden}
            headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            data = response.read()
            if action == "lose":
                self._break()
            else:
                data = bytes([data[0] ^ 1]) + data[1:] if action == "damage" else data
                self._answer(response.status, data, response.getheaders(), cut=action == "cut")
        finally:
            connection.close()

    def _answer(self, status: int, data: bytes, headers: Any = (), *, cut: bool = False) -> None:
        self.send_response_only(status)
        given = {name.lower() for name, _ in headers}
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        if "content-length" not in given:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._break()

    def _break(self) -> None:
        """End the connection without another word."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

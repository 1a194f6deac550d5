"""The server's socket and its life: bound first, told of when it listens, ended within seconds."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from gristmill.certificates import check_pair
from gristmill.errors import Mistake
from gristmill_scheduler.http.oidc import is_loopback

#: Seconds that requests are given to end when the server leaves.
REQUEST_SECONDS: Final = 1

#: Seconds after which the process ends for certain when it leaves.
LEAVE_SECONDS: Final = 5.0

#: Bytes of a request's head; more are refused.
MOST_HEAD_BYTES: Final = 32_768

_WILDCARDS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not bound to

_MOST_PORT: Final = 65_535

log = logging.getLogger("gristmill.http")


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What TLS shows and signs with."""

    #: Files in PEM form.
    certificate: Path
    key: Path

    def check(self) -> None:
        """Make sure that it can be used.

        Raises:
            Mistake: it cannot.

        """
        check_pair(self.certificate, self.key)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that has an address and does not listen yet.

    Raises:
        Mistake: the address cannot be had.

    """
    if not 0 <= port <= _MOST_PORT:
        raise Mistake(f"--port {port}: give 0 (any that is free) to {_MOST_PORT}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with contextlib.ExitStack() as undo:
            bound = undo.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            undo.pop_all()
    except OSError as error:
        raise Mistake(f"--host {host} --port {port}: cannot be listened at: {error}") from error
    return bound


def address_of(bound: socket.socket, *, host: str, tls: bool, machine: str) -> str:
    """Return the URL of a bound socket; a server for all addresses is known by its machine's name."""
    name = machine if host in _WILDCARDS else host
    shown = f"[{name}]" if ":" in name else name
    return f"{'https' if tls else 'http'}://{shown}:{bound.getsockname()[1]}"


def check_insecure(host: str) -> None:
    """Make sure that nobody but this machine reaches a server that asks for no token.

    Raises:
        Mistake: others may.

    """
    if not is_loopback(host):
        raise Mistake(f"--insecure-local: everyone who reaches {host} would be an owner; use it with 127.0.0.1 alone")


class Listener(uvicorn.Server):
    """uvicorn, which tells when it listens and leaves the signals to its owner."""

    def __init__(self, app: ASGIApp, *, certificate: Certificate | None, ready: Callable[[], None]) -> None:
        """Take the application, what TLS needs, and what is called once it listens."""
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                # Nobody before this server is trusted to say where a request came from.
                proxy_headers=False,
                server_header=False,
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
                http="h11",
                timeout_graceful_shutdown=REQUEST_SECONDS,
                ssl_certfile=str(certificate.certificate) if certificate else None,
                ssl_keyfile=str(certificate.key) if certificate else None,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell of it."""
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals as they are."""
        yield

    def leave(self) -> None:
        """End soon; safe from any thread and from a signal's handler."""
        self.should_exit = True


@contextlib.contextmanager
def ended_by(leave: Callable[[], None], *, owned: bool) -> Iterator[None]:
    """Let SIGTERM, SIGINT and, with an owner, the end of stdin call `leave`; the process is gone soon after."""

    def begin_to_leave() -> None:
        timer = threading.Timer(LEAVE_SECONDS, os._exit, (1,))
        timer.daemon = True
        timer.start()
        leave()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        begin_to_leave()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    if owned:
        threading.Thread(target=_wait_for_owner, args=(begin_to_leave,), name="owner", daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_owner(leave: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    log.info("the owner is gone")
    leave()

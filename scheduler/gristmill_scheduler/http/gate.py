"""What every request passes before the application sees it: its host, its size, and who asks.

It stands before the routes so that none of them can be reached around it; what nobody foresaw ends here as a plain 500.
A page of the web must not reach a server of this machine through its owner's browser: where no token is needed
(`--insecure-local`), only requests that name this machine as their host, and come from no other site, are let in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gristmill.errors import Forbidden, GristmillError, Mistake, ServerFailed, TooLarge
from gristmill_scheduler.http.auth import FailedTooOften, Guard
from gristmill_scheduler.http.forwarded import HOST
from gristmill_scheduler.http.oidc import is_loopback
from gristmill_scheduler.http.principal import Principal
from gristmill_scheduler.http.problems import problem, shown, too_often, unforeseen

#: What anyone may ask.
PUBLIC: Final = frozenset({"/health", "/openapi.json"})

log = logging.getLogger("gristmill.http")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many bytes a request's body may have."""

    #: An upload, in all.
    upload: int
    #: Any other body.
    other: int

    def most(self, scope: Scope) -> int:
        """Return the most bytes of a request's body."""
        is_upload = scope["method"] == "PUT" and scope["path"].startswith("/uploads/")
        return self.upload if is_upload else self.other


class Gate:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, *, guard: Guard, sizes: Sizes) -> None:
        """Take what is behind it, who finds out who asks, and the sizes that pass."""
        self._app = app
        self._guard = guard
        self._sizes = sizes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._let_in(scope, receive, note)
        except asyncio.CancelledError:
            # The server leaves and waited for this request long enough; its task ends here, in any case.
            log.info("%s %s: cut off, because the server leaves", scope["method"], shown(scope["path"]))
            if not begun:
                await problem(ServerFailed("the server leaves"), scope["path"])(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing of it may reach the client
            answer = unforeseen(error)
            if not begun:
                await answer(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            self._check_host(request)
            self._check_length(request)
            if not (scope["path"] in PUBLIC and scope["method"] in ("GET", "HEAD")):
                scope["gristmill.caller"] = await self._identify(request)
        except GristmillError as error:
            await problem(error, scope["path"])(scope, receive, send)
        except FailedTooOften as error:
            await too_often(error.seconds)(scope, receive, send)
        else:
            await self._app(scope, _bounded(receive, self._sizes.most(scope)), send)

    async def _identify(self, request: Request) -> Principal:
        authorization = request.headers.get("authorization")
        caller = self._guard.at_hand(authorization)
        if caller is not None:
            return caller
        return await run_in_threadpool(self._guard.identify, authorization, client_address(request.scope))

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        match = HOST.fullmatch(host)
        if match is None:
            raise Mistake("the header host: give this server's name or address, with its port")
        if self._guard.insecure_local:
            _check_local(request.headers, match[1])

    def _check_length(self, request: Request) -> None:
        given = request.headers.get("content-length", "0")
        most = self._sizes.most(request.scope)
        if not given.isascii() or not given.isdigit():
            raise Mistake("the header content-length: give a number of bytes")
        if int(given) > most:
            raise TooLarge(_too_large(most))


def client_address(scope: Scope) -> str:
    """Return where a request came from."""
    client: Any = scope.get("client")
    return str(client[0]) if client else ""


def _check_local(headers: Mapping[str, str], host: str) -> None:
    """Refuse what a page of another site asks through a browser.

    Raises:
        Forbidden: it is that.

    """
    if not is_loopback(host):
        raise Forbidden(f"the header host: {host[:80]}: a server with --insecure-local is localhost to all that ask it")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise Forbidden("the header origin: a server with --insecure-local takes nothing from pages of other sites")
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Forbidden("a server with --insecure-local takes nothing from pages of other sites")


def _too_large(most: int) -> str:
    return f"the body has more than {most} bytes, the most that this server takes here"


def _bounded(receive: Receive, most: int) -> Receive:
    """Return what receives a body, and refuses when there is more of it than may be."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            # A refusal of the framework's own: it passes through whatever reads the body.
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(most))
        return message

    return bounded

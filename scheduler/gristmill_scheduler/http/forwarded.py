"""What a proxy before the server says of a request: who sent it, and at which address. Believed of named proxies alone.

Anyone can write these headers. Of a peer that is not named as a proxy they are passed over, so that nobody escapes the
limit on failures by them, or has a scoring URI lead elsewhere.

    X-Forwarded-For     who asked, read from its end: the first address that is no proxy of ours
    X-Forwarded-Proto   http or https
    X-Forwarded-Host    the host that was asked; without it the header Host is
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gristmill.errors import Mistake

#: The address that the request which is answered now was sent to, as a proxy says; "": none said.
asked_at: Final[ContextVar[str]] = ContextVar("asked_at", default="")

#: What the header Host, and the one that a proxy makes of it, may be.
HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})(:\d{1,5})?")

_SCHEMES: Final = frozenset({"http", "https"})

#: An address with its port, as some proxies write it.
_WITH_PORT: Final = re.compile(r"(\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+\]):\d+")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """Addresses and networks that are believed."""

    def __init__(self, networks: Iterable[_Network] = ()) -> None:
        """Take them."""
        self._networks = tuple(networks)

    @classmethod
    def read(cls, texts: Sequence[str]) -> Proxies:
        """Return the proxies that a command line names.

        Raises:
            Mistake: one is neither an address nor a network.

        """
        try:
            return cls(ipaddress.ip_network(text) for text in texts)
        except ValueError as error:
            message = f"--trusted-proxy: {error}; give an address or a network, as 10.0.0.0/8"
            raise Mistake(message) from None

    def __bool__(self) -> bool:
        """Whether anyone is believed."""
        return bool(self._networks)

    def __contains__(self, address: _Address | None) -> bool:
        """Whether an address is one of them."""
        return address is not None and any(address in network for network in self._networks)


class Forwarded:
    """Puts what a trusted proxy says in the place of what the connection says."""

    def __init__(self, app: ASGIApp, *, proxies: Proxies) -> None:
        """Take what is behind it, and who is believed."""
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        peer = scope.get("client")
        if scope["type"] != "http" or not peer or _address(peer[0]) not in self._proxies:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope = {**scope, "client": (self._client(headers, peer[0]), 0)}
        before = asked_at.set(_url(headers, scope["scheme"]))
        try:
            await self._app(scope, receive, send)
        finally:
            asked_at.reset(before)

    def _client(self, headers: Headers, peer: str) -> str:
        """Return who asked: the nearest that is no proxy of ours; what is no address ends the search."""
        nearest = peer
        for text in reversed(_entries(headers, "x-forwarded-for")):
            address = _address(text)
            if address is None:
                break
            nearest = str(address)
            if address not in self._proxies:
                break
        return nearest


def _url(headers: Headers, scheme: str) -> str:
    """Return the address that was asked, without a path; "" where no proxy says it."""
    schemes, hosts = _entries(headers, "x-forwarded-proto"), _entries(headers, "x-forwarded-host")
    if not schemes and not hosts:
        return ""
    said = schemes[-1].lower() if schemes else scheme
    host = hosts[-1] if hosts else headers.get("host", "")
    return f"{said}://{host}" if said in _SCHEMES and HOST.fullmatch(host) else ""


def _entries(headers: Headers, name: str) -> list[str]:
    return [part for text in headers.getlist(name) for part in map(str.strip, text.split(",")) if part]


def _address(text: str) -> _Address | None:
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((match[1] if match else text).strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

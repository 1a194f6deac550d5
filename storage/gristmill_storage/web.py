"""Connections to web servers that stay within a job's reach: judged by the address of each, redirects included.

A name is resolved once for a connection, and what is judged is the address that the socket is made for. So a name that
leads elsewhere the next time it is asked for, or a server that sends on to another one, leads no further.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientSession, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from gristmill_storage.reach import Reach


@functools.cache
def opener(reach: Reach) -> Callable[..., Awaitable[ClientSession]]:
    """Return what opens a session whose connections stay within reach; for one reach always the same."""

    async def opened(**options: Any) -> ClientSession:
        resolver = _Resolver(reach)

        def made(address: tuple[Any, ...]) -> socket.socket:
            family, kind, protocol, _, place = address
            reach.check(place[0], by_name=place[:2] in resolver.named)
            return socket.socket(family, kind, protocol)

        # Addresses one after another: with several at once the refusal of one would be lost among failures of others.
        connector = TCPConnector(resolver=resolver, socket_factory=made, happy_eyeballs_delay=None)
        return ClientSession(connector=connector, **options)

    return opened


class _Resolver(AbstractResolver):
    """Resolves names, and keeps which addresses come of names that are allowed."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._inner: Any = DefaultResolver()
        #: (address, port) of allowed names.
        self.named: set[tuple[str, int]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found: list[ResolveResult] = await self._inner.resolve(host, port, family)
        if self._reach.names_host(host):
            self.named.update((each["host"], each["port"]) for each in found)
        return found

    async def close(self) -> None:
        await self._inner.close()

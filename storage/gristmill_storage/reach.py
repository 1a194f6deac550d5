"""Which hosts a web address may lead to that a request has named: none of the server's own network, unless allowed.

Whoever may invoke a job could otherwise have the server read for him what only the server can: the cloud's metadata
with its credentials, a database's or cluster's own pages, other machines' files. A name says nothing of where it leads,
and may lead elsewhere a moment later, so the check is of the very address that a connection is made to (`web.py`).
Jobs of one's own machine have no such bounds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from gristmill.errors import InvalidSetting

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Where machines of a cloud are told their secrets; only a network within these, or the address itself, allows one.
_METADATA: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("fe80::/10"),
    ipaddress.ip_network("fd00:ec2::/32"),
    ipaddress.ip_network("100.100.100.200/32"),
    ipaddress.ip_network("168.63.129.16/32"),  # public by its number, and Azure's own towards its machines
)

#: IPv6 addresses whose last 32 bits are an IPv4 address that a gateway leads to.
_TRANSLATED: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))


class Unreachable(Exception):
    """A connection was refused because of where it leads."""

    def __init__(self, kind: str) -> None:
        """Take the kind of the address: the address itself is nobody's business."""
        super().__init__(f"leads to a {kind} address")
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What is allowed beside public addresses."""

    #: Names of hosts in lower case; one that begins with a dot stands for all hosts of a domain.
    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def read(cls, given: Iterable[str]) -> Self:
        """Return what is allowed by names of hosts (`files.corp`, `.corp`), addresses and networks (`10.1.0.0/16`).

        Raises:
            InvalidSetting: one of them is none of these.

        """
        names, networks = set(), []
        for text in given:
            try:
                networks.append(ipaddress.ip_network(text.strip("[]"), strict=False))
            except ValueError:
                names.add(_name(text))
        return cls(names=frozenset(names), networks=tuple(networks))

    @classmethod
    def of(cls, hosts: Iterable[str] | None) -> Self | None:
        """Return a job's reach from its `allow_hosts`; None where it has no bounds."""
        return None if hosts is None else cls.read(hosts)

    def names_host(self, host: str) -> bool:
        """Return whether a host is allowed by its name."""
        host = host.rstrip(".").lower()
        return host in self.names or any(name.startswith(".") and host.endswith(name) for name in self.names)

    def check(self, address: str, *, by_name: bool = False) -> None:
        """Refuse an address that is not public and not allowed.

        Args:
            address: Where a connection is to be made to, as a number.
            by_name: Whether its host's name is allowed.

        Raises:
            Unreachable: it is that.

        """
        for found in _all_of(ipaddress.ip_address(address.partition("%")[0])):
            metadata = next((network for network in _METADATA if found in network), None)
            if metadata is not None:
                if not any(found in each and each.prefixlen >= metadata.prefixlen for each in self.networks):
                    raise Unreachable("link-local or metadata")
            elif not (_is_public(found) or by_name or any(found in network for network in self.networks)):
                raise Unreachable(_kind(found))

    def check_host(self, host: str) -> None:
        """Refuse a host that is written as a number, or called localhost, and is not allowed; other names tell nothing.

        Raises:
            Unreachable: it is that.

        """
        host = host.strip("[]")
        if host.rstrip(".").lower() == "localhost":
            self.check("127.0.0.1", by_name=self.names_host(host))
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return
        self.check(host)


def _name(text: str) -> str:
    name = text.strip().rstrip(".").lower()
    if not name.strip(".") or any(not (sign.isalnum() or sign in "-_.") for sign in name):
        raise InvalidSetting(
            f"allowed host {text!r}: give a name (files.corp, .corp), an address, or a network (10.1.0.0/16)"
        )
    return name


def _all_of(address: Address) -> list[Address]:
    """Return an address, or the ones that are hidden in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    hidden: list[Address] = [address.sixtofour] if address.sixtofour is not None else []
    if address.teredo is not None:
        hidden.extend(address.teredo)
    if any(address in network for network in _TRANSLATED) and int(address) > 1:
        hidden.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return hidden or [address]


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast


def _kind(address: Address) -> str:
    kinds = ("unspecified", "loopback", "multicast", "private")
    return next((kind for kind in kinds if getattr(address, f"is_{kind}")), "reserved")

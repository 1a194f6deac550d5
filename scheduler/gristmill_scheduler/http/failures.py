"""How often an address may fail to say who it is: a bucket of tries for each, which fills up again slowly."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

#: Failures in a row that an address is allowed.
BURST: Final = 20.0

#: Failures a second that it is allowed for good.
RATE: Final = 0.5

#: Addresses that are remembered; the one that failed longest ago is forgotten first.
_MOST_ADDRESSES: Final = 10_000

#: Bits of an IPv6 address that one customer usually has to himself.
_IPV6_PREFIX: Final = 64


class Failures:
    """Counts failures by address."""

    def __init__(
        self, *, burst: float = BURST, rate: float = RATE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take how many failures are allowed at once and a second, and the clock."""
        self._burst = burst
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, address: str) -> float:
        """Return the seconds until an address may try again; 0.0: now."""
        with self._lock:
            left = self._left(_group(address))
        return 0.0 if left >= 1.0 else (1.0 - left) / self._rate

    def count(self, address: str) -> None:
        """Note a failure."""
        group = _group(address)
        with self._lock:
            self._buckets[group] = (max(0.0, self._left(group) - 1.0), self._clock())
            self._buckets.move_to_end(group)
            while len(self._buckets) > _MOST_ADDRESSES:
                self._buckets.popitem(last=False)

    def _left(self, group: str) -> float:
        left, when = self._buckets.get(group, (self._burst, 0.0))
        return min(self._burst, left + (self._clock() - when) * self._rate)


def _group(address: str) -> str:
    """Return what counts as one: an IPv4 address, or an IPv6 network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)

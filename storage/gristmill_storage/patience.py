"""How long a fault of storage is waited out that may pass by itself, or by somebody's hand: a full disk, a lost server.

Which faults those are is decided here, by what the system or the store's driver said, and nowhere else. What is not
there, what is there already, what is damaged and what a user gave wrongly will not mend by waiting.

A job that runs is patient, its admission is not: whoever sits before the screen is told at once.
"""

from __future__ import annotations

import errno
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from gristmill.errors import AlreadyExists, Corrupt, GristmillError, NotFound, StorageFailed

#: Seconds between the first try and the second, and between two later ones at most.
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0

#: Seconds between two looks whether there is anything left to wait for.
_LOOK: Final = 0.25

#: What may pass, whatever was done.
_PASSING: Final = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EIO", "EREMOTEIO", "ESTALE", "EAGAIN", "EBUSY", "ENOLCK", "EMFILE", "ENFILE", "ENOMEM"),
        *("ETIMEDOUT", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ENOTCONN"),
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH"),
    )
    if hasattr(errno, name)
)

#: What may pass where this process was allowed to write before. To read a file was perhaps never allowed.
_PASSING_WRITES: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})

#: What a server answers that is overloaded, being restarted, or was too slow.
_PASSING_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

#: What a server answers to writes that were allowed before and may be again: forbidden, and met by another one.
_PASSING_WRITE_STATUS: Final = frozenset({403, 409})

#: Errors of the drivers' libraries, none of which is imported here, that are no OSErrors and mean a broken connection.
_BROKEN: Final = frozenset(
    {
        "ClientConnectionError",  # aiohttp
        "ClientPayloadError",
        "HTTPClientError",  # botocore
        "IncompleteRead",  # http.client
        "ServiceRequestError",  # azure.core
        "ServiceResponseError",
    }
)

#: What drivers' errors say, each in its own words, that are made of a refused certificate.
_UNTRUSTED: Final = "certificate verify failed"

T = TypeVar("T")

log = logging.getLogger("gristmill.storage")


def may_pass(error: BaseException, *, writing: bool) -> bool:
    """Return whether a fault may be gone when the same is tried again later.

    Args:
        error: What was raised; what the system or a driver said is in its causes.
        writing: Whether it was raised by what this process could do before (a refused permission may come back then).

    """
    if isinstance(error, GristmillError):
        hopeless = isinstance(error, (NotFound, AlreadyExists, Corrupt))
        if hopeless or not isinstance(error, StorageFailed) or error.waited:
            return False
    if is_untrusted(error):
        return False
    causes = list(causes_of(error))
    if any(kind.__name__ in _BROKEN for cause in causes for kind in type(cause).__mro__):
        return True  # whatever status the library gives what it has not got whole
    statuses = [status for status in map(status_of, causes) if status is not None]
    if statuses:  # what the server said is surer than what its driver made of it
        return any(status in _PASSING_STATUS or (writing and status in _PASSING_WRITE_STATUS) for status in statuses)
    return any(_is_passing(cause, writing=writing) for cause in causes)


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__  # not its context, which may be what a caller is about to mend


def is_untrusted(error: BaseException) -> bool:
    """Return whether a server's certificate was refused: it will be the next time, too."""
    return any(
        # By its name: who has met none has not imported what it is of.
        any(kind.__name__ == "SSLCertVerificationError" for kind in type(cause).__mro__)
        or _UNTRUSTED in str(cause).lower()
        for cause in causes_of(error)
    )


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that a driver's error carries, each in a place of its own."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) and status >= 400 else None  # noqa: PLR2004 - where errors begin


def _is_passing(error: BaseException, *, writing: bool) -> bool:
    if isinstance(error, OSError):
        if error.errno in _PASSING or isinstance(error, (TimeoutError, ConnectionError)):
            return True
        return writing and (error.errno in _PASSING_WRITES or isinstance(error, PermissionError))
    return False


class Patience:
    """Waits for storage, for so many seconds an outage, and says so. For any number of threads.

    An outage of one store begins with the first fault that may pass and ends with the next thing that works. While it
    lasts longer than the patience, nothing more is waited for: a thousand files on a server that is gone take as long
    as one.
    """

    def __init__(self, seconds: float) -> None:
        """Take how long an outage is borne; 0: nothing is waited for."""
        self._seconds = seconds
        self._ended = threading.Event()
        self._lock = threading.Lock()
        #: When each outage began, by what it is an outage of.
        self._outages: dict[object, float] = {}
        #: Told why this process waits, once an outage; "" when it goes on.
        self.tell: Callable[[str], None] = lambda _: None
        #: Called at each fault that may pass.
        self.fault: Callable[[], None] = lambda: None
        #: Asked while waiting whether there is nothing left to wait for: the job has ended.
        self.pointless: Callable[[], bool] = lambda: False

    def end(self) -> None:
        """Wait for nothing from now on; who waits now gives up."""
        self._ended.set()

    def call(self, action: Callable[[], T], *, of: object = "", writing: bool = False) -> T:
        """Carry out what can be repeated, again and again while a fault may pass; return what it returns.

        Args:
            action: What to do.
            of: What it needs (a store): outages are counted by this, and by `writing`.
            writing: Whether a lost permission is a fault that may pass.

        Raises:
            StorageFailed: the fault did not pass; it says what the system said, and how long was waited.

        """
        key = (of, writing)
        began: float | None = None
        pause = FIRST_PAUSE
        while True:
            try:
                result = action()
            except Exception as error:
                if not may_pass(error, writing=writing):
                    raise
                self.fault()
                now = time.monotonic()
                began = now if began is None else began
                self._wait(key, error, began, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if self._outages:
                    self._over(key)
                return result

    def _wait(self, key: object, error: Exception, began: float, pause: float) -> None:
        """Wait a little, or raise when the patience is at its end."""
        since = self._note(key, error, began)
        now = time.monotonic()
        left = min(since, began) + self._seconds - now
        if left <= 0:
            raise _given_up(error, now - began) from error
        until = now + min(left, pause * random.uniform(0.8, 1.0))  # noqa: S311 - so that not all come back at once
        while (left := until - time.monotonic()) > 0:
            if self._ended.wait(min(left, _LOOK)) or self.pointless():
                raise _given_up(error, time.monotonic() - began) from error

    def _note(self, key: object, error: Exception, began: float) -> float:
        """Return when the outage began; tell of it if it begins now."""
        with self._lock:
            known = key in self._outages
            since = self._outages.setdefault(key, began)
        if not known and self._seconds:
            text = f"waiting for storage: {_said(error)}"
            log.warning("%s (for up to %g s)", text, self._seconds)
            self.tell(text)
        return since

    def _over(self, key: object) -> None:
        with self._lock:
            since = self._outages.pop(key, None)
            last = not self._outages
        if since is not None and self._seconds:
            log.info("storage is back after %.1f s", time.monotonic() - since)
            if last:
                self.tell("")


def _said(error: Exception) -> str:
    return error.message if isinstance(error, GristmillError) else str(error) or type(error).__name__


def _given_up(error: Exception, seconds: float) -> StorageFailed:
    """Return what a fault that did not pass ends in."""
    tried = f" (tried for {seconds:.0f} s)" if seconds >= 1 else ""
    failed = StorageFailed(_said(error) + tried)
    failed.waited = True
    return failed

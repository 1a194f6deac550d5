"""Speaks to the server: one connection pool, tries again what may be tried again, and says errors in our words."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from gristmill.certificates import trusting
from gristmill.errors import Mistake, ServerFailed
from gristmill.service.connection import Connection
from gristmill.service.replies import document_of, error_of

#: Seconds: to connect, and between two bytes of an answer.
_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)

#: Answers of a server, or of a proxy before it, that is not ready now.
_NOT_NOW: Final = frozenset({502, 503, 504})

_NOT_FOUND: Final = 404

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

#: Methods that do the same when they are done twice.
_TWICE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})

Params = Mapping[str, str | int | None]


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How long an answer is waited for by asking again."""

    #: How often is asked in all.
    attempts: int = 6
    #: Seconds before the second time; each wait is twice the one before.
    first: float = 0.2
    longest: float = 5.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def wait(self, attempt: int) -> None:
        """Wait after an attempt (counted from 1), by chance a little less: many clients are not to come back as one."""
        seconds = min(self.longest, self.first * 2 ** (attempt - 1))
        self.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311 - nothing is kept secret by it


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the server answered."""

    status: int
    #: The JSON of its body; None for none.
    document: Any = None
    #: The version of what it shows, "" where it has none.
    etag: str = ""


class Http:
    """A server, by its address and a token that is sent to that address alone."""

    def __init__(
        self,
        connection: Connection,
        *,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Take where the server is; `transport` stands in for the network.

        Raises:
            Mistake: the file of certificates cannot be used.

        """
        self._url = connection.url
        self._retries = retries or Retries()
        headers = {"accept": "application/json"}
        if connection.token:
            headers["authorization"] = f"Bearer {connection.token}"
        self._client = httpx.Client(
            headers=headers,
            timeout=_TIMEOUT,
            transport=transport,
            # Without TLS there is nothing to verify, and the system's certificates take long to read.
            verify=_trusted(connection) if connection.url.startswith("https:") else False,
            # A proxy that the environment names is none for this machine itself.
            trust_env=urlsplit(connection.url).hostname not in _LOOPBACK,
        )

    @property
    def url(self) -> str:
        """The server's address."""
        return self._url

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def get(self, path: str, *, params: Params | None = None) -> Answer:
        """Return what stands under a path (of `place`)."""
        return self.send("GET", path, params=params)

    def send(
        self,
        method: str,
        path: str,
        *,
        document: Any = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool | None = None,
    ) -> Answer:
        """Ask, again if need be, and return the answer.

        Args:
            method: of HTTP.
            path: below the server's address, of `place`.
            document: what is sent as JSON; None: nothing.
            params: of the query; those that are None are left out.
            headers: more of them.
            again: whether asking twice does no harm; None: as the method has it.

        Raises:
            GristmillError: what the server says is wrong; ServerFailed where it cannot be reached or talks nonsense.

        """
        again = method in _TWICE and not _conditional(headers) if again is None else again
        content = {} if document is None else {"json": document}
        lost = False
        for attempt in range(1, self._retries.attempts + 1):
            last = attempt == self._retries.attempts
            try:
                response = self._client.request(
                    method, self._url + path, params=_given(params), headers=dict(headers or {}), **content
                )
            except httpx.TransportError as error:
                if last or not (again or isinstance(error, httpx.ConnectError)):
                    raise self._unreachable(error) from None
                # Whether it was done is not known.
                lost = not isinstance(error, httpx.ConnectError) or lost
            else:
                if last or not (again and response.status_code in _NOT_NOW):
                    return self._answer(method, path, response, lost=lost)
            self._retries.wait(attempt)
        raise AssertionError

    def pages(self, path: str, *, params: Params | None = None, most: int | None = None) -> Iterator[Any]:
        """Go through the entries of a list, page after page, `most` of them at most."""
        asked: dict[str, str | int | None] = dict(params or {})
        count = 0
        while True:
            document = self.get(path, params=asked).document
            if not isinstance(document, dict) or not isinstance(document.get("value"), list):
                raise ServerFailed(f"GET {self._url}{path}: answered no list; is this a Gristmill server?")
            for entry in document["value"]:
                if count == most:
                    return
                count += 1
                yield entry
            link = document.get("nextLink")
            if not link or count == most:
                return
            # Of the link only the query is taken: no server sends us, and our token, anywhere else.
            following = {**asked, **dict(parse_qsl(urlsplit(str(link)).query))}
            if following == asked:
                raise ServerFailed(f"GET {self._url}{path}: its next page is the same page")
            asked = following

    def upload(self, path: str, chunks: Iterable[bytes], *, content_type: str) -> Answer:
        """PUT a stream of bytes, once: who has it whole may try again."""
        try:
            response = self._client.put(
                self._url + path,
                content=chunks,
                headers={"content-type": content_type},
                # The server looks at all of it before it answers.
                timeout=httpx.Timeout(60.0, connect=10.0, read=900.0),
            )
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        return self._answer("PUT", path, response)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        read_timeout: float = 60.0,
    ) -> Iterator[httpx.Response]:
        """Enter an answer whose body is read while it comes; once, and not again.

        Raises:
            GristmillError: as `send`, also for a connection that breaks while it is read.

        """
        timeout = httpx.Timeout(60.0, connect=10.0, read=read_timeout)
        try:
            with self._client.stream(
                "GET", self._url + path, params=_given(params), headers=dict(headers or {}), timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    raise error_of(response, f"GET {self._url}{path}")
                yield response
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def wait(self, attempt: int) -> None:
        """Wait before asking again, as after a failed attempt of that number."""
        self._retries.wait(attempt)

    @property
    def attempts(self) -> int:
        """How often is asked in all."""
        return self._retries.attempts

    def _answer(self, method: str, path: str, response: httpx.Response, *, lost: bool = False) -> Answer:
        what = f"{method} {self._url}{path}"
        if lost and method == "DELETE" and response.status_code == _NOT_FOUND:
            # It was there when this was asked first: the reply was lost, not the request.
            return Answer(status=204)
        if not response.is_success:
            raise error_of(response, what)
        document = document_of(response, what) if response.content else None
        return Answer(status=response.status_code, document=document, etag=response.headers.get("etag", ""))

    def _unreachable(self, error: httpx.TransportError) -> ServerFailed:
        said = str(error) or type(error).__name__
        if isinstance(error, httpx.ReadTimeout):
            said = "it did not answer in time"
        return ServerFailed(f"server {self._url}: cannot be reached: {said}")


def place(*names: str) -> str:
    """Return the path of names, each of them one segment.

    Raises:
        Mistake: a name is empty or means another place.

    """
    for name in names:
        if not isinstance(name, str) or name in {"", ".", ".."}:
            raise Mistake(f"name {name!r}: give the name of something on the server")
    return "".join(f"/{quote(name, safe='')}" for name in names)


def _conditional(headers: Mapping[str, str] | None) -> bool:
    return any(name.lower() in {"if-match", "if-none-match"} for name in headers or {})


def _given(params: Params | None) -> dict[str, str | int]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _trusted(connection: Connection) -> ssl.SSLContext | bool:
    if connection.certificate:
        return trusting(Path(connection.certificate))
    ca_file = connection.ca_file
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Mistake(f"{ca_file}: certificates cannot be read: {reason}") from None

"""GETs of S3's objects, made after the first one of its client: which takes 1.5 ms of processor time for each.

The driver fetches an object, and what its client sends for it is looked at: where it goes, with which headers, how it
is signed. If a signature made here is the very same, the following requests are made here: in a tenth of the time, and
sent by the client's own connections, through whatever proxies and certificates it was told of.

One is sent once. What is not answered by a whole object is the driver's again, which asks anew, waits, follows a bucket
to where it is, and knows what each refusal means; then the client's next request is looked at again. A client whose
requests succeed where these are refused has more to do than is known here, and does it all from then on.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
import zlib
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

#: What the client calls the moment before a GET is sent.
_SENDING: Final = "before-send.s3.GetObject"

_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/(?P<scope>[^/]+/s3/aws4_request), "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=[0-9a-f]{64}"
)

#: Headers of one request alone; the last two are the client's count of its tries.
_OWN: Final = frozenset(
    {"authorization", "x-amz-date", "x-amz-security-token", "amz-sdk-invocation-id", "amz-sdk-request"}
)

#: Answers that another request of the client's may not get.
_REFUSED: Final = frozenset({301, 302, 307, 400, 401, 403})

_OK: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """What requests are signed with."""

    access: str
    secret: str = field(repr=False)
    token: str | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """What the client's GETs of one bucket have in common."""

    #: The address before an object's key.
    before: str
    #: The host and the path before the key, as they are signed.
    host: str
    path: str
    #: Headers that are always the same, by their names as they were sent.
    headers: dict[str, str]
    #: Names of those that are signed, in lower case and sorted; empty: none is.
    signed: tuple[str, ...] = ()
    #: Region, service and kind of signature, as they stand in it.
    scope: str = ""

    @classmethod
    def of(cls, request: Any, key: str, secret: Secret | None) -> Self | None:
        """Return that of a request for an object; None where it is not understood."""
        parts, headers = urlsplit(request.url), {name: _text(value) for name, value in request.headers.items()}
        tail = quote(key, safe="/~")
        if request.method != "GET" or request.body or parts.query or not parts.path.endswith(f"/{tail}"):
            return None
        if any(name.lower() in ("range", "if-match") for name in headers):
            return None
        kept = {name: value for name, value in headers.items() if name.lower() not in _OWN}
        path = parts.path.removesuffix(tail)
        place: dict[str, Any] = {"before": request.url.removesuffix(tail), "host": parts.netloc, "path": path}
        given = next((value for name, value in headers.items() if name.lower() == "authorization"), None)
        if given is None:
            return cls(headers=kept, **place)
        found = _AUTHORIZATION.fullmatch(given)
        if found is None or secret is None:
            return None
        pattern = cls(headers=kept, signed=tuple(found["names"].split(";")), scope=found["scope"], **place)
        stamp = next((value for name, value in headers.items() if name.lower() == "x-amz-date"), "")
        return pattern if pattern.sent(key, secret, stamp)[1].get("Authorization") == given else None

    def sent(self, key: str, secret: Secret | None, stamp: str) -> tuple[str, dict[str, str]]:
        """Return address and headers of the request for an object, signed at a time: `20261231T235959Z`."""
        tail = quote(key, safe="/~")
        if not self.signed or secret is None:
            return self.before + tail, self.headers
        headers = {**self.headers, "X-Amz-Date": stamp}
        if secret.token is not None:
            headers["X-Amz-Security-Token"] = secret.token
        values = {"host": self.host} | {name.lower(): value for name, value in headers.items()}
        names = ";".join(self.signed)
        lines = "".join(f"{name}:{values.get(name, '').strip()}\n" for name in self.signed)
        asked = f"GET\n{self.path}{tail}\n\n{lines}\n{names}\n{values.get('x-amz-content-sha256', '')}"
        scope = f"{stamp[:8]}/{self.scope}"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
        signature = hmac.digest(_signing_key(secret.secret, scope), text.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={secret.access}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return self.before + tail, headers


@lru_cache(maxsize=1)  # it is another every day
def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class SignedGets:
    """Copies objects of one store here; to be called on its driver's loop alone."""

    def __init__(self, driver: Any) -> None:
        """Take the driver of S3."""
        self._driver = driver
        self._pattern: Pattern | None = None
        self._client: Any = None
        self._bucket = ""
        #: Whether the next request of the driver's is to be looked at.
        self._learns = True

    async def copy(self, address: str, local: Path) -> None:
        """Copy an object here.

        Raises:
            Exception: whatever the driver raises.

        """
        status = await self._get(address, local) if self._pattern is not None else None
        if status == _OK:
            return
        if self._pattern is None and self._learns:
            await self._learn(address, local)
            return
        await self._driver._get_file(address, str(local))  # noqa: SLF001 - as all of fsspec's drivers call each other
        if status in _REFUSED:
            self._pattern = None
        elif status == 0:
            self._pattern, self._learns = None, True  # its client may have begun anew

    async def _learn(self, address: str, local: Path) -> None:
        """Have the driver copy an object, and look at what its client sends."""
        self._learns = False
        driver, task, seen = self._driver, asyncio.current_task(), list[Any]()

        def look(request: Any, **_: Any) -> None:
            if asyncio.current_task() is task:
                seen.append(request)

        try:
            await driver.set_session()
            bucket, key, _ = driver.split_path(address)
            client = await driver.get_s3(bucket)
            client.meta.events.register(_SENDING, look)
            try:
                await driver._get_file(address, str(local))  # noqa: SLF001 - as above
            finally:
                client.meta.events.unregister(_SENDING, look)
        except Exception:
            self._learns = True
            raise
        with suppress(Exception):  # who cannot be imitated makes its requests itself
            secret = await self._secret()
            self._client, self._bucket = client, bucket
            self._pattern = next(filter(None, (Pattern.of(request, key, secret) for request in seen)), None)

    async def _secret(self) -> Secret | None:
        driver = self._driver
        if driver.key and driver.secret:
            return Secret(access=driver.key, secret=driver.secret, token=driver.token)
        found = await driver.session.get_credentials()
        if found is None:
            return None
        frozen = await found.get_frozen_credentials()
        return Secret(access=frozen.access_key, secret=frozen.secret_key, token=frozen.token)

    async def _get(self, address: str, local: Path) -> int:
        """Fetch an object by one request; return the answer's status, 0 where what came of it is no whole object."""
        pattern, driver = self._pattern, self._driver
        bucket, key, version = driver.split_path(address)
        if pattern is None or bucket != self._bucket or version is not None:
            return 0
        try:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            url, headers = pattern.sent(key, await self._secret() if pattern.signed else None, stamp)
            answer = await self._client._endpoint.http_session.send(_Request(url=url, headers=headers))  # noqa: SLF001 - as the driver itself
            async with answer.raw as body:
                whole = body.status == _OK and await _write(body, local)
        except Exception:  # noqa: BLE001 - the driver is to meet it again, and to say it in its own words
            return 0
        return body.status if whole or body.status != _OK else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """What the client's connections take."""

    url: str
    headers: dict[str, str]
    method: str = "GET"
    body: None = None
    stream_output: bool = True


async def _write(body: Any, local: Path) -> bool:
    """Write an answer's body; return whether it is whole, and is what the store has a checksum of."""
    due, crc, size = body.headers.get("x-amz-checksum-crc32"), 0, 0
    with local.open("wb", buffering=0) as file:
        async for data in body.content.iter_any():
            size += file.write(data)
            if due is not None:
                crc = zlib.crc32(data, crc)
    if due is not None and "-" not in due and b64decode(due) != crc.to_bytes(4, "big"):
        return False
    return size == int(body.headers["Content-Length"])

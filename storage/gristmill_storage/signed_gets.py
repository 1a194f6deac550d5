"""GETs of S3's objects, made after the first one of its client: which takes more than a millisecond for each.

The driver fetches an object, and what its client sends for it is looked at: where it goes, and with which headers. The
following requests are made like it, without what the client works out anew for each. Its own signer signs them, and its
own connections send them, through whatever proxies and certificates it was told of.

One is sent once. What is not answered by a whole object is the driver's again, which asks anew, waits, follows a bucket
to where it is, and knows what each refusal means; then the client's next request is looked at again. A client whose
requests succeed where these are refused has more to do than is known here, and does it all from then on.
"""

from __future__ import annotations

import asyncio
import zlib
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

#: What the client calls the moment before a GET is sent, and what it calls the GET.
_SENDING: Final = "before-send.s3.GetObject"
_OPERATION: Final = "GetObject"

#: Headers of one request alone: its signature's, and the client's count of its tries.
_OWN: Final = frozenset(
    {
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-amz-s3session-token",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
    }
)

#: Answers that another request of the client's may not get.
_REFUSED: Final = frozenset({301, 302, 307, 400, 401, 403})

_OK: Final = 200


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """What the client's GETs of one bucket have in common."""

    #: The address before an object's key.
    before: str
    #: Headers that are always the same, by their names as they were sent.
    headers: dict[str, str]
    #: What the client's signer goes by.
    context: dict[str, Any]

    @classmethod
    def of(cls, request: Any, key: str) -> Self | None:
        """Return that of a request for an object; None where it is not understood."""
        tail = _quoted(key)
        headers = {name: _text(value) for name, value in request.headers.items() if name.lower() not in _OWN}
        if request.method != "GET" or request.body or "?" in request.url or not request.url.endswith(f"/{tail}"):
            return None
        if any(name.lower() in ("range", "if-match") for name in headers):
            return None
        return cls(before=request.url.removesuffix(tail), headers=headers, context=request.context)

    def request(self, key: str) -> Any:
        """Return the request for an object, as the client's signer takes it."""
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]  # noqa: PLC0415 - the driver's

        request = AWSRequest(method="GET", url=self.before + _quoted(key), headers=self.headers, stream_output=True)
        request.context.update(self.context)
        return request


def _quoted(key: str) -> str:
    return quote(key, safe="/~")


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
            self._client, self._bucket = client, bucket
            self._pattern = next(filter(None, (Pattern.of(request, key) for request in seen)), None)

    async def _get(self, address: str, local: Path) -> int:
        """Fetch an object by one request; return the answer's status, 0 where what came of it is no whole object."""
        pattern, driver = self._pattern, self._driver
        bucket, key, version = driver.split_path(address)
        if pattern is None or bucket != self._bucket or version is not None:
            return 0
        try:
            request = pattern.request(key)
            await self._client._request_signer.sign(_OPERATION, request)  # noqa: SLF001 - as the client itself
            answer = await self._client._endpoint.http_session.send(request.prepare())  # noqa: SLF001 - as above
            async with answer.raw as body:
                whole = body.status == _OK and await _write(body, local)
        except Exception:  # noqa: BLE001 - the driver is to meet it again, and to say it in its own words
            return 0
        return body.status if whole or body.status != _OK else 0


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

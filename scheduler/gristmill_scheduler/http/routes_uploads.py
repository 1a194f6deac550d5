"""/uploads: folders that clients send, a tar stream each, under the hash of what is in them.

The stream is not kept anywhere on the way: a thread takes piece after piece out of the connection, as it writes them.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, BinaryIO, Final, cast

import anyio
import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from gristmill.errors import Mistake
from gristmill_scheduler.http.auth import INVOKER, READER
from gristmill_scheduler.http.services import About, Services

#: Uploads that are taken at once; others wait. Each holds a thread, and slow ones must not take all that there are.
AT_ONCE: Final = 8

#: Seconds that the next piece of an upload is waited for.
PATIENCE_SECONDS: Final = 60.0

#: Seconds, and bytes, for which a client that was refused is listened to.
DRAIN_SECONDS: Final = 5.0
DRAIN_BYTES: Final = 64 << 20

#: A tree's name: the SHA-256 of what is in it.
Tree = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 over what is in the folder, in hex.")]

_TAR: Final = re.compile(r"application/(x-tar|octet-stream)\s*(;.*)?", re.IGNORECASE)

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Upload(BaseModel):
    """An upload that is there."""

    tree: str
    #: An address that nodes can open.
    url: str


def uploads_router(services: Services, about: About) -> APIRouter:
    """Return the routes of uploads."""
    router = APIRouter(prefix="/uploads", tags=["uploads"])
    uploads = services.uploads
    places = anyio.CapacityLimiter(AT_ONCE)

    @router.get("/{tree}", operation_id="upload_show", dependencies=[READER], response_model=Upload)
    def show_upload(tree: Tree) -> Any:
        """Tell whether an upload is there already, so that it need not be sent."""
        return {"tree": tree, "url": uploads.url(tree)}

    @router.put(
        "/{tree}",
        operation_id="upload_create",
        dependencies=[INVOKER],
        status_code=201,
        response_model=Upload,
        responses={200: {"description": "It was there already", "model": Upload}},
        openapi_extra=_BODY,
    )
    async def put_upload(tree: Tree, request: Request) -> Response:
        """Take a folder as a plain tar stream; it appears whole or not at all."""
        _check_type(request)
        there = await run_in_threadpool(uploads.exists, tree)
        body = Body(request)
        try:
            await anyio.to_thread.run_sync(_receive, services, about, tree, body, limiter=places)
        except Exception:
            await body.drain()
            raise
        await body.drain()
        url = await run_in_threadpool(uploads.url, tree)
        status = HTTPStatus.OK if there else HTTPStatus.CREATED
        return JSONResponse({"tree": tree, "url": url}, status_code=status)

    return router


class Body(io.RawIOBase):
    """A request's body as a file that a thread of the server's reads, and the event loop fills."""

    def __init__(self, request: Request) -> None:
        """Take the request."""
        super().__init__()
        self._pieces: AsyncIterator[bytes] = request.stream().__aiter__()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Answer what buffered readers ask."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what comes next; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if not self._rest:
            self._rest = memoryview(anyio.from_thread.run(self._next))
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    async def drain(self) -> None:
        """Read what nobody needs, within bounds: a client that is still sending would not hear the answer."""
        with anyio.move_on_after(DRAIN_SECONDS), contextlib.suppress(ClientDisconnect, HTTPException, RuntimeError):
            taken = 0
            async for piece in self._pieces:
                taken += len(piece)
                if taken > DRAIN_BYTES:
                    return

    async def _next(self) -> bytes:
        """Return the next piece that is not empty; none at the end."""
        with anyio.move_on_after(PATIENCE_SECONDS):
            async for piece in self._pieces:
                if piece:
                    return piece
            return b""
        raise Mistake(f"the upload stood still for {PATIENCE_SECONDS:g} seconds; send it again")


def _receive(services: Services, about: About, tree: str, body: Body) -> None:
    try:
        with io.BufferedReader(body, 1 << 20) as stream:
            services.uploads.receive(
                tree,
                cast("BinaryIO", stream),
                most_bytes=about.most_upload_bytes,
                most_files=about.most_upload_files,
            )
    except ClientDisconnect as error:
        raise Mistake("the upload ended in its middle; send it again") from error


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "")
    if not _TAR.fullmatch(kind):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content-type: {kind[:80]!r}: send application/x-tar")

"""A real S3 server (moto) behind a proxy that answers 20 ms later, as a store in another building does.

    python -m benchmarks.slow_store FOLDER OBJECTS BUCKET

It holds the first files of a folder under `in/`. What moto has answered once to a GET of an object is said
again until the object is written: moto takes 4 ms of processor time for it, which both sides would wait for. It prints
its port; `GET /-/counts` tells what has been asked since the last time, and the processor time that it took here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import get_canned_acl, s3_backends
from werkzeug.serving import make_server

#: Seconds between a request and its answer.
DELAY: Final = 0.02

_ENDS: Final = b"\r\n\r\n"

#: Headers of moto's that are about its own connection.
_ITS_OWN: Final = (b"connection", b"transfer-encoding", b"content-length")


class SlowStore:
    """Passes requests on to a server, or says again what that has answered."""

    def __init__(self, port: int) -> None:
        """Take the server's port."""
        self._port = port
        self._kept: dict[bytes, bytes] = {}
        self._counts: Counter[str] = Counter()
        self._open = 0
        self._used = time.process_time()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        self._open += 1
        self._counts["connections"] += 1
        self._counts["connections at most"] = max(self._counts["connections at most"], self._open)
        try:
            while True:
                head = await reader.readuntil(_ENDS)
                writer.write(await self._answer(head, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            self._open -= 1

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        method, path, _ = head.split(b" ", 2)
        if path == b"/-/counts":
            told = self._told()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told)
        self._counts[method.decode()] += 1
        later = asyncio.get_running_loop().time() + DELAY
        answer = self._kept.get(path) if method == b"GET" and b"\r\nrange:" not in head.lower() else None
        if answer is None:
            answer = await self._passed(head, await _body(head, reader, writer), head_only=method == b"HEAD")
            if method == b"GET" and b"?" not in path and answer.startswith(b"HTTP/1.1 200"):
                self._kept[path] = answer
            elif method != b"GET":
                self._kept.pop(path.partition(b"?")[0], None)
        await asyncio.sleep(later - asyncio.get_running_loop().time())
        return answer

    def _told(self) -> bytes:
        now = time.process_time()
        told = {"requests": self._counts, "cpu": now - self._used}
        self._counts, self._used = Counter({"connections at most": self._open}), now
        return json.dumps(told).encode()

    async def _passed(self, head: bytes, body: bytes, *, head_only: bool) -> bytes:
        """Return what the server answers, framed by its length."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
        writer.write(b"\r\n".join([*lines, b"Connection: close"]) + _ENDS + body)
        found, _, data = (await reader.read()).partition(_ENDS)
        writer.close()
        status, *headers = found.split(b"\r\n")
        kept = [line for line in headers if line.partition(b":")[0].lower() not in _ITS_OWN]
        length = next((line for line in headers if line.lower().startswith(b"content-length:")), b"")
        framed = length if head_only else b"Content-Length: %d" % len(data)
        return b"\r\n".join([status.replace(b"HTTP/1.0", b"HTTP/1.1"), *kept, framed]) + _ENDS + data


async def _body(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    headers = dict(line.lower().split(b":", 1) for line in head[:-4].split(b"\r\n")[1:])
    if b"expect" in headers:
        writer.write(b"HTTP/1.1 100 Continue" + _ENDS)
    return await reader.readexactly(int(headers.get(b"content-length", 0)))


def fill(folder: Path, objects: int, bucket: str) -> None:
    """Put files into a bucket."""
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(bucket, "us-east-1")
    for name in sorted(os.listdir(folder))[:objects]:
        made = backend.put_object(bucket, f"in/{name}", (folder / name).read_bytes())
        made.set_acl(get_canned_acl("public-read"))  # the plainest downloader has no name


async def main() -> None:
    """Serve until it is killed."""
    fill(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    moto = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    threading.Thread(target=moto.serve_forever, daemon=True).start()
    server = await asyncio.start_server(SlowStore(moto.server_port).talk, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

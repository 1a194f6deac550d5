"""Small objects in a store that takes 20 ms a request: an instance's fetching beside a plain downloader.

    python benchmarks/big_store.py --objects 2000 --folder /tmp/store

The store is one of asyncio, in a process of its own, that answers what an S3 client asks for objects; the plain
downloader is aiohttp with 64 connections, unsigned.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import aiohttp

from gristmill.spec import Input
from gristmill_storage.patience import Patience
from gristmill_workers.inputs import FETCH_AHEAD, FetchedInputs
from gristmill_workers.work import Work

DELAY = 0.02
BODY = b"x" * 400
HEAD = (
    b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: binary/octet-stream\r\nETag: "e"\r\n'
    b"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n\r\n" % len(BODY)
)


async def serve() -> None:
    """Answer every request with the same object, a while later."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(DELAY)
                writer.write(HEAD if head.startswith(b"HEAD") else HEAD + BODY)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def plain(port: int, folder: Path, objects: int) -> None:
    """Download all objects as a short script would."""
    names = iter(range(objects))

    async def work(session: aiohttp.ClientSession) -> None:
        for name in names:
            async with session.get(f"http://127.0.0.1:{port}/bucket/in/{name:06d}.png") as answer:
                (folder / f"{name:06d}.png").write_bytes(await answer.read())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        await asyncio.gather(*(work(session) for _ in range(64)))


def fetched(folder: Path, objects: int, size: int) -> None:
    """Fetch all objects as an instance does: so many mini-batches ahead of those that are scored (in no time)."""
    ahead = 4 + FETCH_AHEAD // size
    inputs = FetchedInputs(Input(uri="s3://bucket/in"), folder, Patience(0))
    works = (
        Work(number=n, attempt=1, token="t", items=tuple(f"{i:06d}.png" for i in range(first, first + size)))
        for n, first in enumerate(range(0, objects, size))
    )
    done, wanted, waiting = 0, 0, deque[Work]()
    while done < objects // size:
        while wanted - done < ahead and (work := next(works, None)) is not None:
            inputs.want([work])
            wanted += 1
        failed = inputs.ready(waiting)
        assert not failed, failed
        while waiting:
            inputs.done(waiting.popleft())
            done += 1
        time.sleep(0.001)
    inputs.close()


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return (wall seconds, processor seconds of this process) of a call."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    began, before = time.monotonic(), used()
    work()
    return round(time.monotonic() - began, 2), round(used() - before, 2)


def main() -> None:
    """Measure and print JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--objects", type=int, default=2000)
    arguments.add_argument("--size", type=int, default=10)
    arguments.add_argument("--folder", type=Path)
    arguments.add_argument("--serve", action="store_true")
    given = arguments.parse_args()
    if given.serve:
        asyncio.run(serve())
        return
    shutil.rmtree(given.folder, ignore_errors=True)
    (given.folder / "plain").mkdir(parents=True)
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        os.environ.update({
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
        })  # fmt: skip
        fetched(given.folder / "warm", 20, 10)  # clients are made, modules imported
        found = {
            "plain": timed(lambda: asyncio.run(plain(port, given.folder / "plain", given.objects))),
            "fetched": timed(lambda: fetched(given.folder / "fetched", given.objects, given.size)),
        }
        server.terminate()
    ratio = round(found["fetched"][0] / found["plain"][0], 2)
    print(json.dumps({"objects": given.objects, **found, "ratio": ratio}))
    shutil.rmtree(given.folder)


if __name__ == "__main__":
    main()

"""What a user would write to fetch many objects: nothing but that, 64 at a time.

python downloading.py LIBRARY FOLDER ENDPOINT BUCKET NAME_FILE

`aiobotocore` is the client of S3 for asyncio; `aiohttp` asks without a signature, which a bucket of the whole world
answers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

AT_ONCE = 64


@asynccontextmanager
async def aiobotocore(endpoint: str, bucket: str) -> AsyncIterator[Callable[[str], Awaitable[bytes]]]:
    from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
    from aiobotocore.session import get_session  # type: ignore[import-untyped]

    config = AioConfig(max_pool_connections=AT_ONCE)
    async with get_session().create_client("s3", endpoint_url=endpoint, config=config) as client:

        async def get(key: str) -> bytes:
            answer = await client.get_object(Bucket=bucket, Key=key)
            async with answer["Body"] as body:
                return bytes(await body.read())

        yield get


@asynccontextmanager
async def aiohttp(endpoint: str, bucket: str) -> AsyncIterator[Callable[[str], Awaitable[bytes]]]:
    from aiohttp import ClientSession, TCPConnector

    async with ClientSession(connector=TCPConnector(limit=AT_ONCE)) as session:

        async def get(key: str) -> bytes:
            async with session.get(f"{endpoint}/{bucket}/{key}") as answer:
                answer.raise_for_status()
                return await answer.read()

        yield get


async def main(
    library: str,
    folder: Path,
    endpoint: str,
    bucket: str,
    keys: list[str],
    *,
    arrived: Callable[[Path], object] = lambda _path: None,
) -> None:
    following = iter(keys)
    async with {"aiobotocore": aiobotocore, "aiohttp": aiohttp}[library](endpoint, bucket) as get:

        async def work() -> None:
            for key in following:
                path = folder / key.rpartition("/")[2]
                path.write_bytes(await get(key))
                arrived(path)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    target = Path(sys.argv[2])
    whole = target.with_name(f"{target.name}.part")
    whole.mkdir()
    keys = Path(sys.argv[5]).read_text().split()
    asyncio.run(main(sys.argv[1], whole, sys.argv[3], sys.argv[4], keys))
    whole.rename(target)

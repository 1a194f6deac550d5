"""Copies many small items of a store here at once, on the loop of the store's own driver.

A thread an item would cost more than the copying: each hands its request to that loop and waits for it, and all of them
take turns with the thread that scores. Here many items are one call, and 64 requests are under way. Each item is tried
once so. What has not come by that, and everything of stores whose drivers have no loop, is fetched by a thread, which
may wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol, cast, runtime_checkable

from gristmill.errors import StorageFailed
from gristmill.log_context import carried
from gristmill_storage.fetching import arriving, contained
from gristmill_storage.patience import may_pass
from gristmill_storage.patient_store import PatientStore
from gristmill_storage.store import Store

#: Items that are copied at once.
COPIES: Final = 64


@runtime_checkable
class _OnLoop(Protocol):
    """A store whose driver works on a loop of its own."""

    loop: asyncio.AbstractEventLoop | None

    async def copy(self, path: str, local: Path) -> None:
        """Copy a file to this machine; on that loop alone."""


class Copier:
    """Copies items of one store into a folder of this machine; for one thread."""

    def __init__(self, store: Store, folder: Path, fetch: Callable[[str], Path], *, whole: bool = True) -> None:
        """Take the store, where copies go, and what fetches an item patiently.

        `whole`: items are files of the store, and copies have their names.
        """
        inner = store.inner if isinstance(store, PatientStore) else store
        self._store = inner if whole and isinstance(inner, _OnLoop) else None
        self._loop = self._store.loop if self._store is not None else None
        self._folder = folder
        self._fetch = fetch
        self._pool = ThreadPoolExecutor(COPIES, thread_name_prefix="fetch")
        self._waiting: deque[tuple[str, Future[Path]]] = deque()
        self._workers = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def copy(self, item: str) -> Future[Path]:
        """Return what an item's copy will be; it is made when `begin` is called."""
        if self._loop is None:
            return self._pool.submit(carried(self._fetch), item)
        copy: Future[Path] = Future()
        self._waiting.append((item, copy))
        return copy

    def begin(self) -> None:
        """Begin to copy what has been asked for."""
        if self._loop is not None and self._waiting:
            self._loop.call_soon_threadsafe(carried(self._start))

    def close(self) -> None:
        """Give up what has not been begun."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._waiting.clear)  # here, a worker could be about to take the last one
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Have as many workers as are of use; on the loop, like all below."""
        for _ in range(min(COPIES - self._workers, len(self._waiting))):
            self._workers += 1
            self._tasks.add(task := asyncio.ensure_future(self._work()))
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._settle(*self._waiting.popleft())
        finally:
            self._workers -= 1

    async def _settle(self, item: str, copy: Future[Path]) -> None:
        if not copy.set_running_or_notify_cancel():
            return
        try:
            copy.set_result(await self._copied(item))
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told
            copy.set_exception(error)

    async def _copied(self, item: str) -> Path:
        target = contained(self._folder, item)
        try:
            with arriving(target) as place:
                await cast("_OnLoop", self._store).copy(item, place)
        except StorageFailed as error:
            if not may_pass(error, writing=False):
                raise
            return await asyncio.get_running_loop().run_in_executor(self._pool, carried(self._fetch), item)
        return target

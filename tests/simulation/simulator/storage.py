"""The store of a process: a store in memory behind a network that fails before, fails after, and takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from simulator.fibers import Process

from gristmill.errors import StorageFailed
from gristmill_storage.memory_store import MemoryStore, _MemoryWriter
from gristmill_storage.store import Entry, Writer, checked

if TYPE_CHECKING:
    from simulator.world import World


class SimStore(MemoryStore):
    """A `MemoryStore` of which each call is a step at which its process may be cut off, wait or die."""

    def __init__(self, world: World, process: Process, url: str) -> None:
        super().__init__(url)
        self._world = world
        self._process = process
        self._plain = MemoryStore(url)

    def _step(self, what: str, act: Callable[[], Any]) -> Any:
        world, now = self._world, self._world.loop.now
        me = world.loop.current
        assert me is not None
        me.check()
        faults = world.faults
        if self._process.cut_until["store"] > now:
            me.wait(0.2)
            raise self._fault(what, "cut off")
        if faults.strikes("store_crash", now):
            if world.rng.random() < 0.5:
                act()
                world.note(self._process.name, f"store {what}", {}, "done, then died")
            world.crash(self._process)
            me.check()
        if faults.strikes("store_refused", now):
            raise self._fault(what, "refused")
        me.wait(world.rng.random() * (1.0 if faults.strikes("store_slow", now) else 0.002))
        answer = act()
        if not what.startswith(("read", "exists", "size", "list")):
            world.note(self._process.name, f"store {what}", {}, "done")
        if faults.strikes("store_reply", now):
            raise self._fault(what, "no reply")
        return answer

    def _fault(self, what: str, why: str) -> StorageFailed:
        error = StorageFailed(f"{self.url}: {what}: {why}")
        error.__cause__ = ConnectionResetError(why)  # it may pass, whoever is patient
        return error

    def read(self, path: str) -> bytes:
        return self._step(f"read {path}", lambda: self._plain.read(path))

    def open(self, path: str) -> BinaryIO:
        self._step(f"read {path}", lambda: self._plain.size(path))
        return self._plain.open(path)

    def create(self, path: str, data: bytes) -> None:
        self._step(f"create {path}", lambda: self._plain.create(path, data))

    def replace(self, path: str, data: bytes) -> None:
        self._step(f"replace {path}", lambda: self._plain.replace(path, data))

    def writer(self, path: str, *, overwrite: bool = False) -> Writer:
        return _SimWriter(self, checked(path), overwrite=overwrite)

    def exists(self, path: str) -> bool:
        return self._step(f"exists {path}", lambda: self._plain.exists(path))

    def size(self, path: str) -> int:
        return self._step(f"size {path}", lambda: self._plain.size(path))

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        yield from self._step(f"list {prefix}", lambda: [*self._plain.list(prefix, recursive=recursive)])

    def move(self, source: str, destination: str, *, overwrite: bool = False) -> None:
        self._step(f"move {source}", lambda: self._plain.move(source, destination, overwrite=overwrite))

    def delete(self, path: str) -> None:
        self._step(f"delete {path}", lambda: self._plain.delete(path))

    def delete_tree(self, prefix: str) -> None:
        """Remove file after file, as every real store does: it can be ended in the middle."""
        for entry in list(self._plain.list(prefix)):
            self.delete(entry.path)


class _SimWriter(_MemoryWriter):
    """A writer that knows its own work again, as every store's does, where the reply to its publishing was lost."""

    _published = False

    def _publish(self) -> None:
        store = self._store
        assert isinstance(store, SimStore)

        def act() -> None:
            if not self._published:
                (store._plain.replace if self._overwrite else store._plain.create)(self._path, bytes(self._buffer))
                self._published = True

        store._step(f"publish {self._path}", act)

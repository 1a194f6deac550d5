"""A store that fails when it is told to: before an operation, or after it was carried out (its reply is lost).

Every operation has a kind (`read`, `create`, `writer.write`, ...) and passes through `Faults.at`, once before and once
after. What is to happen there is a plan: rules that tests add, or a function of their own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from gristmill.errors import StorageFailed
from gristmill_storage.store import Bytes, Entry, Store, Writer

When = Literal["before", "after"]


class Killed(BaseException):
    """The process is no more: nothing of Gristmill may catch this."""


def failure(number: int) -> StorageFailed:
    """Return what a store raises for a fault of the system."""
    cause = OSError(number, os.strerror(number))
    error = StorageFailed(f"injected: {cause.strerror}")
    error.__cause__ = cause
    return error


@dataclass(kw_only=True)
class Rule:
    """What happens at some of the operations of a kind."""

    #: "" for any.
    kind: str
    when: When
    #: Raised each time; None: only the delay.
    error: BaseException | None
    #: Operations of that kind that pass before the first that is hit.
    skip: int = 0
    #: How many are hit.
    times: int = 1
    #: Seconds.
    delay: float = 0.0
    seen: int = 0


@dataclass
class Faults:
    """The plan of what fails, shared by all stores of a test."""

    rules: list[Rule] = field(default_factory=list)
    #: Every moment that was passed: (kind, path, when).
    log: list[tuple[str, str, When]] = field(default_factory=list)
    #: Called at every moment, with its number from 0; may raise.
    watch: Callable[[int, str, str, When], None] = lambda *_: None
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Set by `Killed`: whatever the dying code still asks for is not carried out.
    dead: bool = False

    def add(self, kind: str, *, when: When = "before", error: BaseException | int | None = None, **more: Any) -> Rule:
        """Add a rule; a number is the system's error of that number."""
        rule = Rule(kind=kind, when=when, error=failure(error) if isinstance(error, int) else error, **more)
        self.rules.append(rule)
        return rule

    def at(self, kind: str, path: str, when: When) -> None:
        """Pass a moment."""
        if self.dead:
            raise Killed(path)
        with self.lock:
            number = len(self.log)
            self.log.append((kind, path, when))
            hit = [rule for rule in self.rules if self._hits(rule, kind, when)]
        try:
            self.watch(number, kind, path, when)
        except Killed:
            self.dead = True
            raise
        for rule in hit:
            time.sleep(rule.delay)
            if rule.error is not None:
                raise rule.error

    def _hits(self, rule: Rule, kind: str, when: When) -> bool:
        if rule.when != when or rule.kind not in ("", kind):
            return False
        rule.seen += 1
        return rule.skip < rule.seen <= rule.skip + rule.times

    def around(self, kind: str, path: str, action: Callable[[], Any]) -> Any:
        """Carry out an operation between its two moments."""
        self.at(kind, path, "before")
        result = action()
        self.at(kind, path, "after")
        return result


class FaultyStore:
    """Another store, with faults."""

    def __init__(self, inner: Store, faults: Faults | None = None) -> None:
        """Take the store and the plan."""
        self.inner = inner
        self.faults = faults or Faults()

    @property
    def url(self) -> str:
        return self.inner.url

    def read(self, path: str) -> bytes:
        return self.faults.around("read", path, lambda: self.inner.read(path))

    def read_range(self, path: str, start: int, length: int) -> bytes:
        return self.faults.around("read_range", path, lambda: self.inner.read_range(path, start, length))

    def open(self, path: str) -> BinaryIO:
        self.faults.at("open", path, "before")
        file = self.inner.open(path)
        try:
            self.faults.at("open", path, "after")
        except BaseException:
            file.close()
            raise
        return file

    def create(self, path: str, data: bytes) -> None:
        self.faults.around("create", path, lambda: self.inner.create(path, data))

    def replace(self, path: str, data: bytes) -> None:
        self.faults.around("replace", path, lambda: self.inner.replace(path, data))

    def writer(self, path: str, *, overwrite: bool = False) -> Writer:
        self.faults.at("writer", path, "before")
        writer = FaultyWriter(self.inner.writer(path, overwrite=overwrite), self.faults, path)
        try:
            self.faults.at("writer", path, "after")
        except BaseException:
            writer.close()
            raise
        return writer

    def download(self, path: str, local: Path) -> None:
        self.faults.around("download", path, lambda: self.inner.download(path, local))

    def exists(self, path: str) -> bool:
        return self.faults.around("exists", path, lambda: self.inner.exists(path))

    def size(self, path: str) -> int:
        return self.faults.around("size", path, lambda: self.inner.size(path))

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        for entry in self.inner.list(prefix, recursive=recursive):
            self.faults.at("list", entry.path, "before")
            yield entry

    def move(self, source: str, destination: str, *, overwrite: bool = False) -> None:
        self.faults.around("move", destination, lambda: self.inner.move(source, destination, overwrite=overwrite))

    def delete(self, path: str) -> None:
        self.faults.around("delete", path, lambda: self.inner.delete(path))

    def delete_tree(self, prefix: str) -> None:
        self.faults.around("delete_tree", prefix, lambda: self.inner.delete_tree(prefix))

    def sweep(self, prefix: str = "", *, recursive: bool = True) -> int:
        return self.faults.around("sweep", prefix, lambda: self.inner.sweep(prefix, recursive=recursive))

    def local_path(self, path: str) -> Path | None:
        return self.inner.local_path(path)


class FaultyWriter(Writer):
    """Another writer, with faults; a kill leaves its hidden file as it is."""

    def __init__(self, inner: Writer, faults: Faults, path: str) -> None:
        super().__init__()
        self._inner = inner
        self._faults = faults
        self._path = path

    def tell(self) -> int:
        return self._inner.tell()

    def write(self, data: Bytes) -> int:
        return self._around("writer.write", lambda: self._inner.write(data))

    def copy_from(self, source: BinaryIO | int, start: int, length: int) -> None:
        self._around("writer.write", lambda: self._inner.copy_from(source, start, length))

    def _around(self, kind: str, action: Callable[[], Any]) -> Any:
        return self._faults.around(kind, self._path, action)

    def _append(self, data: memoryview) -> None:
        self._inner.write(data)

    def _publish(self) -> None:
        try:
            if not self._inner.closed:  # else it was published, and the reply was lost
                self._around("writer.publish", self._inner.publish)
        finally:
            self.spoiled = self._inner.spoiled

    def _discard(self) -> None:
        if not self._faults.dead:
            self._inner.close()
        elif not self._inner.closed and hasattr(self._inner, "_fd"):
            os.close(self._inner._fd)  # as the system does for a process that dies: the file stays, its lock goes

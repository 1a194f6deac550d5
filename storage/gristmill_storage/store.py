"""What a store can do: the one seam between Gristmill and whatever keeps its bytes.

A store has one root; every path is relative to it, with `/` between its parts, and never leads out of it. Three
stores implement this: `LocalStore` (a folder), `MemoryStore` (a dict, for tests), `FsspecStore` (everything else).

Errors, the same in each of them: `NotFound`, `AlreadyExists`, and `StorageFailed` with the path and the system's own
reason for all else. A path that leads out of the root is a `Mistake`.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self, TypeAlias

from gristmill.counts import counted
from gristmill.errors import Mistake, StorageFailed

#: What can be written.
Bytes: TypeAlias = bytes | bytearray | memoryview

#: What a signed address has behind its path; elsewhere than on the web a question mark may be part of a name.
_SIGNED: Final = re.compile(r"\?(?=(?:.*&)?(?:sig|(?:x-amz-|x-goog-)?signature|x-amz-security-token)=)", re.IGNORECASE)

#: Bytes that are copied at once; what a copy of any length holds in memory.
BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a store."""

    #: Relative to the store's root, with `/` between its parts.
    path: str
    #: Bytes.
    size: int


class Writer(ABC):
    """A stream into a file that nobody sees until `publish`; leaving the `with` block without it discards.

    Whatever raised `StorageFailed` can be called again: `tell` says how much was taken, and nothing is taken twice.
    """

    #: Whether what was written is lost, so that publishing again cannot mend a publishing that failed.
    spoiled: bool = False

    def __init__(self) -> None:
        """Start with nothing written."""
        self._written = 0
        self._ended = False

    @abstractmethod
    def _append(self, data: memoryview) -> None:
        """Take bytes that follow the ones before."""

    @abstractmethod
    def _publish(self) -> None:
        """Make what was written appear."""

    @abstractmethod
    def _discard(self) -> None:
        """Leave nothing of what was written."""

    def write(self, data: Bytes) -> int:
        """Take bytes; return how many."""
        view = memoryview(data).cast("B")
        self._open_still()
        self._append(view)
        self._written += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Return how many bytes were written so far."""
        return self._written

    def copy_from(self, source: BinaryIO | int, start: int, length: int) -> None:
        """Write `length` bytes of another file, from `start` on, with flat memory.

        Args:
            source: A binary file that can seek, or a descriptor; its own position is of no account.
            start: Where the bytes begin in it.
            length: How many bytes.

        Raises:
            StorageFailed: the source ends before.

        """
        while length:
            data = read_at(source, start, min(length, BLOCK))
            if not data:
                raise StorageFailed(f"a file that is copied ends {counted(length, 'byte')} too early")
            self.write(data)
            start += len(data)
            length -= len(data)

    def publish(self) -> None:
        """Make the whole appear at once, durable.

        Raises:
            AlreadyExists: something is there, and the writer was not asked to overwrite.
            StorageFailed: the store does not take it; unless `spoiled`, it can be tried again.

        """
        self._open_still()
        self._publish()
        self._ended = True

    def close(self) -> None:
        """Discard what was not published; more than once is fine."""
        if not self._ended:
            self._ended = True
            self._discard()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""
        return self._ended

    def writable(self) -> bool:
        """Answer what libraries ask of a binary file."""
        return not self._ended

    def flush(self) -> None:  # noqa: B027 - libraries call it; there is nothing to do
        """Do nothing: bytes are durable when they are published, not before."""

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Discard what was not published."""
        self.close()

    def _open_still(self) -> None:
        if self._ended:
            raise ValueError("the writer has ended: it was published or discarded")


class Store(Protocol):
    """A place for files, under one root."""

    @property
    def url(self) -> str:
        """The root as it stands in messages, without secrets."""

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start` on; fewer where the file ends."""

    def open(self, path: str) -> BinaryIO:
        """Return a file for reading, which can seek."""

    def create(self, path: str, data: bytes) -> None:
        """Make a file, whole and durable, if there is none.

        An object store may take the very same bytes found there for the work of its own earlier try (a reply that got
        lost). Where it matters who wrote them, let the bytes carry an id.

        Raises:
            AlreadyExists: a file is there; it stays as it is.

        """

    def replace(self, path: str, data: bytes) -> None:
        """Make a file or put another in its place, whole and durable; the last one wins."""

    def writer(self, path: str, *, overwrite: bool = False) -> Writer:
        """Return a stream into a file that appears whole when it is published."""

    def download(self, path: str, local: Path) -> None:
        """Copy a file to a path of this machine, in the cheapest way; not atomic, not durable."""

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""

    def size(self, path: str) -> int:
        """Return a file's bytes."""

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """Yield the files under a folder ("": all), sorted by their paths' bytes; nothing where there is no folder."""

    def move(self, source: str, destination: str, *, overwrite: bool = False) -> None:
        """Give a file another path."""

    def delete(self, path: str) -> None:
        """Remove a file; none there is fine."""

    def delete_tree(self, prefix: str) -> None:
        """Remove a folder and all in it ("": all); none there is fine."""

    def sweep(self, prefix: str = "", *, recursive: bool = True) -> int:
        """Remove what writers left under a folder that were killed, and nothing of living ones; return how much."""

    def local_path(self, path: str) -> Path | None:
        """Return the real path on this machine; None where the store is elsewhere."""


def checked(path: str) -> str:
    """Return a store's path as it is, if it can be one.

    Raises:
        Mistake: it is empty, absolute, holds NUL, or an empty, `.` or `..` part.

    """
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise Mistake(f"path {shown(path)!r}: give one relative to the store's root, without '..', './', '//' and NUL")
    return path


def checked_prefix(prefix: str) -> str:
    """Return a folder's path without its last slash; "" for the root.

    Raises:
        Mistake: it cannot be one.

    """
    return checked(prefix.removesuffix("/")) if prefix else ""


def shown(path: str) -> str:
    """Return a path fit for one line of text: line breaks and bytes that are no UTF-8 are escaped."""
    return path if path.isprintable() else path.encode("unicode_escape", "surrogatepass").decode("ascii")


def read_at(source: BinaryIO | int, start: int, length: int) -> bytes:
    """Return up to `length` bytes of a file or a descriptor, from `start` on."""
    if isinstance(source, int):
        return os.pread(source, length, start)
    source.seek(start)
    return source.read(length)


def has_secrets(url: str) -> bool:
    """Return whether a URL holds what `without_secrets` takes away."""
    return without_secrets(url).rstrip("/") != url.rstrip("/")


def without_secrets(url: str) -> str:
    """Return a URL without a user's name with a password, without a signature, and a web address without its query."""
    kind, mark, rest = url.partition("://")
    if not mark:
        return url
    web = kind.lower() in ("http", "https")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0] if web else _SIGNED.split(rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    # abfs://container@account.host is an address, not a name with a password.
    before, _, after = host.rpartition("@")
    if before and (web or ":" in before):
        host = after
    return f"{kind}://{host}{slash}{path}".rstrip("/")

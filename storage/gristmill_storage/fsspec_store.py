"""Object stores and web servers through fsspec: the only module that knows it.

Create-if-absent is the store's own conditional put where it has one (`CONDITIONAL`). There a refusal is not the last
word: a request that timed out and was repeated may have won the first time, so what is found is compared with what was
to be written, and the same bytes count as ours. Every other driver gets the fallback: look, then write. That is safe
for one writer a path only, which Gristmill's names give (a part's name holds its writer's), but not for two planners
of one job; `files.excludes` tells which kind a store is, since some that speak S3 accept the condition and ignore it.

What is streamed goes through `fsspec_writer`.

Nothing is cached: listings always ask the store.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import weakref
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from gristmill.errors import AlreadyExists, GristmillError, MissingExtra, Mistake, NotFound, StorageFailed
from gristmill_storage import credentials, drivers
from gristmill_storage.fsspec_errors import answer_of, is_refusal, own_error
from gristmill_storage.fsspec_writer import FsspecWriter
from gristmill_storage.reach import Reach
from gristmill_storage.signed_gets import SignedGets
from gristmill_storage.store import BLOCK, Entry, checked, checked_prefix, shown, without_secrets

#: Schemes whose stores refuse a second conditional put.
CONDITIONAL: Final = frozenset({"s3", "s3a", "abfs", "abfss", "az", "gs", "gcs"})

#: Bytes that are read ahead by a stream, at most and at least.
READ_AHEAD: Final = 8 << 20
LEAST_AHEAD: Final = 1 << 20

#: Bytes that all streams of a store read ahead: a merge has as many open as there were instances.
AHEAD_TOGETHER: Final = 256 << 20

#: How often a put is tried again that met another writer's.
CONFLICT_TRIES: Final = 5

#: What an overloaded server answers, which its driver calls by the same name as a conflict.
_BUSY: Final = frozenset({429, 503})

#: Objects that are deleted at once.
_DELETERS: Final = 8

#: How old an upload is whose writer is taken for dead.
_STALE: Final = timedelta(days=1)

#: How the names of S3's directory buckets end, which do not list in order.
_UNSORTED: Final = "--x-s3"


class FsspecStore:
    """A store behind one of fsspec's drivers."""

    def __init__(self, url: str, *, extra: str, reach: Reach | None = None) -> None:
        """Take the root's URL, the extra that brings its driver, and which hosts a web address may lead to.

        Raises:
            MissingExtra: the driver is not installed.
            Mistake: the address refers to credentials that this machine does not have.

        """
        self.scheme = url.partition("://")[0].lower()
        self.url = without_secrets(url)
        reference, url = credentials.parted(url)
        secret = credentials.options(url, reference) if reference else {}
        try:
            self.fs = drivers.open_driver(self.scheme, url, secret=secret, reach=reach)
        except ImportError as error:
            raise MissingExtra(f"opening {self.scheme}://", extra) from error
        self._gets = SignedGets(self.fs) if self.scheme in ("s3", "s3a") else None
        self._http = self.scheme in ("http", "https")
        # What stands behind a web address (a signature) belongs behind each file's.
        query = urlsplit(url).query if self._http else ""
        self._query = f"?{query}" if query else ""
        root = self.url if self._http else self.fs._strip_protocol(url)  # noqa: SLF001 - its only way from URL to path
        self._root = root.rstrip("/") + "/"
        #: Whether create-if-absent is the store's own.
        self.conditional = self.scheme in CONDITIONAL
        self._streams: list[weakref.ref[Any]] = []

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        # By one request: S3's driver asks for the size first, to read what is large in pieces.
        whole = {"max_concurrency": 1} if self.scheme in ("s3", "s3a") else {}
        with self.translated(path):
            return cast("bytes", self.fs.cat_file(self.address(path), **whole))

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start` on."""
        if length <= 0:
            return b""
        with self.translated(path):
            try:
                return cast("bytes", self.fs.cat_file(self.address(path), start=start, end=start + length))
            except FileNotFoundError:
                raise
            except Exception:
                # Stores refuse a range that begins behind the end, each with an error of its own.
                if start < self.size(path):
                    raise
                return b""

    def open(self, path: str) -> BinaryIO:
        """Return a file for reading, which reads ahead."""
        with self.translated(path):
            file = self.fs.open(self.address(path), "rb", block_size=self._ahead(), cache_type="readahead")
            if getattr(file, "details", {}).get("type") == "directory":
                raise FileNotFoundError(errno.ENOENT, "not a file")
            self._streams.append(weakref.ref(file))
            return cast("BinaryIO", file)

    def _ahead(self) -> int:
        """Return how many bytes one more stream is to read ahead."""
        found = [(stream, stream()) for stream in self._streams]
        self._streams = [stream for stream, file in found if file is not None and not file.closed]
        return max(LEAST_AHEAD, min(READ_AHEAD, AHEAD_TOGETHER // (len(self._streams) + 1)))

    def create(self, path: str, data: bytes) -> None:
        """Make a file if there is none."""
        full = self.writable(path)
        with self.translated(path):
            if not self.conditional:
                self.refuse_existing(path)
                self.fs.pipe_file(full, data)
                return
            try:
                _again_on_conflict(lambda: self.fs.pipe_file(full, data, mode="create"))
            except OSError as error:
                if not is_refusal(error) or not self.holds(path, len(data), zlib.crc32(data)):
                    raise

    def replace(self, path: str, data: bytes) -> None:
        """Make a file or put another in its place."""
        with self.translated(path):
            self.fs.pipe_file(self.writable(path), data)

    def writer(self, path: str, *, overwrite: bool = False) -> FsspecWriter:
        """Return a stream into a file that appears when it is published."""
        self.writable(path)
        return FsspecWriter(self, path, overwrite=overwrite)

    def download(self, path: str, local: Path) -> None:
        """Copy a file to this machine by one request."""
        with self.translated(path):
            self.fs.get_file(self.address(path), str(local), **drivers.ONE_STREAM.get(self.scheme, {}))

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop on which the driver works; None where it works in whichever thread calls it."""
        return cast("asyncio.AbstractEventLoop", self.fs.loop) if self.fs.async_impl else None

    async def copy(self, path: str, local: Path) -> None:
        """Copy a file to this machine by one request; to be called on the driver's loop."""
        address = self.address(path)
        with self.translated(path):
            if self._gets is not None:
                await self._gets.copy(address, local)
            else:
                await self.fs._get_file(address, str(local), **drivers.ONE_STREAM.get(self.scheme, {}))  # noqa: SLF001 - what `get_file` calls there

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""
        try:
            self.size(path)
        except NotFound:
            return False
        return True

    def size(self, path: str) -> int:
        """Return a file's bytes."""
        with self.translated(path):
            if self.scheme in ("s3", "s3a"):
                # By one request: where there is no file, the driver asks for a folder of that name, too.
                bucket, key, _ = self.fs.split_path(self.address(path))
                return int(self.fs.call_s3("head_object", Bucket=bucket, Key=key, **self.fs.req_kw)["ContentLength"])
            info = self.fs.info(self.address(path))
            if info["type"] != "file":
                raise FileNotFoundError(errno.ENOENT, "not a file")
            return int(info["size"] or 0)

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """Yield the files under a folder, sorted by their paths' bytes; of S3 a page is in memory, else a folder."""
        folder = checked_prefix(prefix)
        start = f"{folder}/" if folder else ""
        if self.scheme in ("s3", "s3a") and not self._root.partition("/")[0].endswith(_UNSORTED):
            return self._pages(start, recursive=recursive)
        return self._walk(start, recursive=recursive)

    def move(self, source: str, destination: str, *, overwrite: bool = False) -> None:
        """Give a file another path: a copy through this process, since stores' own copies are not conditional."""
        with self.open(source) as file, self.writer(destination, overwrite=overwrite) as writer:
            shutil.copyfileobj(file, writer, BLOCK)
            writer.publish()
        if source != destination:
            self.delete(source)

    def delete(self, path: str) -> None:
        """Remove a file; none there is fine."""
        with self.translated(path), suppress(FileNotFoundError):
            self.fs.rm_file(self.writable(path))

    def delete_tree(self, prefix: str) -> None:
        """Remove a folder and all in it; none there is fine."""
        paths = (entry.path for entry in [*self.list(prefix)])
        with ThreadPoolExecutor(_DELETERS) as pool:
            for _ in pool.map(self.delete, paths):
                pass

    def sweep(self, prefix: str = "", *, recursive: bool = True) -> int:  # noqa: ARG002 - uploads are in no folder
        """Abort the uploads to S3 under a folder that were begun more than a day ago; other stores drop theirs."""
        folder = checked_prefix(prefix)
        if self.scheme not in ("s3", "s3a"):
            return 0
        try:
            return self._abort_uploads(f"{folder}/" if folder else "")
        except StorageFailed:  # not everyone may list uploads, and nothing depends on it
            return 0

    def _abort_uploads(self, folder: str) -> int:
        bucket, _, root = self._root.partition("/")
        before = datetime.now(UTC) - _STALE
        with self.translated(folder):
            page = self.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=root + folder)
            stale = [upload for upload in page.get("Uploads", ()) if upload["Initiated"] < before]
            for upload in stale:
                self.fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(stale)

    def local_path(self, path: str) -> None:
        """Return None: nothing here has a path on this machine."""
        checked(path)

    def address(self, path: str) -> str:
        """Return a path as the driver takes it."""
        checked(path)
        return f"{self._root}{quote(path)}{self._query}" if self._http else self._root + path

    def writable(self, path: str) -> str:
        """Return a path as the driver takes it for writing.

        Raises:
            Mistake: the store can only be read.

        """
        if self._http:
            raise Mistake(f"{self._named(path)}: {self.scheme}:// can be read, not written")
        return self.address(path)

    def refuse_existing(self, path: str) -> None:
        """Raise AlreadyExists where there is a file: the fallback of stores without a conditional put."""
        if self.exists(path):
            raise AlreadyExists(f"{self._named(path)}: already there")

    def holds(self, path: str, size: int, crc: int) -> bool:
        """Return whether a file is the very one that was to be written: then an earlier try of ours has won."""
        if self.size(path) != size:
            return False
        found = 0
        with self.open(path) as file:
            while data := file.read(BLOCK):
                found = zlib.crc32(data, found)
        return found == crc

    def _pages(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        """Yield what S3 lists under a prefix, a page at a time: its order is that of the keys' bytes."""
        bucket, _, root = self._root.partition("/")
        query = {"Bucket": bucket, "Prefix": root + folder, "Delimiter": "" if recursive else "/"}
        while True:
            with self.translated(folder):
                try:
                    page = self.fs.call_s3("list_objects_v2", **query)
                except FileNotFoundError:
                    return
            for found in page.get("Contents", ()):
                # A key that ends with a slash marks a folder; it is no file.
                if not found["Key"].endswith("/"):
                    yield Entry(path=found["Key"].removeprefix(root), size=found["Size"])
            if not page.get("IsTruncated"):
                return
            query["ContinuationToken"] = page["NextContinuationToken"]

    def _walk(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        for key, size in self._children(folder):
            if not key.endswith(b"/"):
                yield Entry(path=key.decode(errors="surrogateescape"), size=size)
            elif recursive:
                yield from self._walk(key.decode(errors="surrogateescape"), recursive=True)

    def _children(self, folder: str) -> Iterable[tuple[bytes, int]]:
        """Return (path, size) of what is in a folder, sorted; a folder's path ends with a slash."""
        with self.translated(folder):
            try:
                found = self.fs.ls(self._folder_address(folder), detail=True, refresh=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(set(self._named_below(folder, found)))

    def _named_below(self, folder: str, found: Iterable[dict[str, Any]]) -> Iterator[tuple[bytes, int]]:
        for info in found:
            name = self._relative(info["name"])
            inner = name.removeprefix(folder)
            # A store's marker of a folder is an object with the folder's own name, with or without a slash.
            if not inner or (inner == name and folder) or "/" in inner.rstrip("/"):
                continue
            if info["type"] == "directory":
                yield name.rstrip("/").encode(errors="surrogateescape") + b"/", 0
            elif not name.endswith("/"):
                yield name.encode(errors="surrogateescape"), int(info["size"] or 0)

    def _folder_address(self, folder: str) -> str:
        return self._root + quote(folder) if self._http else (self._root + folder).rstrip("/")

    def _relative(self, name: str) -> str:
        """Return a listed name relative to the root; "" where it is none of ours (a web page links anywhere)."""
        if self._http:
            parts = urlsplit(unescape(name))
            name = urlunsplit(parts._replace(query="", fragment=""))
        inner = name.removeprefix(self._root) if name.startswith(self._root) else ""
        return unquote(inner) if self._http else inner

    def _named(self, path: str) -> str:
        return shown(f"{self.url}/{path}" if path else self.url)

    @contextmanager
    def translated(self, path: str) -> Iterator[None]:
        """Turn whatever a driver raises into our own errors: each has its own kinds, not all of them OSErrors."""
        try:
            yield
        except GristmillError:
            raise
        except Exception as error:
            raise own_error(error, self._named(path), scheme=self.scheme) from error


def _again_on_conflict(action: Any) -> None:
    """Carry out a put; where two meet, a store may ask the loser to come again."""
    for _ in range(CONFLICT_TRIES - 1):
        try:
            action()
        except OSError as error:
            if error.errno != errno.EBUSY or answer_of(error) in _BUSY:
                raise
        else:
            return
    action()

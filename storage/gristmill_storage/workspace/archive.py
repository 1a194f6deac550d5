"""Tar archives from strangers, read as a stream: plain files only, and nothing that claims more than it may.

Python's own reader keeps whatever a header asks it to keep and knows links, devices and sparse files. This one reads
block by block, takes regular files and passes over folders, and refuses all else before it reads any of it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from gristmill.errors import Mistake, TooLarge
from gristmill_storage.store import BLOCK, checked, shown

#: Bytes of a path; object stores take no longer ones.
LONGEST_PATH: Final = 1024

#: Names in a path.
DEEPEST_PATH: Final = 100

#: Bytes of a header that stands before a member's own, with its long name.
_LONGEST: Final = 1 << 16

#: Bytes after the archive's end that are read and dropped: writers fill their last record.
_PADDING: Final = 1 << 20

#: Headers beside those of files: folders, long names.
_HEADERS_PER_FILE: Final = 4

_DAMAGED: Final = "upload: is no tar archive, or a damaged one; send a plain one, not compressed"

_REFUSED: Final = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of an archive; its content must be read before the next one is asked for."""

    #: Relative, with `/` between its parts, never leading out.
    path: str
    #: Bytes.
    size: int
    #: The content, block by block.
    content: Iterator[bytes]


class Archive:
    """The members of a tar archive that comes as a stream."""

    def __init__(self, stream: BinaryIO, *, most_bytes: int, most_files: int) -> None:
        """Take the stream, and how much may come: bytes of all files together, and files."""
        self._stream = stream
        self._bytes_left = self._most_bytes = most_bytes
        self._most_files = most_files
        self._headers_left = _HEADERS_PER_FILE * most_files + 100
        self._files = 0

    def members(self) -> Iterator[Member]:
        """Yield the files.

        Raises:
            Mistake: it is no tar archive, ends too early, or holds what it must not.
            TooLarge: it holds more than it may.

        """
        long_name: str | None = None
        size: int | None = None
        while (header := self._header()) is not None:
            if header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
                content = self._small(header)
                if header.type == tarfile.GNUTYPE_LONGNAME:
                    long_name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
                elif header.type == tarfile.XHDTYPE:
                    long_name, size = _extended(content, long_name)
                continue
            yield from self._member(header, header.name if long_name is None else long_name, size)
            long_name = size = None
        self._drain()

    def _member(self, header: tarfile.TarInfo, name: str, size: int | None) -> Iterator[Member]:
        size = header.size if size is None else size
        if header.type == tarfile.DIRTYPE and not size:
            return
        if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            kind = _REFUSED.get(header.type, "something unknown")
            raise Mistake(f"upload: {shown(name)!r} is {kind}; send files and folders only")
        path = _path(name)
        if not 0 <= size <= self._bytes_left:
            raise TooLarge(f"upload: more than {self._most_bytes} bytes")
        self._files += 1
        if self._files > self._most_files:
            raise TooLarge(f"upload: more than {self._most_files} files")
        self._bytes_left -= size
        content = self._content(path, size)
        yield Member(path=path, size=size, content=content)
        for _ in content:
            pass
        self._exactly(-size % tarfile.BLOCKSIZE)

    def _header(self) -> tarfile.TarInfo | None:
        block = self._exactly(tarfile.BLOCKSIZE)
        if not any(block):
            return None
        self._headers_left -= 1
        if self._headers_left < 0:
            raise TooLarge(f"upload: more than {self._most_files} files")
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise Mistake(_DAMAGED) from error

    def _small(self, header: tarfile.TarInfo) -> bytes:
        if not 0 <= header.size <= _LONGEST:
            raise TooLarge(f"upload: a header of {header.size} bytes; {_LONGEST} at most")
        content = self._exactly(header.size)
        self._exactly(-header.size % tarfile.BLOCKSIZE)
        return content

    def _content(self, path: str, size: int) -> Iterator[bytes]:
        while size:
            block = self._stream.read(min(size, BLOCK))
            if not block:
                raise Mistake(f"upload: ends within {shown(path)!r}")
            size -= len(block)
            yield block

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            block = self._stream.read(size - len(data))
            if not block:
                raise Mistake("upload: ends too early")
            data += block
        return data

    def _drain(self) -> None:
        left = _PADDING
        while left > 0 and (block := self._stream.read(min(left, BLOCK))):
            left -= len(block)


def _path(name: str) -> str:
    """Return a member's path."""
    path = name.removeprefix("./")
    try:
        checked(path)
    except Mistake as error:
        raise Mistake(f"upload: {shown(name)!r} is no path below a folder") from error
    if len(path.encode("utf-8", "surrogateescape")) > LONGEST_PATH or path.count("/") >= DEEPEST_PATH:
        raise Mistake(f"upload: {shown(path)!r} is too long or too deep: {LONGEST_PATH} bytes, {DEEPEST_PATH} names")
    return path


def _extended(content: bytes, name: str | None) -> tuple[str | None, int | None]:
    """Return the path and the size that a header in POSIX's extended form gives the member after it."""
    size = None
    while content:
        try:
            length = int(content.partition(b" ")[0])
            key, _, value = content[:length].partition(b" ")[2].partition(b"=")
            size = int(value) if key == b"size" else size
        except ValueError as error:
            raise Mistake(_DAMAGED) from error
        if not value.endswith(b"\n") or not 0 < length <= len(content):
            raise Mistake(_DAMAGED)
        if key == b"path":
            name = value[:-1].decode("utf-8", "surrogateescape")
        if key.startswith(b"GNU.sparse"):
            raise Mistake(f"upload: {shown(name or '?')!r} is a sparse file; send files and folders only")
        content = content[length:]
    return name, size

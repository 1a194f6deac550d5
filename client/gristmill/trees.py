"""Folders as they travel to a server: named by what is in them, so that nothing is sent twice.

A tree is the regular files under a folder, or one file under its own name. Its digest comes from each file's path,
length and content, not from dates, modes or empty folders; the server works it out again from what arrives.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from gristmill.errors import InputNotFound, Mistake

#: Folders that are never sent.
LEFT_OUT: Final = frozenset({"__pycache__", ".git", ".gristmill"})

#: Bytes that are read at once.
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """One file of a tree."""

    #: Relative to the tree's root, with `/` between its parts.
    path: str
    #: Bytes.
    size: int
    #: Of its content, in hexadecimal digits.
    sha256: str
    #: Where it is on this machine.
    source: Path


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The files of a folder, each read once for its hash."""

    #: Sorted by their paths' bytes.
    files: tuple[TreeFile, ...]
    #: 64 hexadecimal digits.
    digest: str

    @classmethod
    def of(cls, path: Path, *, under: str = "") -> Self:
        """Read a folder, or one file.

        Links are followed where they stay inside of the folder.

        Args:
            path: The folder, or the file.
            under: A folder of the tree to put all of it in; "": none.

        Raises:
            InputNotFound: there is nothing at the path.
            Mistake: a file cannot be read or is none (a socket), or a link leads out of the folder or in a circle.

        """
        files = tuple(sorted(map(_hashed, _found(path, under)), key=lambda file: os.fsencode(file.path)))
        return cls(files=files, digest=digest_of((file.path, file.size, file.sha256) for file in files))

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @property
    def count(self) -> int:
        """How many files."""
        return len(self.files)

    def write(self, stream: BinaryIO) -> None:
        """Write a tar archive, the same bytes for the same tree.

        Raises:
            Mistake: a file changed since the tree was made.

        """
        stream.writelines(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """Yield what `write` writes, at most a megabyte at a time."""
        for file in self.files:
            info = tarfile.TarInfo(file.path)
            info.size = file.size
            yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            yield from _content(file)
            yield bytes(-file.size % tarfile.BLOCKSIZE)
        yield bytes(2 * tarfile.BLOCKSIZE)


def digest_of(entries: Iterable[tuple[str, int, str]]) -> str:
    """Return the digest of a tree.

    Args:
        entries: Path, size in bytes, and SHA-256 of the content in hexadecimal digits of each file, in any order.

    """
    lines = sorted(os.fsencode(path) + f"\0{size}\0{sha256}\n".encode() for path, size, sha256 in entries)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _found(path: Path, under: str) -> Iterator[tuple[str, Path]]:
    """Yield each file's path in the tree, and where it is."""
    prefix = f"{under}/" if under else ""
    if not path.exists():
        raise InputNotFound(f"{path}: there is nothing")
    if not path.is_dir():
        yield prefix + path.absolute().name, path
        return
    root = path.resolve()
    yield from _below(root, root, prefix, (root,))


def _below(root: Path, folder: Path, prefix: str, inside: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise Mistake(f"{folder}: cannot be read: {error.strerror}") from error
    for entry in entries:
        target = _target(root, entry) if entry.is_symlink() else entry
        if not target.is_dir():
            yield prefix + entry.name, target
        elif entry.name not in LEFT_OUT:
            if target in inside:
                raise Mistake(f"{entry}: is a link to a folder that holds it; remove it")
            yield from _below(root, target, f"{prefix}{entry.name}/", (*inside, target))


def _target(root: Path, link: Path) -> Path:
    """Return where a link leads."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise Mistake(f"{link}: is a link to nothing; remove it") from error
    if not target.is_relative_to(root):
        raise Mistake(f"{link}: is a link that leads out of {root}; put the file itself there")
    return target


def _hashed(found: tuple[str, Path]) -> TreeFile:
    path, source = found
    if not source.is_file():
        raise Mistake(f"{source}: is neither a file nor a folder; remove it")
    try:
        with source.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return TreeFile(path=path, size=file.tell(), sha256=sha256, source=source)
    except OSError as error:
        raise Mistake(f"{source}: cannot be read: {error.strerror}") from error


def _content(file: TreeFile) -> Iterator[bytes]:
    """Yield a file's bytes, which must be the ones whose hash was taken."""
    left, found = file.size, hashlib.sha256()
    try:
        with file.source.open("rb") as source:
            while left and (block := source.read(min(left, _BLOCK))):
                left -= len(block)
                found.update(block)
                yield block
    except OSError as error:
        raise Mistake(f"{file.source}: cannot be read: {error.strerror}") from error
    if left or found.hexdigest() != file.sha256:
        raise Mistake(f"{file.source}: was changed while it was sent; try again when nobody writes to it")

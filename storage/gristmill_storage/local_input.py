"""Searching a folder of this machine for items, one folder at a time in memory.

The order is that of the items' whole paths by their bytes: a folder sorts as its name with a slash behind it. Links to
files and to folders are followed; a folder that is one of those above it is not entered again. A link that leads
nowhere is an item all the same (it will fail, and be reported): nothing a user put there is dropped without a word.
Pipes, sockets and devices are passed over: reading one may never end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import chain, groupby, islice
from typing import Final

from gristmill.errors import StorageFailed
from gristmill_storage.selection import are_items, is_item, is_searched
from gristmill_storage.sorting import pages_in_order
from gristmill_storage.store import shown

#: Entries of a folder that are looked at together, at first and at most.
_FIRST_BATCH: Final = 16
_LARGEST_BATCH: Final = 2048

#: What a file system calls one folder: device and inode.
Identity = tuple[int, int]


def search(root: bytes, *, recursive: bool, after: bytes = b"") -> Iterator[list[str]]:
    """Yield the paths of all items relative to the root, in order, some at a time.

    Args:
        root: The input's folder.
        recursive: Whether folders in it are searched.
        after: Yield only what comes behind this path.

    Raises:
        StorageFailed: a folder cannot be read; nothing is left out without a word.

    """
    behind = after.decode("latin-1")
    above: list[Identity] = [_identity(root)]
    stack: list[tuple[str, Iterator[list[str] | str]]] = [("", _keys(root, recursive=recursive))]
    while stack:
        folder, found = stack[-1]
        for keys in found:
            if isinstance(keys, list):
                yield _paths(folder, keys, behind)
                continue
            path = folder + keys
            if path <= behind and not behind.startswith(path):
                continue
            full = os.path.join(root, path.encode("latin-1"))  # noqa: PTH118 - bytes
            if (identity := _identity(full)) not in above:
                above.append(identity)
                stack.append((path, _keys(full, recursive=True)))
                break
        else:
            stack.pop()
            above.pop()


def _paths(folder: str, names: list[str], behind: str) -> list[str]:
    """Return the paths of names, as the system has them; of these what comes behind a path."""
    paths = [folder + name for name in names] if folder else names
    if behind:
        paths = [path for path in paths if path > behind]
    text = "\0".join(paths)
    return paths if text.isascii() else os.fsdecode(text.encode("latin-1")).split("\0")


def has_item(root: bytes, *, recursive: bool) -> bool:
    """Return whether there is any item; stops at the first one found."""
    seen: set[Identity] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        identity = _identity(folder)
        if identity in seen:
            continue
        seen.add(identity)
        for name in map(os.fsencode, chain.from_iterable(_unsorted(folder, recursive=recursive))):
            if name.endswith(b"/"):
                folders.append(os.path.join(folder, name))  # noqa: PTH118 - bytes
            elif is_item(name):
                return True
    return False


def _keys(folder: bytes, *, recursive: bool) -> Iterator[list[str] | str]:
    """Yield what is in a folder in order: names of items, some at a time, and each folder with its slash.

    A key is a text of as many letters as it has bytes, so that it sorts as these do.
    """
    for page in pages_in_order(_unsorted(folder, recursive=recursive)):
        text = "\0".join(page)
        names = page if are_items(page, text) else [name for name in page if is_item(name.encode("latin-1"))]
        if "/" not in text:
            yield names
            continue
        for is_folder, keys in groupby(names, key=_is_folder):
            if is_folder:
                yield from keys
            else:
                yield list(keys)


def _is_folder(key: str) -> bool:
    return key[-1] == "/"


def _unsorted(folder: bytes, *, recursive: bool) -> Iterator[list[str]]:
    """Yield the files of a folder, and the folders in it with a slash, some at a time, first a few.

    Not all files need be items.
    """
    size = _FIRST_BATCH
    try:
        # Entries of an open folder do not have their paths made.
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(opened) as entries:
                while batch := list(islice(entries, size)):
                    yield _keys_of(batch, recursive=recursive)
                    size = min(2 * size, _LARGEST_BATCH)
        finally:
            os.close(opened)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _keys_of(batch: list[os.DirEntry[str]], *, recursive: bool) -> list[str]:
    """Return what entries are called: at once where all of them are files."""
    with contextlib.suppress(OSError):
        names = [entry.name for entry in batch if entry.is_file()]
        if len(names) == len(batch):
            return names
    return [name for entry in batch if (name := _key(entry, recursive=recursive))]


def _key(entry: os.DirEntry[str], *, recursive: bool) -> str | None:
    # A link that leads to itself, or where we may not look, is an item that cannot be read.
    with contextlib.suppress(OSError):
        if entry.is_dir():
            return f"{entry.name}/" if recursive and is_searched(os.fsencode(entry.name)) else None
        if not entry.is_file() and not _leads_nowhere(entry):
            return None
    return entry.name


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink():
        try:
            entry.stat()
        except OSError:
            return True
    return False


def _identity(folder: bytes) -> Identity:
    try:
        info = os.stat(folder)  # noqa: PTH116 - bytes
    except OSError as error:
        raise _unreadable(folder, error) from error
    return info.st_dev, info.st_ino


def _unreadable(folder: bytes, error: OSError) -> StorageFailed:
    reason = error.strerror or str(error)
    return StorageFailed(
        f"input: the folder {shown(os.fsdecode(folder))} cannot be listed: {reason}; make it readable, or take it out"
    )

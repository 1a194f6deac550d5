"""Searching a folder of this machine for items, one folder at a time in memory.

The order is that of the items' whole paths by their bytes: a folder sorts as its name with a slash behind it. Links to
files and to folders are followed; a folder that is one of those above it is not entered again. A link that leads
nowhere is an item all the same (it will fail, and be reported): nothing a user put there is dropped without a word.
Pipes, sockets and devices are passed over: reading one may never end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final

from gristmill.errors import StorageFailed
from gristmill_storage.selection import SUSPECT_FIRST, SUSPECT_LAST, is_item, is_searched
from gristmill_storage.sorting import batches_in_order
from gristmill_storage.store import shown

_SLASH: Final = ord("/")

#: Entries of a folder that are looked at together, at first and at most.
_FIRST_BATCH: Final = 16
_LARGEST_BATCH: Final = 8192

#: What a file system calls one folder: device and inode.
Identity = tuple[int, int]


def search(root: bytes, *, recursive: bool, after: bytes = b"") -> Iterator[bytes]:
    """Yield the paths of all items relative to the root, in order.

    Args:
        root: The input's folder.
        recursive: Whether folders in it are searched.
        after: Yield only what comes behind this path.

    Raises:
        StorageFailed: a folder cannot be read; nothing is left out without a word.

    """
    above: list[Identity] = [_identity(root)]
    stack: list[tuple[bytes, Iterator[bytes]]] = [(b"", iter(_keys(root, recursive=recursive)))]
    while stack:
        folder, keys = stack[-1]
        for key in keys:
            path = folder + key
            inside = key[-1] == _SLASH
            if path <= after and not (inside and after.startswith(path)):
                continue
            if not inside:
                yield path
            elif (identity := _identity(full := os.path.join(root, path))) not in above:  # noqa: PTH118 - bytes
                above.append(identity)
                stack.append((path, iter(_keys(full, recursive=True))))
                break
        else:
            stack.pop()
            above.pop()


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
        for key in chain.from_iterable(_unsorted(folder, recursive=recursive)):
            if not key.endswith(b"/"):
                return True
            folders.append(os.path.join(folder, key))  # noqa: PTH118 - bytes
    return False


def _keys(folder: bytes, *, recursive: bool) -> Iterable[bytes]:
    return batches_in_order(_unsorted(folder, recursive=recursive))


def _unsorted(folder: bytes, *, recursive: bool) -> Iterator[list[bytes]]:
    """Yield the items of a folder, and the folders in it with a slash, some at a time, first a few."""
    size = _FIRST_BATCH
    try:
        with os.scandir(folder) as entries:
            while batch := list(islice(entries, size)):
                yield _keys_of(batch, recursive=recursive)
                size = min(2 * size, _LARGEST_BATCH)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _keys_of(batch: list[os.DirEntry[bytes]], *, recursive: bool) -> list[bytes]:
    """Return the keys of entries: at once where all of them are plain files that nothing suspicious is about."""
    with contextlib.suppress(OSError):
        names = [
            name
            for entry in batch
            if entry.is_file() and (name := entry.name)[0] not in SUSPECT_FIRST and name[-1] not in SUSPECT_LAST
        ]
        if len(names) == len(batch):
            return names
    return [key for entry in batch if (key := _key(entry, recursive=recursive)) is not None]


def _key(entry: os.DirEntry[bytes], *, recursive: bool) -> bytes | None:
    name = entry.name
    try:
        if entry.is_file():
            return name if is_item(name) else None
        if entry.is_dir():
            return name + b"/" if recursive and is_searched(name) else None
        return name if is_item(name) and _leads_nowhere(entry) else None
    except OSError:
        # A link that leads to itself, or where we may not look: an item that cannot be read.
        return name if is_item(name) else None


def _leads_nowhere(entry: os.DirEntry[bytes]) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110 - bytes


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

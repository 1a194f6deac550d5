"""Files of a job's logs, written at little cost: no disk is waited for, and no failure is anyone's but the log's."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from gristmill.errors import NotFound, StorageFailed
from gristmill_storage import local_writer
from gristmill_storage.files import Store

#: Bytes that are gathered before they are given to a store.
BLOCK: Final = 1 << 18

log = logging.getLogger("gristmill.logs")


@contextlib.contextmanager
def harmless(what: str) -> Iterator[None]:
    """Say that something could not be logged, and go on: a log must never end a job."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the job is worth more than its log
        log.warning("%s could not be written: %s", what, error)


def append(folder: Store, path: str, data: bytes) -> None:
    """Add bytes to a file's end; where the store is elsewhere, the file is written anew.

    Raises:
        OSError, StorageFailed: they were not taken.

    """
    local = folder.local_path(path)
    if local is not None:
        append_local(local, data)
        return
    try:
        before = folder.read(path)
    except NotFound:
        before = b""
    folder.replace(path, before + data)


def append_local(path: Path, data: bytes) -> None:
    """Add bytes to the end of a file of this machine; its folder is made where it is missing.

    Raises:
        OSError: they were not taken.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(data)


def put(folder: Store, path: str, chunks: Iterable[bytes]) -> None:
    """Make a file of what is yielded, or put it in another's place; it appears whole.

    Raises:
        OSError, StorageFailed: it was not taken.

    """
    local = folder.local_path(path)
    if local is not None:
        put_local(local, chunks)
        return
    with folder.writer(path, overwrite=True) as writer:
        for block in _blocks(chunks):
            writer.write(block)
        writer.publish()


def put_local(path: Path, chunks: Iterable[bytes]) -> None:
    """Do the same on this machine, where no disk is waited for.

    Raises:
        OSError: it was not taken.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = str(path.parent)
    local_writer.sweep(folder)
    descriptor, hidden = local_writer.hidden_file(folder)
    partial = Path(hidden)
    try:
        with os.fdopen(descriptor, "wb", buffering=BLOCK) as file:
            file.writelines(chunks)
            file.flush()
            partial.replace(path)  # while its lock is held: no sweep may take it
    finally:
        partial.unlink(missing_ok=True)


def copy(folder: Store, path: str, source: Path) -> None:
    """Copy a file of this machine to where the logs are.

    Raises:
        OSError, StorageFailed: it was not taken.

    """
    with source.open("rb") as stream, folder.writer(path, overwrite=True) as writer:
        writer.copy_from(stream, 0, source.stat().st_size)
        writer.publish()


def lines(folder: Store, path: str) -> Iterator[bytes]:
    """Yield a file's lines, with their ends, but for a last one that is torn; none where it cannot be read."""
    try:
        with folder.open(path) as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except (OSError, StorageFailed) as error:
        log.warning("%s/%s cannot be read: %s", folder.url, path, error)


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Gather chunks: a store that is elsewhere takes a few large ones sooner than many small ones."""
    block = bytearray()
    for chunk in chunks:
        block += chunk
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)

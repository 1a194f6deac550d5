"""Copies of remote items on this machine, under the names that users' scripts read.

An item's copy lies at its own name below a folder, unless the name could not be a file's there: a store takes `../x`,
`a//b` and names of a thousand letters, which then stand under a name close to it with a hash, still in the folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gristmill.errors import StorageFailed
from gristmill_storage.local_store import TEMPORARY
from gristmill_storage.patient_store import patience_of
from gristmill_storage.store import Store, checked, shown

#: Bytes that a file system allows a name, with room for what a temporary name adds.
_LONGEST_NAME: Final = 200

#: Bytes of a whole path below the folder; what is longer is shortened to one name.
_LONGEST_PATH: Final = 3000


def local_name(name: str) -> str:
    """Return the path of an item's copy relative to the folder of copies: its name wherever that can be one."""
    parts = name.split("/")
    if len(os.fsencode(name)) > _LONGEST_PATH:
        parts = parts[-1:]
    elif all(_is_usable(part) for part in parts):
        return name
    return "/".join([*(part if _is_usable(part) else _replaced(part) for part in parts[:-1]), _marked(name, parts[-1])])


def contained(folder: Path, name: str) -> Path:
    """Return the path of an item's copy, which is always below the folder."""
    return folder / checked(local_name(name))


def fetch(store: Store, name: str, folder: Path) -> Path:
    """Copy an item of a store into a folder; return the copy's path. The copy appears whole.

    Raises:
        NotFound: the item is not there (any more).
        StorageFailed: it cannot be read, or this machine's disk does not take it.

    """
    target = contained(folder, name)
    return patience_of(store).call(lambda: arrive(target, lambda place: store.download(name, place)), of=str(folder))


def arrive(target: Path, write: Callable[[Path], None]) -> Path:
    """Have `write` make a file beside its target, which it becomes when it is whole; return the target.

    Raises:
        StorageFailed: this machine's disk does not take it.

    """
    with arriving(target) as place:
        write(place)
    return target


@contextmanager
def arriving(target: Path) -> Iterator[Path]:
    """Give the place beside a target of a file, which becomes the target when it is whole: when nothing is raised.

    Raises:
        StorageFailed: this machine's disk does not take it.

    """
    temporary = target.parent / f"{TEMPORARY}{os.urandom(12).hex()}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise StorageFailed(f"{shown(str(target))}: cannot be written: {reason}") from error
        raise


def _is_usable(part: str) -> bool:
    return part not in ("", ".", "..") and "\0" not in part and len(os.fsencode(part)) <= _LONGEST_NAME


def _replaced(part: str) -> str:
    return "_" if part in ("", ".", "..") else _marked(part, part)


def _marked(whole: str, part: str) -> str:
    """Return a usable name like `part`, with a hash of what it stands for, and its ending (scripts look at it)."""
    digest = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    stem, dot, ending = part.replace("\0", "_").rpartition(".")
    if not stem or len(ending) > 10:  # noqa: PLR2004 - longer ones are no endings
        stem, dot, ending = part.replace("\0", "_"), "", ""
    return f"{stem.strip('.')[:40]}~{digest}{dot}{ending}"

"""What a job needs that is not on this machine, a model or code: fetched from its address into the cache, once for all.

cache/models/<key>/, cache/code/<key>/: the file or folder under its own name; the key tells its content, and the
folder appears when all of it is there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from gristmill.counts import counted
from gristmill.errors import Mistake, ModelNotFound, StorageFailed
from gristmill.settings import ProcessSettings
from gristmill_storage.files import Entry, Store, open_store, scheme
from gristmill_storage.reach import Reach
from gristmill_workers.once import locked

#: Seconds that another process may take to fetch what this one wants too.
FETCH_SECONDS: Final = 3600.0

Log: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is fetched."""

    #: What it is called in the log.
    word: str
    #: The deployment's key that holds its address.
    key: str
    #: Its folder in the cache.
    folder: str
    #: The error where there is nothing.
    missing: type[Mistake]
    #: Bytes at each end of a file that tell one content from another of the same size at the same address.
    probe: int


MODEL: Final = Kind(word="model", key="model.path", folder="models", missing=ModelNotFound, probe=64 << 10)

#: A line in the midst of a script counts, and scripts are small: they are read whole.
CODE: Final = Kind(word="code", key="code_configuration.code", folder="code", missing=Mistake, probe=8 << 20)


def fetched(url: str, kind: Kind, settings: ProcessSettings, log: Log, reach: Reach | None = None) -> Path:
    """Return the path of what is at a URL, from the cache or fetched now; a web address may lead where `reach` says.

    Raises:
        Mistake: there is nothing (`kind.missing`).
        StorageFailed: it cannot be fetched.

    """
    store, name = _parent_and_name(url, reach)
    place = f"{store.url.rstrip('/')}/{name}".rstrip("/")
    files = _files(store, name)
    if not files:
        raise kind.missing(f"{kind.key}: there is nothing at {place}; give the address of a file or folder")
    key = _fingerprint(place, store, files, kind.probe)
    folder = settings.cache / kind.folder / key
    with locked(lock_of(folder), seconds=FETCH_SECONDS, waiting=waiting(f"{kind.word} {place}", log)):
        if not folder.is_dir():
            size = counted(sum(each.size for each in files), "byte")
            log(f"fetching the {kind.word} {place}: {counted(len(files), 'file')}, {size}")
            _fetch(store, files, folder)
    return folder / name


def lock_of(folder: Path) -> Path:
    """Return the lock of a folder in the cache."""
    return folder.with_name(f"{folder.name}.lock")


def unfinished_of(folder: Path) -> Path:
    """Return the folder, not there now, that becomes one of the cache when it is whole; its lock must be held."""
    unfinished = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    return unfinished


def waiting(what: str, log: Log) -> Callable[[], None]:
    """Return what says that another process is fetching the same."""
    return lambda: log(f"another process is fetching the {what}: waiting for it")


def _parent_and_name(url: str, reach: Reach | None) -> tuple[Store, str]:
    """Return the store above a file or folder, and its name there ("": it is a store's root).

    A web address' query goes with the store.
    """
    if scheme(url) in ("http", "https"):
        parts = urlsplit(url)
        folder, _, name = parts.path.rstrip("/").rpartition("/")
        return open_store(urlunsplit(parts._replace(path=folder)), reach=reach), unquote(name)
    kind, _, rest = url.rstrip("/").partition("://")
    folder, _, name = rest.rpartition("/")
    return open_store(f"{kind}://{folder or name}"), name if folder else ""


def _files(store: Store, name: str) -> list[Entry]:
    """Return the files to fetch, in the store above them."""
    if name and store.exists(name):
        return [Entry(path=name, size=store.size(name))]
    whole_site = not name and scheme(store.url) in ("http", "https")
    return [] if whole_site else list(store.list(name))


def _fingerprint(place: str, store: Store, files: list[Entry], probe: int) -> str:
    """Return a hash that another content at the same address does not have.

    Sizes are not enough: weights that were trained anew are as large as before. Their ends differ: archives keep
    their checksums there.
    """
    digest = hashlib.sha256(place.encode())
    for entry in files:
        digest.update(json.dumps([entry.path, entry.size]).encode())
        for start in sorted({0, max(0, entry.size - probe)}):
            digest.update(store.read_range(entry.path, start, probe))
    return digest.hexdigest()[:24]


def _fetch(store: Store, files: list[Entry], folder: Path) -> None:
    """Copy files into a folder that appears when all of them are there."""
    unfinished = unfinished_of(folder)
    for entry in files:
        path = unfinished / PurePosixPath(entry.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download(entry.path, path)
        if path.stat().st_size != entry.size:
            raise StorageFailed(f"{store.url}/{entry.path} changed while it was fetched; start the job again")
    unfinished.rename(folder)

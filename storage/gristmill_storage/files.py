"""The door to storage: from an address to the store behind it.

An address is a path of this machine, or a URL: `file://`, `memory://` (this process only), `s3://`, `abfs://` and
`az://` (Azure), `gs://`, `http(s)://` (reading only). Drivers of the last five are extras and are imported when
such an address is opened, not before.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from gristmill.errors import AlreadyExists, Mistake
from gristmill_storage.local_store import LocalStore
from gristmill_storage.memory_store import MemoryStore
from gristmill_storage.reach import Reach
from gristmill_storage.store import Bytes, Entry, Store, Writer, shown

__all__ = [
    "EXTRAS",
    "Bytes",
    "Entry",
    "LocalStore",
    "MemoryStore",
    "Store",
    "Writer",
    "excludes",
    "is_local",
    "normalize",
    "open_store",
    "scheme",
]

#: The extra that brings a scheme's driver.
EXTRAS: Final[dict[str, str]] = {
    "s3": "s3",
    "s3a": "s3",
    "abfs": "azure",
    "abfss": "azure",
    "az": "azure",
    "gs": "gcs",
    "gcs": "gcs",
    "http": "http",
    "https": "http",
}

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def scheme(url: str) -> str:
    """Return an address' scheme in lower case; "" for a path."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else ""


def is_local(url: str) -> bool:
    """Return whether an address is a path of this machine (`file://` included)."""
    return scheme(url) in ("", "file")


def normalize(url: str, base: Path) -> str:
    """Return an address as an absolute path of this machine, relative ones against `base`, or the URL unchanged."""
    if not is_local(url):
        return url
    return os.path.normpath(base.absolute() / _path_of(url))


def open_store(url: str, *, reach: Reach | None = None) -> Store:
    """Return the store whose root is at an address; nothing is read or made yet.

    Args:
        url: The address.
        reach: Which hosts a web address may lead to; None: any.

    Raises:
        Mistake: the scheme is unknown.
        MissingExtra: the scheme's driver is not installed.

    """
    kind = scheme(url)
    if kind in ("", "file"):
        return LocalStore(Path(_path_of(url)).absolute())
    if kind == "memory":
        return MemoryStore(url)
    if kind not in EXTRAS:
        known = ", ".join(f"{name}://" for name in EXTRAS)
        raise Mistake(f"{shown(url)}: no store is known for {kind}://; give a path or one of {known}")
    from gristmill_storage.fsspec_store import FsspecStore  # noqa: PLC0415 - its drivers are optional

    return FsspecStore(url, extra=EXTRAS[kind], reach=reach)


def excludes(store: Store, path: str) -> bool:
    """Return whether a store keeps create-if-absent: some that speak S3 accept the condition and pass it over.

    Args:
        store: The store to try.
        path: A path to try it on, which nobody else uses; nothing is left there.

    """
    try:
        store.create(path, b"first")
        try:
            store.create(path, b"second")
        except AlreadyExists:
            return True
        return False
    finally:
        store.delete(path)


def _path_of(url: str) -> str:
    if scheme(url) != "file":
        return url
    host, slash, path = url[len("file://") :].partition("/")
    if host not in ("", "localhost"):
        raise Mistake(f"{shown(url)}: a file:// address has no host; write file:///{host}/{path}")
    return unquote(slash + path, errors="surrogateescape")
